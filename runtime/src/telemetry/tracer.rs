//! What makes spans: a tracer that the program gave, and whether a trace that begins here is wanted.

use std::{borrow::Cow, fmt, sync::Arc, time::SystemTime};

use opentelemetry::{
    Context, InstrumentationScope, KeyValue, StringValue,
    trace::{SpanBuilder, SpanKind, Status as SpanStatus, TraceContextExt as _, TracerProvider},
};

use crate::{
    failure::Failure,
    random::Random,
    telemetry::names::{self, Status},
};

/// Which of the traces that begin at a node's own calls are recorded. Those that others began are recorded if they say so.
///
/// It is decided before a span exists, so that a call that is not recorded costs next to nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Sampling {
    /// All of them.
    #[default]
    Always,
    /// None of them.
    Never,
    /// That share of them, from 0 to 1.
    Ratio(f64),
}

pub(crate) struct Tracer {
    spans: Arc<dyn Spans>,
    /// The name of the node, where it is one's.
    node: Option<StringValue>,
    sampling: Sampling,
    /// Nothing that a node does depends on it.
    random: Random,
}

/// Put into the context of a span that begins a trace: whoever asks for the span has decided that it is recorded.
#[derive(Debug)]
pub(crate) struct Decided;

/// A tracer, whatever its spans.
trait Spans: Send + Sync {
    fn start(&self, span: SpanBuilder, parent: &Context) -> Context;
}

impl<T> Spans for T
where
    T: opentelemetry::trace::Tracer + Send + Sync,
    T::Span: Send + Sync + 'static,
{
    fn start(&self, span: SpanBuilder, parent: &Context) -> Context {
        parent.with_span(self.build_with_context(span, parent))
    }
}

/// A span that is to begin.
#[derive(Debug)]
pub(crate) struct NewSpan {
    pub(crate) name: Cow<'static, str>,
    pub(crate) kind: SpanKind,
    pub(crate) attributes: Vec<KeyValue>,
    pub(crate) since: SystemTime,
}

impl Tracer {
    pub(crate) fn new<P>(provider: &P, sampling: Sampling) -> Self
    where
        P: TracerProvider,
        P::Tracer: Send + Sync + 'static,
        <P::Tracer as opentelemetry::trace::Tracer>::Span: Send + Sync + 'static,
    {
        let scope = InstrumentationScope::builder(names::SCOPE)
            .with_version(env!("CARGO_PKG_VERSION"))
            .with_schema_url(names::SCHEMA_URL)
            .build();
        let spans = Arc::new(provider.tracer_with_scope(scope));
        Self { spans, node: None, sampling, random: Random::default() }
    }

    /// The same for the node of that name.
    pub(crate) fn of_node(&self, node: StringValue) -> Self {
        let (spans, sampling) = (Arc::clone(&self.spans), self.sampling);
        Self { spans, node: Some(node), sampling, random: Random::default() }
    }

    /// Whether a trace that begins now is recorded.
    #[inline]
    pub(crate) fn samples(&self) -> bool {
        match self.sampling {
            Sampling::Always => true,
            Sampling::Never => false,
            Sampling::Ratio(share) => self.random.share(0.0..1.0) < share,
        }
    }

    /// Starts a span: the context below it.
    pub(crate) fn start(&self, span: NewSpan, parent: &Context) -> Context {
        let NewSpan { name, kind, attributes, since } = span;
        let span =
            SpanBuilder::from_name(name).with_kind(kind).with_start_time(since).with_attributes(attributes);
        self.spans.start(span, parent)
    }

    /// The span of a call: its client's, its service's, or that of an attempt.
    pub(crate) fn start_call(
        &self,
        method: String,
        kind: SpanKind,
        since: SystemTime,
        parent: &Context,
    ) -> Context {
        let mut attributes = vec![
            KeyValue::new(names::RPC_SYSTEM, names::SYSTEM),
            KeyValue::new(names::RPC_METHOD, method.clone()),
        ];
        attributes.extend(self.node.clone().map(|node| KeyValue::new(names::NODE, node)));
        self.start(NewSpan { name: method.into(), kind, attributes, since }, parent)
    }
}

/// The time of day, as spans have it.
pub(crate) fn now() -> SystemTime {
    opentelemetry::time::now()
}

/// Ends the span of a call that has an answer, as of then.
pub(crate) fn end(context: &Context, status: Status, at: SystemTime) {
    let span = context.span();
    span.set_attribute(KeyValue::new(names::RPC_STATUS, status.code()));
    match status {
        Status::Ok => {}
        // An answer like others to the service; to its caller, not the one that it asked for.
        Status::ServiceError => span.set_attribute(KeyValue::new(names::ERROR_TYPE, status.code())),
        Status::Failed(_) => {
            span.set_attribute(KeyValue::new(names::ERROR_TYPE, status.code()));
            span.set_status(SpanStatus::error(status.code()));
        }
    }
    span.end_with_timestamp(at);
}

/// Ends the span of a call that failed.
pub(crate) fn end_failed(context: &Context, failure: &Failure) {
    let (span, code) = (context.span(), Status::Failed(failure.reason()).code());
    span.set_attribute(KeyValue::new(names::RPC_STATUS, code));
    span.set_attribute(KeyValue::new(names::ERROR_TYPE, code));
    span.set_attribute(KeyValue::new(names::OUTCOME, names::outcome_code(failure.outcome())));
    span.set_status(SpanStatus::error(failure.detail().to_owned()));
    span.end();
}

// === impl Tracer ===

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").field("sampling", &self.sampling).finish_non_exhaustive()
    }
}
