//! What travels of a trace: with a call, and from a handler to the calls that it makes.
//!
//! The context of OpenTelemetry is the carrier within a process: while the handler of a call that belongs to a trace is
//! polled, it is the current one, so that spans of `tracing` and the handler's own calls are found below it. This holds on
//! nodes without telemetry too, which hand on what they were given.

use std::sync::{Arc, atomic::AtomicU32};

use opentelemetry::{
    Context,
    baggage::BaggageExt as _,
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
};

use crate::{
    call_tree::{self, Traced},
    random::Random,
    telemetry::{
        moment::Moment,
        recorder::{Mark, new_trace},
        span::Below,
        tracer::{Decided, Tracer},
    },
    wire::messages::{BaggageEntry, CallHead},
};

/// What a call says of the trace that it belongs to.
#[derive(Clone, Debug, Default)]
pub(crate) enum Trace {
    /// Nothing: nobody has decided yet whether there is one.
    #[default]
    Undecided,
    /// There is none, as whoever began has decided.
    Unsampled,
    Of(Arc<TraceContext>),
}

/// A place in a trace, and baggage.
#[derive(Debug)]
pub(crate) struct TraceContext {
    pub(crate) below: Below,
    /// When it came to this node.
    pub(crate) since: Moment,
    /// Where the call is this node's and recorded.
    pub(crate) attempts: Option<Attempts>,
}

/// In a context without a span: no trace begins there.
#[derive(Debug)]
pub(crate) struct Unsampled;

/// What records the attempts of a call.
#[derive(Debug)]
pub(crate) struct Attempts {
    pub(crate) tracer: Arc<Tracer>,
    pub(crate) is_exported: bool,
    /// The full name of the method.
    pub(crate) method: String,
    /// So many, so far.
    pub(crate) count: AtomicU32,
}

/// The bytes of a trace's and a span's ids, and of the flags.
const IDS: usize = 16 + 8 + 1;
/// Bytes of a trace's state and baggage that travel with a call, less [`PER_METADATA`] for each of its metadata's entries: so
/// much a head may have beside the metadata, whatever the peer's limit for that is.
const STATE_BYTES_MAX: usize = 1000;
const PER_METADATA: usize = 10;
/// What Protobuf adds to an entry of the baggage at most.
const PER_BAGGAGE: usize = 12;

impl Trace {
    pub(crate) fn of(below: Below, attempts: Option<Attempts>) -> Self {
        Self::Of(Arc::new(TraceContext { below, since: Moment::now(), attempts }))
    }

    /// That of the handler that is polled.
    pub(crate) fn inherited() -> Self {
        match call_tree::traced() {
            Traced::Undecided => Self::Undecided,
            Traced::Unsampled => Self::Unsampled,
            Traced::Context => Self::of(Below::of(Context::current()), None),
        }
    }

    /// Its id as text, if it has one.
    pub(crate) fn id(&self) -> Option<String> {
        let Self::Of(trace) = self else { return None };
        let Below { context, kept } = &trace.below;
        let span = context.span().span_context().clone();
        let id = if span.is_valid() { Some(span.trace_id()) } else { kept.map(|mark| mark.trace) };
        id.map(|id| id.to_string())
    }

    #[inline]
    pub(crate) const fn is_undecided(&self) -> bool {
        matches!(self, Self::Undecided)
    }

    #[inline]
    pub(crate) const fn is_unsampled(&self) -> bool {
        matches!(self, Self::Unsampled)
    }

    /// The bytes of its ids that travel.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn ids(&self) -> Option<Vec<u8>> {
        let mut head = CallHead::default();
        self.put(&mut head);
        head.trace
    }

    /// Puts into a head what travels.
    pub(crate) fn put(&self, head: &mut CallHead) {
        match self {
            Self::Undecided => {}
            Self::Unsampled => head.trace = Some(Vec::new()),
            Self::Of(trace) => trace.put(head),
        }
    }

    /// The same, which the nodes that it comes to are to keep: the id of its trace.
    pub(crate) fn into_kept(self, ids: &Random) -> (Self, String) {
        let mark = |context: &Context| {
            let new = || Mark { trace: new_trace(ids), span: SpanId::INVALID, is_here: false };
            Mark::of(context).unwrap_or_else(new)
        };
        let context = match &self {
            Self::Undecided => Context::new(),
            Self::Unsampled => Context::new().with_value(Unsampled),
            Self::Of(trace) => trace.below.context.clone(),
        };
        let mark = mark(&context);
        (Self::of(Below { context, kept: Some(mark) }, None), mark.trace.to_string())
    }

    /// What a head says of it. What cannot be understood is as if it had not been said.
    pub(crate) fn take(head: &mut CallHead) -> Self {
        let (ids, baggage) = (head.trace.take(), std::mem::take(&mut head.baggage));
        let kept = head.kept.take().and_then(|ids| mark_of(&ids));
        let context = match ids {
            None => return kept.map_or(Self::Undecided, Self::kept_alone),
            Some(ids) if ids.is_empty() && baggage.is_empty() && kept.is_none() => return Self::Unsampled,
            Some(ids) if ids.is_empty() => Context::new().with_value(Unsampled),
            Some(ids) => match span_of(&ids, &head.tracestate) {
                None => return kept.map_or(Self::Undecided, Self::kept_alone),
                Some(span) => Context::new().with_remote_span_context(span),
            },
        };
        if baggage.is_empty() {
            return Self::of(Below { context, kept }, None);
        }
        let entries = baggage.into_iter();
        let entries = entries.map(|entry| (entry.key.into(), (entry.value.into(), entry.properties.into())));
        let context = context.with_baggage(entries.collect::<opentelemetry::baggage::Baggage>());
        Self::of(Below { context, kept }, None)
    }

    /// Kept, and nobody has decided whether it is sampled.
    fn kept_alone(mark: Mark) -> Self {
        Self::of(Below { context: Context::new(), kept: Some(mark) }, None)
    }
}

impl TraceContext {
    fn put(&self, head: &mut CallHead) {
        let context = &self.below.context;
        if is_decided(context) {
            put_context(context, head);
        }
        // What is sampled is kept by the same ids, unless it says otherwise.
        let said = Mark::sampled(context).map(|mark| (mark.trace, mark.span));
        if let Some(mark) = self.below.kept.filter(|mark| said != Some((mark.trace, mark.span))) {
            head.kept = Some([&mark.trace.to_bytes()[..], &mark.span.to_bytes()].concat());
        }
    }
}

/// Whether it is known of a context that its calls are sampled, or are not.
pub(crate) fn is_decided(context: &Context) -> bool {
    context.span().span_context().is_valid()
        || context.get::<Unsampled>().is_some()
        || context.get::<Decided>().is_some()
}

fn put_context(context: &Context, head: &mut CallHead) {
    let span = context.span();
    let span = span.span_context();
    let mut room = STATE_BYTES_MAX.saturating_sub(PER_METADATA * head.metadata.len());
    let mut ids = Vec::with_capacity(IDS);
    if span.is_valid() {
        ids.extend_from_slice(&span.trace_id().to_bytes());
        ids.extend_from_slice(&span.span_id().to_bytes());
        ids.push(span.trace_flags().to_u8());
        let state = span.trace_state().header();
        if let Some(left) = room.checked_sub(state.len()) {
            (room, head.tracestate) = (left, state);
        }
    }
    head.trace = Some(ids);
    let mut baggage: Vec<_> = context.baggage().iter().collect();
    // The same leaves each time where not everything has room.
    baggage.sort_unstable_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
    for (key, (value, properties)) in baggage {
        let (key, value, properties) = (key.as_str(), value.as_str(), properties.as_str());
        let length = key.len() + value.len() + properties.len() + PER_BAGGAGE;
        let Some(left) = room.checked_sub(length) else { continue };
        room = left;
        let [key, value, properties] = [key, value, properties].map(str::to_owned);
        head.baggage.push(BaggageEntry { key, value, properties });
    }
}

/// A span on another node. Bytes behind those that are known are skipped.
fn span_of(ids: &[u8], tracestate: &str) -> Option<SpanContext> {
    let (trace, rest) = ids.split_first_chunk()?;
    let (span, rest) = rest.split_first_chunk()?;
    let flags = TraceFlags::new(*rest.first()?);
    let state: TraceState = tracestate.parse().unwrap_or_default();
    let span = SpanContext::new(TraceId::from_bytes(*trace), SpanId::from_bytes(*span), flags, true, state);
    span.is_valid().then_some(span)
}

/// Where a kept trace stands on another node. Bytes behind those that are known are skipped.
fn mark_of(ids: &[u8]) -> Option<Mark> {
    let (trace, rest) = ids.split_first_chunk()?;
    let (span, _) = rest.split_first_chunk()?;
    let (trace, span) = (TraceId::from_bytes(*trace), SpanId::from_bytes(*span));
    (trace != TraceId::INVALID).then_some(Mark { trace, span, is_here: false })
}

#[cfg(test)]
mod tests;
