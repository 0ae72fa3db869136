//! Where the telemetry of a node goes: to a tracer and a meter that the program gives it, and nowhere without them.
//!
//! A node installs nothing and looks at nothing that is process-wide. It hands on the trace context that its calls bring,
//! with and without a tracer.

mod client;
#[cfg(feature = "telemetry")]
mod export;
mod meter;
mod moment;
pub(crate) mod names;
mod observe;
mod recorder;
#[cfg(feature = "telemetry")]
mod scrape;
mod server;
mod span;
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
pub(crate) use recorder::{Keeping, Recorder, Unkept};
#[cfg(feature = "telemetry")]
pub use scrape::{Metrics, Unreadable};
pub(crate) use server::{Arrived, Handling};
pub(crate) use span::Span;
pub(crate) use trace::Trace;
pub use tracer::Sampling;
pub(crate) use tracer::Tracer;
pub(crate) use watch::{Called, Target, Watch, shown};

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

    /// The same for the node of that name, which may have a recorder of its own.
    pub(crate) fn of_node(self, name: &str, recorder: Option<Recorder>) -> Self {
        let node = StringValue::from(Arc::<str>::from(name));
        let recorder = recorder.map(Arc::new);
        let tracer = Tracer::of_node(self.tracer.as_deref(), node.clone(), recorder).map(Arc::new);
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

    /// Whether anything leaves the process: every call is looked at then.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.meter.is_some() || self.tracer.as_ref().is_some_and(|tracer| tracer.exports())
    }

    /// Whether anybody wants to know of a call that failed.
    #[inline]
    pub(crate) fn hears_of_failures(&self) -> bool {
        self.meter.is_some() || self.tracer.is_some()
    }

    /// What the node keeps of its traces.
    #[inline]
    pub(crate) fn recorder(&self) -> Option<&Recorder> {
        self.tracer.as_ref().and_then(|tracer| tracer.recorder()).map(|recorder| &**recorder)
    }

    /// Whether a call that begins now is kept.
    #[inline]
    pub(crate) fn keeping(&self) -> Keeping {
        self.recorder().map_or(Keeping::No, Recorder::keeping)
    }

    /// A call that was not kept has failed.
    pub(crate) fn failed(&self, call: Unkept<'_>) {
        if let Some(recorder) = self.recorder() {
            recorder.failed(call);
        }
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
