//! What travels of a trace: with a call, and from a handler to the calls that it makes.
//!
//! The context of OpenTelemetry is the carrier within a process: while the handler of a call that belongs to a trace is
//! polled, it is the current one, so that spans of `tracing` and the handler's own calls are found below it. This holds on
//! nodes without telemetry too, which hand on what they were given.

use std::{
    sync::{Arc, atomic::AtomicU32},
    time::SystemTime,
};

use opentelemetry::{
    Context,
    baggage::BaggageExt as _,
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
};

use crate::{
    call_tree::{self, Traced},
    telemetry::tracer::{self, Tracer},
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
    pub(crate) context: Context,
    /// When it came to this node.
    pub(crate) since: SystemTime,
    /// Where the call is this node's and recorded.
    pub(crate) recorder: Option<Recorder>,
}

/// In a context without a span: no trace begins there.
#[derive(Debug)]
pub(crate) struct Unsampled;

/// What records the attempts of a call.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) tracer: Arc<Tracer>,
    /// The full name of the method.
    pub(crate) method: String,
    /// Attempts so far.
    pub(crate) attempts: AtomicU32,
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
    pub(crate) fn of(context: Context, recorder: Option<Recorder>) -> Self {
        Self::Of(Arc::new(TraceContext { context, since: tracer::now(), recorder }))
    }

    /// That of the handler that is polled.
    pub(crate) fn inherited() -> Self {
        match call_tree::traced() {
            Traced::Undecided => Self::Undecided,
            Traced::Unsampled => Self::Unsampled,
            Traced::Context => Self::of(Context::current(), None),
        }
    }

    /// Its id as text, if it has one.
    pub(crate) fn id(&self) -> Option<String> {
        let Self::Of(trace) = self else { return None };
        let span = trace.context.span().span_context().clone();
        span.is_valid().then(|| span.trace_id().to_string())
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

    /// What a head says of it. What cannot be understood is as if it had not been said.
    pub(crate) fn take(head: &mut CallHead) -> Self {
        let Some(ids) = head.trace.take() else { return Self::Undecided };
        let mut context = Context::new();
        if let Some(span) = span_of(&ids, &head.tracestate) {
            context = context.with_remote_span_context(span);
        } else if !ids.is_empty() {
            return Self::Undecided;
        } else if head.baggage.is_empty() {
            return Self::Unsampled;
        } else {
            context = context.with_value(Unsampled);
        }
        if !head.baggage.is_empty() {
            let entries = std::mem::take(&mut head.baggage).into_iter();
            let entries =
                entries.map(|entry| (entry.key.into(), (entry.value.into(), entry.properties.into())));
            context = context.with_baggage(entries.collect::<opentelemetry::baggage::Baggage>());
        }
        Self::of(context, None)
    }
}

impl TraceContext {
    /// Whether it is recorded.
    pub(crate) fn is_sampled(&self) -> bool {
        self.context.span().span_context().is_sampled()
    }

    fn put(&self, head: &mut CallHead) {
        let span = self.context.span();
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
        let mut baggage: Vec<_> = self.context.baggage().iter().collect();
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

#[cfg(test)]
mod tests;
