//! What makes spans, and whether those of a trace that begins here are wanted: a tracer that the program gave, the recorder
//! of the node, or both.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use opentelemetry::{
    Context, InstrumentationScope, KeyValue, StringValue,
    trace::{SpanBuilder, SpanId, SpanKind, TraceContextExt as _, TracerProvider},
};

use crate::{
    random::Random,
    telemetry::{
        moment::Moment,
        names,
        recorder::{KeptSpan, Mark, Open, Recorder},
        span::{Below, Span},
    },
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

/// What a program's spans are made with, and whether they are wanted.
#[derive(Clone)]
struct Exported {
    spans: Arc<dyn Spans>,
    sampling: Sampling,
}

/// What makes spans: of those that the program's tracer wants, of those that the node's recorder keeps.
pub(crate) struct Tracer {
    exported: Option<Exported>,
    recorder: Option<Arc<Recorder>>,
    /// The name of the node, where it is one's.
    node: Option<StringValue>,
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
    pub(crate) since: Moment,
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
        let exported = Some(Exported { spans: Arc::new(provider.tracer_with_scope(scope)), sampling });
        Self { exported, recorder: None, node: None, random: Random::default() }
    }

    /// For the node of that name: its program's tracer, if there is one, and its own recorder, if it has one.
    pub(crate) fn of_node(
        program: Option<&Self>,
        node: StringValue,
        recorder: Option<Arc<Recorder>>,
    ) -> Option<Self> {
        let exported = program.and_then(|program| program.exported.clone());
        (exported.is_some() || recorder.is_some()).then(|| Self {
            exported,
            recorder,
            node: Some(node),
            random: Random::default(),
        })
    }

    /// Whether there is a tracer of the program.
    #[inline]
    pub(crate) const fn exports(&self) -> bool {
        self.exported.is_some()
    }

    pub(crate) const fn recorder(&self) -> Option<&Arc<Recorder>> {
        self.recorder.as_ref()
    }

    /// Whether a trace that begins now is exported.
    #[inline]
    pub(crate) fn samples(&self) -> bool {
        match self.exported.as_ref().map(|exported| exported.sampling) {
            Some(Sampling::Always) => true,
            Some(Sampling::Never) | None => false,
            Some(Sampling::Ratio(share)) => self.random.share(0.0..1.0) < share,
        }
    }

    /// Starts a span below `above`, which is exported if that is wanted.
    pub(crate) fn start(&self, new: NewSpan, above: &Below, is_exported: bool) -> Span {
        let NewSpan { name, kind, attributes, since } = new;
        let exported = self.exported.as_ref().filter(|_| is_exported);
        let context = exported.map_or_else(
            || above.context.clone(),
            |exported| {
                let builder = SpanBuilder::from_name(name.clone()).with_kind(kind.clone());
                let builder = builder.with_start_time(since.wall).with_attributes(attributes.clone());
                exported.spans.start(builder, &above.context)
            },
        );
        let is_exported = exported.is_some();
        let Some(recorder) = &self.recorder else {
            return Span::new(Below { context, kept: above.kept }, is_exported, None);
        };
        let over = above.mark();
        // A trace that is exported has the same ids here and there, unless it began elsewhere as one that is kept alone.
        let sampled = Mark::sampled(&context)
            .filter(|own| is_exported && over.is_none_or(|over| over.trace == own.trace));
        let mark = sampled.map_or_else(|| recorder.mark_below(over), |own| Mark { is_here: true, ..own });
        let span = KeptSpan {
            id: mark.span,
            parent: over.map_or(SpanId::INVALID, |over| over.span),
            name,
            kind,
            is_root: over.is_none_or(|over| !over.is_here),
            since,
            took: Duration::ZERO,
            status: None,
            detail: String::new(),
            attributes: Vec::new(),
        };
        let kept = Some((Arc::clone(recorder), Open { mark, span }));
        Span::new(Below { context, kept: Some(mark) }, is_exported, kept)
    }

    /// The span of a call: its client's, its service's, or that of an attempt.
    pub(crate) fn start_call(
        &self,
        call: (String, SpanKind, Moment),
        above: &Below,
        is_exported: bool,
    ) -> Span {
        let (method, kind, since) = call;
        let mut attributes = Vec::new();
        if is_exported {
            attributes.extend([
                KeyValue::new(names::RPC_SYSTEM, names::SYSTEM),
                KeyValue::new(names::RPC_METHOD, method.clone()),
            ]);
            attributes.extend(self.node.clone().map(|node| KeyValue::new(names::NODE, node)));
        }
        self.start(NewSpan { name: method.into(), kind, attributes, since }, above, is_exported)
    }
}

// === impl Tracer ===

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sampling = self.exported.as_ref().map(|exported| exported.sampling);
        f.debug_struct("Tracer")
            .field("sampling", &sampling)
            .field("recorder", &self.recorder)
            .finish_non_exhaustive()
    }
}
