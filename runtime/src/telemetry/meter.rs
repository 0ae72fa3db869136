//! What is measured of calls: how long they take on either side, by method and by how they end; and the books of a node's own.
//!
//! A call looks nothing up: each side of a service has a handle for each method and each end, bound at its first use.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use opentelemetry::{
    InstrumentationScope, KeyValue, StringValue,
    metrics::{BoundHistogram, Histogram, MeterProvider},
};

use crate::{
    failure::{Failure, Outcome},
    telemetry::names::{self, STATUSES, Status},
};

/// The instruments of one node.
pub(crate) struct Meter {
    pub(crate) meter: opentelemetry::metrics::Meter,
    /// The name of the node.
    pub(crate) node: StringValue,
    client: Histogram<f64>,
    server: Histogram<f64>,
    pub(crate) books: Books,
}

/// The books of the calls and sends that a node makes: what was started has ended, or is under way.
#[derive(Debug, Default)]
pub(crate) struct Books {
    started: AtomicU64,
    ended: [AtomicU64; names::ENDS.len()],
}

/// One side of a service.
pub(crate) struct Side {
    meter: Arc<Meter>,
    service: String,
    methods: Vec<Measured>,
    is_client: bool,
}

/// One method.
struct Measured {
    name: &'static str,
    durations: [OnceLock<BoundHistogram<f64>>; STATUSES],
}

impl Meter {
    /// The instruments of a program, before they are a node's.
    pub(crate) fn of(provider: &dyn MeterProvider) -> opentelemetry::metrics::Meter {
        let scope = InstrumentationScope::builder(names::SCOPE)
            .with_version(env!("CARGO_PKG_VERSION"))
            .with_schema_url(names::SCHEMA_URL)
            .build();
        provider.meter_with_scope(scope)
    }

    /// The instruments of the node of that name.
    pub(crate) fn new(meter: opentelemetry::metrics::Meter, node: StringValue) -> Self {
        let duration = |name, description| {
            let histogram = meter.f64_histogram(name).with_unit("s").with_description(description);
            histogram.with_boundaries(names::DURATIONS.to_vec()).build()
        };
        let client = duration(names::CLIENT_DURATION, "How long calls take, all attempts together.");
        let server =
            duration(names::SERVER_DURATION, "How long calls take at their service: queue and handler.");
        Self { meter, node, client, server, books: Books::default() }
    }

    /// A side of a service whose methods are these.
    pub(crate) fn side(
        self: &Arc<Self>,
        service: &str,
        methods: impl IntoIterator<Item = &'static str>,
        is_client: bool,
    ) -> Arc<Side> {
        let measured = |name| Measured { name, durations: [const { OnceLock::new() }; STATUSES] };
        let methods = methods.into_iter().map(measured).collect();
        Arc::new(Side { meter: Arc::clone(self), service: service.to_owned(), methods, is_client })
    }
}

impl Side {
    pub(crate) fn books(&self) -> &Books {
        &self.meter.books
    }

    /// A call took so long.
    pub(crate) fn took(&self, method: usize, status: Status, time: Duration) {
        let Some(measured) = self.methods.get(method) else { return };
        let bound = measured.durations[status.index()].get_or_init(|| self.bind(measured.name, status));
        bound.record(time.as_secs_f64());
    }

    #[cold]
    fn bind(&self, method: &str, status: Status) -> BoundHistogram<f64> {
        let method =
            if self.service.is_empty() { method.to_owned() } else { names::method(&self.service, method) };
        let mut attributes = vec![
            KeyValue::new(names::RPC_SYSTEM, names::SYSTEM),
            KeyValue::new(names::RPC_METHOD, method),
            KeyValue::new(names::RPC_STATUS, status.code()),
            KeyValue::new(names::NODE, self.meter.node.clone()),
        ];
        if status != Status::Ok {
            attributes.push(KeyValue::new(names::ERROR_TYPE, status.code()));
        }
        let histogram = if self.is_client { &self.meter.client } else { &self.meter.server };
        histogram.bind(&attributes)
    }
}

impl Books {
    pub(crate) fn start(&self) {
        self.started.fetch_add(1, Relaxed);
    }

    pub(crate) fn end(&self, end: usize) {
        self.ended[end].fetch_add(1, Relaxed);
    }

    /// How many ended how, and how many were started. More may end than were started when the one was read before the other, so
    /// the ends are read first.
    pub(crate) fn read(&self) -> ([u64; names::ENDS.len()], u64) {
        let ended = std::array::from_fn(|end| self.ended[end].load(Relaxed));
        (ended, self.started.load(Relaxed))
    }
}

/// Which of [`names::ENDS`] a call has come to.
pub(crate) fn end_of(status: Result<Status, &Failure>) -> usize {
    match status {
        Ok(Status::Ok) => 0,
        Ok(Status::ServiceError) => 1,
        Err(failure) => match failure.outcome() {
            Outcome::NotSent => 2,
            Outcome::NotExecuted => 3,
            Outcome::Unknown => 4,
        },
        Ok(Status::Failed(_)) => names::GIVEN_UP,
    }
}

// === impl Meter, Side ===

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("node", &self.node).finish_non_exhaustive()
    }
}

impl fmt::Debug for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Side").field("service", &self.service).finish_non_exhaustive()
    }
}
