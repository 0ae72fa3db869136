//! What is recorded of qmesh's calls: each answer is a system of its own, on one thread.

use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};
use qmesh::{Config, Sampling, Telemetry};
use qmesh_bench_harness::system::Threads;

use super::placement::Placement;

/// What is recorded of calls.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tracing {
    /// What a node keeps by itself, if nobody says otherwise.
    ByDefault,
    /// Nothing.
    Off,
    /// By OpenTelemetry's SDK, that share of the calls; the node keeps nothing by itself.
    Sampled(f64),
}

/// Nodes that keep nothing.
pub(crate) enum Unrecorded {}

/// The same with a tracer that records no call.
pub(crate) enum Unsampled {}

/// The same with a tracer that records one of a hundred.
pub(crate) enum SampledInPart {}

/// The same with a tracer that records all calls.
pub(crate) enum Sampled {}

/// Takes batches of spans, as one that sends them would, and drops them.
#[derive(Debug)]
struct Nowhere;

impl Tracing {
    pub(super) const fn configure(self, config: &mut Config) {
        if !matches!(self, Self::ByDefault) {
            config.kept_traces_per_second = 0;
        }
    }

    pub(super) fn telemetry(self) -> Telemetry {
        let Self::Sampled(share) = self else { return Telemetry::none() };
        let provider = SdkTracerProvider::builder().with_batch_exporter(Nowhere).build();
        let sampling = if share > 0.0 { Sampling::Ratio(share) } else { Sampling::Never };
        Telemetry::none().traces(&provider, sampling)
    }
}

// === impl Nowhere ===

impl SpanExporter for Nowhere {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        drop(batch);
        Ok(())
    }
}

macro_rules! traced {
    ($($system:ident = $name:literal, $tracing:expr;)+) => {
        $(impl Placement for $system {
            const NAME: &'static str = $name;
            const THREADS: Threads = Threads::One;
            const SHARDS: usize = 0;
            const SCENARIOS: &'static [&'static str] = &["S2"];
            const TRACING: Tracing = $tracing;
        })+
    };
}

traced! {
    Unrecorded = "qmesh-unrecorded", Tracing::Off;
    Unsampled = "qmesh-unsampled", Tracing::Sampled(0.0);
    SampledInPart = "qmesh-sampled-1%", Tracing::Sampled(0.01);
    Sampled = "qmesh-sampled", Tracing::Sampled(1.0);
}
