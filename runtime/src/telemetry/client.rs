//! The caller's side of a trace: a span over all attempts of a call, and one for each of them.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use opentelemetry::{
    Context, KeyValue,
    baggage::BaggageExt as _,
    trace::{SpanKind, TraceContextExt as _},
};

use tokio::time::Instant;

use crate::{
    call_tree::{self, Traced},
    failure::{Failure, Reason},
    telemetry::{
        Telemetry,
        meter::{self, Side},
        names::{self, Status},
        trace::{Recorder, Trace, TraceContext, Unsampled},
        tracer::{self, Decided, Tracer},
        watch::Called,
    },
};

/// A call that is recorded or measured, from its first poll to its end. One that is dropped before was given up.
pub(crate) struct Recorded {
    span: Option<Context>,
    measured: Option<(Instant, Arc<Side>, usize)>,
    /// Where somebody looks at it.
    called: Option<Arc<Called>>,
}

/// An attempt that is recorded.
pub(crate) struct Attempt(Context);

/// What a call is, as its span's kind tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// With an answer.
    Call,
    /// One way.
    Send,
}

/// What the trace of a call is that begins now, and its span if it is recorded. It is measured as the method of that number
/// on that side.
#[cold]
pub(crate) fn begin(
    telemetry: &Telemetry,
    target: (&str, &str),
    shape: Shape,
    side: Option<(&Arc<Side>, usize)>,
) -> (Trace, Option<Recorded>) {
    let (trace, span) = match telemetry.tracer() {
        Some(tracer) => begin_span(tracer, target, shape),
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
    side: Option<(&Arc<Side>, usize)>,
) -> (Trace, Option<Recorded>) {
    match &asked {
        Trace::Undecided => begin(telemetry, target, Shape::Call, side),
        Trace::Of(trace) if telemetry.tracer().is_some() => {
            let _attached = trace.context.clone().attach();
            begin(telemetry, target, Shape::Call, side)
        }
        Trace::Unsampled | Trace::Of(_) => {
            let (_, recorded) = begin(&telemetry.untraced(), target, Shape::Call, side);
            (asked, recorded)
        }
    }
}

fn begin_span(
    tracer: &Arc<Tracer>,
    (service, method): (&str, &str),
    shape: Shape,
) -> (Trace, Option<Context>) {
    if call_tree::traced() == Traced::Unsampled {
        return (Trace::Unsampled, None);
    }
    let parent = Context::map_current(|current| {
        let begins = !current.span().span_context().is_valid() && current.get::<Unsampled>().is_none();
        if begins && !tracer.samples() {
            let has_baggage = !current.baggage().is_empty();
            return has_baggage.then(|| Err(current.with_value(Unsampled)));
        }
        let is_recorded = begins || current.span().span_context().is_sampled();
        let parent = if begins { current.with_value(Decided) } else { current.clone() };
        Some(if is_recorded { Ok(parent) } else { Err(parent) })
    });
    match parent {
        None => (Trace::Unsampled, None),
        Some(Err(unrecorded)) => (Trace::of(unrecorded, None), None),
        Some(Ok(parent)) => {
            let kind = if shape == Shape::Send { SpanKind::Producer } else { SpanKind::Client };
            let method = names::method(service, method);
            let context = tracer.start_call(method.clone(), kind, tracer::now(), &parent);
            let recorder = Recorder { tracer: Arc::clone(tracer), method, attempts: AtomicU32::new(0) };
            (Trace::of(context.clone(), Some(recorder)), Some(context))
        }
    }
}

impl Recorded {
    /// The same for a call that somebody looks at.
    pub(crate) fn seen(recorded: Option<Self>, called: Option<Arc<Called>>) -> Option<Self> {
        let is_on = recorded.is_some() || called.is_some();
        let mut recorded = recorded.unwrap_or(Self { span: None, measured: None, called: None });
        recorded.called = called;
        is_on.then_some(recorded)
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
        let Some(context) = self.span.take() else { return };
        match status {
            Ok(status) => tracer::end(&context, status, tracer::now()),
            Err(failure) => {
                if let Some(node) = failure.endpoint() {
                    context.span().set_attribute(KeyValue::new(names::PEER, node.to_owned()));
                }
                tracer::end_failed(&context, failure);
            }
        }
    }
}

impl Attempt {
    /// The next attempt of a call at `node`, if it is recorded; and what travels with it.
    #[cold]
    pub(crate) fn begin(trace: &TraceContext, node: &str) -> Option<(Trace, Self)> {
        let Recorder { tracer, method, attempts } = trace.recorder.as_ref()?;
        let context = tracer.start_call(method.clone(), SpanKind::Client, tracer::now(), &trace.context);
        let span = context.span();
        span.set_attribute(KeyValue::new(names::ATTEMPT, i64::from(attempts.fetch_add(1, Relaxed) + 1)));
        span.set_attribute(KeyValue::new(names::PEER, node.to_owned()));
        Some((Trace::of(context.clone(), None), Self(context)))
    }

    /// It has an answer.
    pub(crate) fn end(self, status: Result<Status, &Failure>) {
        match status {
            Ok(status) => tracer::end(&self.0, status, tracer::now()),
            Err(failure) => tracer::end_failed(&self.0, failure),
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
        tracer::end(&self.0, Status::Failed(Reason::Cancelled), tracer::now());
    }
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorded").field("measured", &self.measured).finish_non_exhaustive()
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Attempt").field(self.0.span().span_context()).finish()
    }
}
