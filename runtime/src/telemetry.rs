//! Where the telemetry of a node goes: to a tracer and a meter that the program gives it, and nowhere without them.
//!
//! A node installs nothing and looks at nothing that is process-wide. It hands on the trace context that its calls bring,
//! with and without a tracer.

mod client;
#[cfg(feature = "telemetry")]
mod export;
mod meter;
mod names;
mod observe;
#[cfg(feature = "telemetry")]
mod scrape;
mod server;
mod trace;
mod tracer;
mod watch;

use std::sync::Arc;

use opentelemetry::{StringValue, metrics::MeterProvider, trace::TracerProvider};

pub(crate) use client::{Attempt, Recorded, Shape, begin, begin_below};
#[cfg(feature = "telemetry")]
pub use export::{Export, ExportError};
use meter::Meter;
pub(crate) use meter::Side;
pub(crate) use names::Status;
#[cfg(feature = "telemetry")]
pub use scrape::{Metrics, Unreadable};
pub(crate) use server::{Arrived, Handling};
pub(crate) use trace::Trace;
pub use tracer::Sampling;
pub(crate) use tracer::{Tracer, now};
pub(crate) use watch::{Called, Target, Watch, micros, millis, shown};

use crate::{node::NodeInner, service::Method};

/// Where the telemetry of a node goes. [`NodeBuilder::telemetry`](crate::NodeBuilder::telemetry) takes it.
#[derive(Clone, Debug, Default)]
#[must_use = "telemetry does nothing until a node has it"]
pub struct Telemetry {
    tracer: Option<Arc<Tracer>>,
    /// What the program gave, before it is a node's.
    instruments: Option<opentelemetry::metrics::Meter>,
    meter: Option<Arc<Meter>>,
    /// Where calls are measured whose methods are nothing but names.
    others: Option<Arc<Side>>,
    /// Looks at the calls of a node, while somebody asks it to.
    watch: Option<Arc<Watch>>,
}

impl Telemetry {
    /// Nowhere.
    pub const fn none() -> Self {
        Self { tracer: None, instruments: None, meter: None, others: None, watch: None }
    }

    /// Records spans with a tracer of `provider`: of the calls that the node makes, with a span for each attempt, and of
    /// those that its services serve.
    ///
    /// The node decides by `sampling` which of the traces that begin with it are recorded, and asks `provider` for spans of
    /// those alone; so the sampler of `provider` is to take what it is asked for.
    pub fn traces<P>(mut self, provider: &P, sampling: Sampling) -> Self
    where
        P: TracerProvider,
        P::Tracer: Send + Sync + 'static,
        <P::Tracer as opentelemetry::trace::Tracer>::Span: Send + Sync + 'static,
    {
        self.tracer = Some(Arc::new(Tracer::new(provider, sampling)));
        self
    }

    /// Measures calls, and tells what the node has counted and how it is, by instruments of `provider`. Nodes of one process may
    /// share it.
    pub fn metrics(mut self, provider: &dyn MeterProvider) -> Self {
        self.instruments = Some(Meter::of(provider));
        self
    }

    /// The same for the node of that name.
    pub(crate) fn of_node(self, name: &str) -> Self {
        let node = StringValue::from(Arc::<str>::from(name));
        let tracer = self.tracer.map(|tracer| Arc::new(tracer.of_node(node.clone())));
        let meter = self.instruments.map(|instruments| Arc::new(Meter::new(instruments, node)));
        let others = meter.as_ref().map(|meter| meter.side("", [names::OTHER], true));
        let watch = Some(Arc::new(Watch::new(name)));
        Self { tracer, instruments: None, meter, others, watch }
    }

    /// The same without traces.
    pub(crate) fn untraced(&self) -> Self {
        Self { tracer: None, ..self.clone() }
    }

    /// One side of a service, if its calls are measured.
    pub(crate) fn side(&self, service: &str, methods: &[Method], is_client: bool) -> Option<Arc<Side>> {
        let meter = self.meter.as_ref()?;
        Some(meter.side(service, methods.iter().map(|method| method.name), is_client))
    }

    /// Lets the program's readers ask the node.
    pub(crate) fn observe(&self, node: &Arc<NodeInner>) {
        if let Some(meter) = &self.meter {
            observe::observe(meter, &Arc::downgrade(node));
        }
    }

    /// Whether there is anything to be told.
    #[inline]
    pub(crate) const fn is_on(&self) -> bool {
        self.tracer.is_some() || self.meter.is_some()
    }

    /// What somebody looks through at the node's calls now, if anybody does.
    #[inline]
    pub(crate) fn watched(&self) -> Option<&Arc<Watch>> {
        self.watch.as_ref().filter(|watch| watch.is_open())
    }

    pub(crate) const fn watch(&self) -> Option<&Arc<Watch>> {
        self.watch.as_ref()
    }

    #[inline]
    pub(crate) const fn tracer(&self) -> Option<&Arc<Tracer>> {
        self.tracer.as_ref()
    }

    pub(crate) const fn others(&self) -> Option<&Arc<Side>> {
        self.others.as_ref()
    }
}
