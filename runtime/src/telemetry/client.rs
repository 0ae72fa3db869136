//! The caller's side of a trace: a span over all attempts of a call, and one for each of them.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use opentelemetry::{
    Context,
    baggage::BaggageExt as _,
    trace::{SpanKind, TraceContextExt as _},
};

use tokio::time::Instant;

use crate::{
    call_tree::{self, Traced},
    client::Choice,
    failure::{Failure, Reason},
    service::{Caller, Method},
    telemetry::{
        Telemetry,
        meter::{self, Side},
        moment::Moment,
        names::{self, Status},
        recorder::{Keeping, Mark},
        span::{Below, Span},
        trace::{Attempts, Trace, TraceContext, Unsampled, is_decided},
        tracer::{Decided, Tracer},
        watch::Called,
    },
};

/// A call that is recorded or measured, from its first poll to its end. One that is dropped before was given up.
pub(crate) struct Recorded {
    span: Option<Box<Span>>,
    measured: Option<(Instant, Arc<Side>, usize)>,
    /// Where somebody looks at it.
    called: Option<Arc<Called>>,
}

/// An attempt that is recorded.
pub(crate) struct Attempt(Span);

/// What a call is, as its span's kind tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// With an answer.
    Call,
    /// One way.
    Send,
}

impl Shape {
    pub(crate) const fn of(method: &Method) -> Self {
        if method.one_way { Self::Send } else { Self::Call }
    }

    /// The kind of the span of whoever calls, or serves.
    pub(crate) const fn kind(self, is_served: bool) -> SpanKind {
        match (self, is_served) {
            (Self::Call, false) => SpanKind::Client,
            (Self::Call, true) => SpanKind::Server,
            (Self::Send, false) => SpanKind::Producer,
            (Self::Send, true) => SpanKind::Consumer,
        }
    }
}

/// What is decided of a trace where a call comes to it.
pub(crate) enum Verdict {
    /// The call goes on with what its handler has, and is not recorded.
    AsBefore,
    /// There is none, and nothing else to be handed on.
    Unsampled,
    /// It is handed on, and not recorded here.
    Unrecorded(Below),
    /// Its spans here are below that; whether they are exported.
    Recorded(Below, bool),
}

/// What is to be measured: a method, by its number on a side.
pub(crate) type Measured<'a> = Option<(&'a Arc<Side>, usize)>;

/// What the trace of a call is that begins now, and its span if it is recorded.
#[cold]
pub(crate) fn begin(
    telemetry: &Telemetry,
    target: (&str, &str),
    shape: Shape,
    side: Measured<'_>,
    keeping: Keeping,
) -> (Trace, Option<Recorded>) {
    let (trace, span) = match telemetry.tracer() {
        Some(tracer) => begin_span(tracer, target, shape, keeping),
        None => (Trace::inherited(), None),
    };
    let measured = side.map(|(side, method)| {
        side.books().start();
        (Instant::now(), Arc::clone(side), method)
    });
    let is_on = span.is_some() || measured.is_some();
    (trace, is_on.then(|| Recorded { span, measured, called: None }))
}

/// As [`begin`], for a call that somebody else asked for.
pub(crate) fn begin_below(
    telemetry: &Telemetry,
    asked: Trace,
    target: (&str, &str),
    side: Measured<'_>,
) -> (Trace, Option<Recorded>) {
    match &asked {
        Trace::Undecided => begin(telemetry, target, Shape::Call, side, telemetry.keeping()),
        Trace::Of(trace) if telemetry.tracer().is_some() => {
            let _attached = trace.below.clone().into_context().attach();
            begin(telemetry, target, Shape::Call, side, Keeping::Inherits)
        }
        Trace::Unsampled | Trace::Of(_) => {
            let (_, recorded) = begin(&telemetry.untraced(), target, Shape::Call, side, Keeping::No);
            (asked, recorded)
        }
    }
}

/// What is decided of the trace of a call that stands there.
pub(crate) fn judge(tracer: &Tracer, context: &Context, kept: Option<Mark>, keeping: Keeping) -> Verdict {
    let is_open = !is_decided(context);
    let begins = is_open && tracer.samples();
    let is_sampled = || context.span().span_context().is_sampled();
    let is_exported = tracer.exports() && (begins || is_sampled());
    let is_kept = || kept.is_some() || keeping == Keeping::Begins || Mark::sampled(context).is_some();
    let below = |context| Below { context, kept };
    if is_exported || (tracer.recorder().is_some() && is_kept()) {
        let context = if begins {
            context.with_value(Decided)
        } else if is_open && tracer.exports() {
            context.with_value(Unsampled)
        } else {
            context.clone()
        };
        return Verdict::Recorded(below(context), is_exported);
    }
    if !tracer.exports() {
        return Verdict::AsBefore;
    }
    if !is_open {
        return Verdict::Unrecorded(below(context.clone()));
    }
    if kept.is_some() || !context.baggage().is_empty() {
        return Verdict::Unrecorded(below(context.with_value(Unsampled)));
    }
    Verdict::Unsampled
}

fn begin_span(
    tracer: &Arc<Tracer>,
    (service, method): (&str, &str),
    shape: Shape,
    keeping: Keeping,
) -> (Trace, Option<Box<Span>>) {
    if call_tree::traced() == Traced::Unsampled && keeping != Keeping::Begins {
        return (Trace::Unsampled, None);
    }
    let verdict = Context::map_current(|current| judge(tracer, current, current.get().copied(), keeping));
    match verdict {
        Verdict::AsBefore => (Trace::inherited(), None),
        Verdict::Unsampled => (Trace::Unsampled, None),
        Verdict::Unrecorded(below) => (Trace::of(below, None), None),
        Verdict::Recorded(above, is_exported) => {
            let kind = shape.kind(false);
            let method = names::method(service, method);
            let span = tracer.start_call((method.clone(), kind, Moment::now()), &above, is_exported);
            let tracer = Arc::clone(tracer);
            let attempts = Attempts { tracer, is_exported, method, count: AtomicU32::new(0) };
            (Trace::of(span.below().clone(), Some(attempts)), Some(Box::new(span)))
        }
    }
}

impl Recorded {
    /// The same for a call that somebody looks at.
    pub(crate) fn seen(recorded: Option<Self>, called: Option<Arc<Called>>) -> Option<Self> {
        let Some(called) = called else { return recorded };
        let mut recorded = recorded.unwrap_or(Self { span: None, measured: None, called: None });
        recorded.called = Some(called);
        Some(recorded)
    }

    /// The same for a call that a command line asks for.
    pub(crate) fn asked_by(mut self, guest: &Caller) -> Self {
        if let Some(span) = &mut self.span {
            span.set(names::GUEST, guest.to_string());
        }
        self
    }

    /// Whether there is a span of it.
    pub(crate) const fn has_span(&self) -> bool {
        self.span.is_some()
    }

    /// The call is over.
    pub(crate) fn end<T, E>(mut self, answer: &Result<Result<T, E>, Failure>) {
        self.finish(Status::of(answer));
    }

    fn finish(&mut self, status: Result<Status, &Failure>) {
        if let Some((since, side, method)) = self.measured.take() {
            side.books().end(meter::end_of(status));
            let told = status.unwrap_or_else(|failure| Status::Failed(failure.reason()));
            side.took(method, told, since.elapsed());
        }
        if let Some(called) = self.called.take() {
            called.end(status.unwrap_or_else(|failure| Status::Failed(failure.reason())), status.err());
        }
        let Some(mut span) = self.span.take() else { return };
        match status {
            Ok(status) => span.end(status, Moment::now()),
            Err(failure) => {
                if let Some(node) = failure.endpoint() {
                    span.set(names::PEER, node.to_owned());
                }
                span.end_failed(failure);
            }
        }
    }
}

impl Attempt {
    /// The next attempt of a call, if it is recorded; and what travels with it.
    #[cold]
    pub(crate) fn begin(
        trace: &TraceContext,
        choice: Choice<'_>,
        retries_left: u32,
    ) -> Option<(Trace, Self)> {
        let Attempts { tracer, is_exported, method, count } = trace.attempts.as_ref()?;
        let call = (method.clone(), SpanKind::Client, Moment::now());
        let mut span = tracer.start_call(call, &trace.below, *is_exported);
        span.set(names::ATTEMPT, i64::from(count.fetch_add(1, Relaxed) + 1));
        span.set(names::PEER, choice.endpoint().to_owned());
        span.set(names::RETRIES_LEFT, i64::from(retries_left));
        choice.tell(&mut span);
        Some((Trace::of(span.below().clone(), None), Self(span)))
    }

    /// It has an answer.
    pub(crate) fn end(mut self, status: Result<Status, &Failure>) {
        match status {
            Ok(status) => self.0.end(status, Moment::now()),
            Err(failure) => self.0.end_failed(failure),
        }
    }
}

// === impl Recorded, Attempt ===

impl Drop for Recorded {
    fn drop(&mut self) {
        self.finish(Ok(Status::Failed(Reason::Cancelled)));
    }
}

impl Drop for Attempt {
    /// A span that has ended stays as it ended.
    fn drop(&mut self) {
        self.0.end(Status::Failed(Reason::Cancelled), Moment::now());
    }
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorded").field("measured", &self.measured).finish_non_exhaustive()
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Attempt").field(&self.0).finish()
    }
}
