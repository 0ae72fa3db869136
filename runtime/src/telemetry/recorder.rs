//! The flight recorder of a node: spans of a share of its traces, kept in memory for whoever asks, without any other tool.
//!
//! It decides at the beginning of a trace, as sampling does, but by a bucket of so many traces each second; what
//! OpenTelemetry samples it keeps beside. A call that fails and was not kept leaves one span. What is kept is bounded in
//! number and in size (`recorder/shelf.rs`, `recorder/kept.rs`).

mod bucket;
mod kept;
mod shelf;

use std::{fmt, time::Duration};

use opentelemetry::{
    Context, KeyValue,
    trace::{SpanId, TraceContextExt as _, TraceId},
};
use parking_lot::Mutex;
use tokio::time::Instant;

use bucket::Bucket;
pub(crate) use kept::KeptSpan;
use shelf::Shelf;

use crate::{
    call_tree::{self, Traced},
    config::Config,
    control_api::{SpanInfo, TraceFilter, TraceInfo},
    failure::Failure,
    random::Random,
    telemetry::{
        client::Shape,
        moment::Moment,
        names::{self, Status},
    },
};

/// Failed calls that were not kept, and leave a span each second, at most. Further ones leave none.
const FAILURES_PER_SECOND: u32 = 100;
/// Spans in one answer to somebody who asks for a trace.
const ANSWER_SPANS_MAX: usize = 512;
/// Traces in one answer.
const ANSWER_TRACES_MAX: usize = 1024;

/// What a node keeps of its traces, and which it keeps.
pub(crate) struct Recorder {
    node: String,
    slow: Duration,
    begins: Bucket,
    failures: Bucket,
    ids: Random,
    shelf: Mutex<Shelf>,
}

/// Where a kept trace stands: its id, and the span that is above what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) trace: TraceId,
    /// Invalid where the trace has an id and no span yet.
    pub(crate) span: SpanId,
    /// This node keeps that span.
    pub(crate) is_here: bool,
}

/// Whether a call that begins now is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeping {
    No,
    /// A trace begins with it, and is kept.
    Begins,
    /// If that of its handler is.
    Inherits,
}

/// A span under way that is to be kept. It is kept when it ends.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) mark: Mark,
    pub(crate) span: KeptSpan,
}

/// A call that failed and was not kept.
#[derive(Clone, Debug)]
pub(crate) struct Unkept<'a> {
    pub(crate) method: (&'a str, &'a str),
    pub(crate) shape: Shape,
    /// This node was to serve it.
    pub(crate) is_served: bool,
    /// None where nobody knows when it began.
    pub(crate) since: Option<Instant>,
    /// The other node.
    pub(crate) peer: Option<&'a str>,
    pub(crate) failure: &'a Failure,
}

impl Mark {
    /// That of a context: our own, or that of a span which is sampled.
    pub(crate) fn of(context: &Context) -> Option<Self> {
        context.get::<Self>().copied().or_else(|| Self::sampled(context))
    }

    /// That of a span which is sampled.
    pub(crate) fn sampled(context: &Context) -> Option<Self> {
        let span = context.span();
        let span = span.span_context();
        let mark = Self { trace: span.trace_id(), span: span.span_id(), is_here: false };
        (span.is_valid() && span.is_sampled()).then_some(mark)
    }
}

impl Recorder {
    /// The recorder of the node of that name, if its configuration wants one.
    pub(crate) fn new(node: &str, config: &Config, random: &Random) -> Option<Self> {
        let per_second = config.kept_traces_per_second;
        (per_second > 0).then(|| Self {
            node: node.to_owned(),
            slow: config.slow_call,
            begins: Bucket::new(per_second),
            failures: Bucket::new(FAILURES_PER_SECOND),
            ids: Random::seeded(random.next()),
            shelf: Mutex::default(),
        })
    }

    /// Whether a call that begins now is kept.
    #[inline]
    pub(crate) fn keeping(&self) -> Keeping {
        match call_tree::traced_within() {
            None if self.begins.take() => Keeping::Begins,
            Some(Traced::Context) => Keeping::Inherits,
            None | Some(Traced::Undecided | Traced::Unsampled) => Keeping::No,
        }
    }

    /// The mark of a new span below `above`.
    pub(crate) fn mark_below(&self, above: Option<Mark>) -> Mark {
        let trace = above.map_or_else(|| new_trace(&self.ids), |above| above.trace);
        Mark { trace, span: self.new_span(), is_here: true }
    }

    /// Keeps a span that has ended.
    pub(crate) fn keep(&self, open: Open) {
        let Open { mark, span } = open;
        let is_notable = span.is_root && (span.has_failed() || span.took >= self.slow);
        self.shelf.lock().add(mark.trace, span.bounded(), is_notable);
    }

    /// A call that was not kept has failed: of most such, one span is left.
    #[cold]
    pub(crate) fn failed(&self, call: Unkept<'_>) {
        if !self.failures.take() {
            return;
        }
        let (service, method) = call.method;
        let now = Moment::now();
        let since = call.since.map_or(now, Moment::of);
        let mut attributes = vec![
            KeyValue::new(names::OUTCOME, names::outcome_code(call.failure.outcome())),
            KeyValue::new(names::ALONE, true),
        ];
        attributes.extend(call.peer.map(|peer| KeyValue::new(names::PEER, peer.to_owned())));
        let span = KeptSpan {
            id: self.new_span(),
            parent: SpanId::INVALID,
            name: names::method(service, method).into(),
            kind: call.shape.kind(call.is_served),
            is_root: true,
            since,
            took: now.since(since),
            status: Some(Status::Failed(call.failure.reason())),
            detail: call.failure.detail().to_owned(),
            attributes,
        };
        self.shelf.lock().add(new_trace(&self.ids), span.bounded(), true);
    }

    /// The calls that traces begin with on this node, as far as they are as asked; the latest first.
    pub(crate) fn traces(&self, filter: &TraceFilter) -> Vec<TraceInfo> {
        let shelf = self.shelf.lock();
        let roots = shelf.traces().flat_map(|(trace, kept)| {
            kept.spans.iter().rev().filter(|span| span.is_root).map(move |span| (trace, span))
        });
        let wanted = roots.filter(|(_, span)| wants(filter, span));
        let max = usize::try_from(filter.max).unwrap_or(usize::MAX).min(ANSWER_TRACES_MAX);
        wanted.take(max).map(|(trace, span)| span.summary(trace, &self.node)).collect()
    }

    /// The spans of all traces whose id begins so.
    pub(crate) fn spans(&self, prefix: &str) -> Vec<SpanInfo> {
        let shelf = self.shelf.lock();
        let traces = shelf.traces().filter(|(trace, _)| trace.to_string().starts_with(prefix));
        let spans = traces.flat_map(|(trace, kept)| kept.spans.iter().map(move |span| (trace, span)));
        spans.take(ANSWER_SPANS_MAX).map(|(trace, span)| span.info(trace, &self.node)).collect()
    }

    fn new_span(&self) -> SpanId {
        SpanId::from(self.ids.next().max(1))
    }
}

fn wants(filter: &TraceFilter, span: &KeptSpan) -> bool {
    let ended = match filter.outcome.as_deref() {
        None => true,
        Some("failed") => span.has_failed(),
        Some(code) => span.status.is_some_and(|status| status.code() == code),
    };
    let service = filter.service.as_deref();
    ended
        && service.is_none_or(|service| span.method().0 == service)
        && span.took >= Duration::from_millis(filter.min_ms)
}

/// The id of a trace that begins.
pub(crate) fn new_trace(ids: &Random) -> TraceId {
    TraceId::from((u128::from(ids.next()) << 64 | u128::from(ids.next())).max(1))
}

// === impl Recorder ===

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("node", &self.node).finish_non_exhaustive()
    }
}
