//! Where the traces of a node go: to a tracer that the program gives it, and nowhere without one.
//!
//! A node installs nothing and looks at nothing that is process-wide. It hands on the trace context that its calls bring,
//! with and without a tracer.

mod client;
mod names;
mod server;
mod trace;
mod tracer;

use std::sync::Arc;

use opentelemetry::trace::TracerProvider;

pub(crate) use client::{Attempt, Recorded, Shape, begin};
pub(crate) use names::Status;
pub(crate) use server::{Arrived, Handling};
pub(crate) use trace::Trace;
pub use tracer::Sampling;
pub(crate) use tracer::Tracer;

/// Where the telemetry of a node goes. [`NodeBuilder::telemetry`](crate::NodeBuilder::telemetry) takes it.
#[derive(Clone, Debug, Default)]
#[must_use = "telemetry does nothing until a node has it"]
pub struct Telemetry {
    tracer: Option<Arc<Tracer>>,
}

impl Telemetry {
    /// Nowhere.
    pub const fn none() -> Self {
        Self { tracer: None }
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

    /// Whether there is anything to be told.
    #[inline]
    pub(crate) const fn is_on(&self) -> bool {
        self.tracer.is_some()
    }

    #[inline]
    pub(crate) const fn tracer(&self) -> Option<&Arc<Tracer>> {
        self.tracer.as_ref()
    }
}
