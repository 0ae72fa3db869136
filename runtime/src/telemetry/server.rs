//! The service's side of a trace: a span from a call's arrival to its answer, and below it the time in the queue and the
//! handler.
//!
//! Nothing is made while a call waits: when its handler begins, or it is refused, its arrival is known, and the spans are made
//! with hindsight.

use std::{fmt, sync::Arc, time::SystemTime};

use opentelemetry::{
    Context, ContextGuard, KeyValue,
    trace::{SpanKind, Status as SpanStatus, TraceContextExt as _},
};
use qmesh_transport::Role;
use tokio::time::Instant;

use crate::{
    call_tree::{Ended, Traced},
    failure::{Failure, Reason},
    service::{CallScope, Caller, Method},
    telemetry::{
        meter::Side,
        names::{self, Status},
        trace::Trace,
        tracer::{self, Decided, NewSpan, Tracer},
        watch::Served,
    },
};

/// A handler at work whose call belongs to a trace, or is measured.
pub(crate) struct Handling {
    /// What its calls and spans are found below.
    context: Option<Context>,
    /// The span of the whole call, where it is recorded here.
    server: Option<Context>,
    one_way: bool,
    measured: Option<(Instant, Arc<Side>, usize)>,
    /// Where somebody looks at it, since it came.
    served: Option<(Instant, Served)>,
    /// When it had its answer, which is on its way from then on.
    pub(crate) answered: Option<Instant>,
}

/// A call that waits at its service, or waited.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived<'a> {
    pub(crate) scope: &'a CallScope,
    /// Its number, and what it is.
    pub(crate) method: (usize, &'a Method),
    pub(crate) trace: &'a Trace,
    pub(crate) queued_at: Instant,
    /// What it stands for, where somebody looks.
    pub(crate) weight: Option<u64>,
}

impl Handling {
    /// The handler of a call begins.
    #[cold]
    pub(crate) fn begin(call: Arrived<'_>) -> (Traced, Option<Box<Self>>) {
        let (number, method) = call.method;
        let side = call.scope.core.side.as_ref();
        let measured = side.map(|side| (call.queued_at, Arc::clone(side), number));
        let served = call.served();
        let is_measured = measured.is_some() || served.is_some();
        let handling = |context, server| {
            Box::new(Self { context, server, one_way: method.one_way, measured, served, answered: None })
        };
        let queued = time_of(call.queued_at);
        let (tracer, server) = match call.server_span(queued) {
            Ok(recorded) => recorded,
            Err(Some(context)) => return (Traced::Context, Some(handling(Some(context), None))),
            Err(None) if is_measured => return (call.undecided(), Some(handling(None, None))),
            Err(None) => return (call.undecided(), None),
        };
        let now = tracer::now();
        let span = |name: &'static str, since| {
            let span = NewSpan { name: name.into(), kind: SpanKind::Internal, attributes: Vec::new(), since };
            tracer.start(span, &server)
        };
        span(names::QUEUE_SPAN, queued).span().end_with_timestamp(now);
        let handler = span(names::HANDLER_SPAN, now);
        (Traced::Context, Some(handling(Some(handler), Some(server))))
    }

    /// Makes the trace the current one while the handler is polled.
    pub(crate) fn attach(&self) -> Option<ContextGuard> {
        self.context.clone().map(Context::attach)
    }

    /// The handler is over.
    pub(crate) fn end(self, ended: Ended) {
        let status = match ended {
            Ended::Answered => Status::Ok,
            Ended::ServiceError => Status::ServiceError,
            Ended::Failed(reason) => Status::Failed(reason),
            Ended::Done if self.one_way => Status::Ok,
            // Its reply went without an answer, and said that.
            Ended::Done | Ended::Dropped => Status::Failed(Reason::Cancelled),
        };
        let over = self.answered.unwrap_or_else(Instant::now);
        if let Some((since, side, method)) = &self.measured {
            side.took(*method, status, over.saturating_duration_since(*since));
        }
        if let Some((since, served)) = self.served {
            served.end(status, over.saturating_duration_since(since));
        }
        let Some((server, handler)) = self.server.zip(self.context) else { return };
        let (handler, over) = (handler.span(), time_of(over));
        if let Status::Failed(_) = status {
            handler.set_status(SpanStatus::error(status.code()));
        }
        handler.end_with_timestamp(over);
        tracer::end(&server, status, over);
    }
}

impl Arrived<'_> {
    /// The call will not run.
    #[cold]
    pub(crate) fn refused(self, failure: &Failure) {
        if let Some(side) = &self.scope.core.side {
            side.took(self.method.0, Status::Failed(failure.reason()), self.queued_at.elapsed());
        }
        if let Some((since, served)) = self.served() {
            served.end(Status::Failed(failure.reason()), since.elapsed());
        }
        if let Ok((_, server)) = self.server_span(time_of(self.queued_at)) {
            tracer::end_failed(&server, failure);
        }
    }

    /// The call, where somebody looks at it.
    fn served(&self) -> Option<(Instant, Served)> {
        let (weight, scope) = (self.weight?, self.scope);
        let watch = scope.core.telemetry.watched()?;
        let guest =
            scope.guest.as_ref().or_else(|| (scope.caller.role() == Role::Client).then_some(&scope.caller));
        let from = guest.map(Caller::to_string).unwrap_or_default();
        // What a command line asks of this very node comes from no other.
        let node =
            if scope.caller.role() == Role::Client { scope.core.node.name() } else { scope.caller.name() };
        let served = watch.serve((from, node.to_owned()), (scope.core.name, self.method.1.name), weight);
        Some((self.queued_at, served))
    }

    /// The span of the call, and what made it; or what its trace is where it is not recorded here, if there is one.
    fn server_span(&self, queued: SystemTime) -> Result<(&Arc<Tracer>, Context), Option<Context>> {
        let (parent, since) = match self.trace {
            Trace::Unsampled => return Err(None),
            Trace::Undecided => match self.tracer() {
                Some(tracer) if tracer.samples() => (Context::new().with_value(Decided), queued),
                _ => return Err(None),
            },
            Trace::Of(trace) if trace.is_sampled() => (trace.context.clone(), trace.since.min(queued)),
            Trace::Of(trace) => return Err(Some(trace.context.clone())),
        };
        let Some(tracer) = self.tracer() else { return Err(Some(parent)) };
        let (_, method) = self.method;
        let kind = if method.one_way { SpanKind::Consumer } else { SpanKind::Server };
        let method = names::method(self.scope.core.name, method.name);
        let server = tracer.start_call(method, kind, since, &parent);
        let peer = self.scope.caller.name().to_owned();
        server.span().set_attribute(KeyValue::new(names::PEER, peer));
        Ok((tracer, server))
    }

    /// What is known of a trace where the call is not recorded.
    fn undecided(&self) -> Traced {
        if self.trace.is_undecided() && self.tracer().is_none() {
            Traced::Undecided
        } else {
            Traced::Unsampled
        }
    }

    fn tracer(&self) -> Option<&Arc<Tracer>> {
        self.scope.core.telemetry.tracer()
    }
}

/// The time of day at which that was.
fn time_of(past: Instant) -> SystemTime {
    let now = tracer::now();
    now.checked_sub(past.elapsed()).unwrap_or(now)
}

// === impl Handling ===

impl fmt::Debug for Handling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handling").field("measured", &self.measured).finish_non_exhaustive()
    }
}
