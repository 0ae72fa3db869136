//! The service's side of a trace: a span from a call's arrival to its answer, and below it the time in the queue and the
//! handler.
//!
//! Nothing is made while a call waits: when its handler begins, or it is refused, its arrival is known, and the spans are made
//! with hindsight.

use std::{fmt, sync::Arc};

use opentelemetry::{Context, ContextGuard, trace::SpanKind};
use qmesh_transport::Role;
use tokio::time::Instant;

use crate::{
    call_tree::{Ended, Traced},
    failure::{Failure, Reason},
    service::{CallScope, Caller, Method},
    telemetry::{
        client::{Shape, Verdict, judge},
        meter::Side,
        moment::Moment,
        names::{self, Status},
        recorder::{Keeping, Unkept},
        span::{Below, Span},
        trace::Trace,
        tracer::{NewSpan, Tracer},
        watch::Served,
    },
};

/// A handler at work whose call belongs to a trace, or is measured.
pub(crate) struct Handling {
    /// What its calls and spans are found below.
    context: Option<Context>,
    /// The spans of the whole call and of the handler, where it is recorded here.
    spans: Option<(Span, Span)>,
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
    #[inline]
    pub(crate) fn begin(call: Arrived<'_>) -> (Traced, Option<Box<Self>>) {
        if call.trace.is_unsampled() && call.weight.is_none() && call.scope.core.side.is_none() {
            return (Traced::Unsampled, None);
        }
        Self::begin_told(call)
    }

    #[cold]
    fn begin_told(call: Arrived<'_>) -> (Traced, Option<Box<Self>>) {
        let (number, method) = call.method;
        let side = call.scope.core.side.as_ref();
        let measured = side.map(|side| (call.queued_at, Arc::clone(side), number));
        let served = call.served();
        let is_measured = measured.is_some() || served.is_some();
        let handling = |context, spans| {
            Box::new(Self { context, spans, one_way: method.one_way, measured, served, answered: None })
        };
        let (tracer, server) = match call.server_span() {
            Ok(recorded) => recorded,
            Err(Some(below)) => {
                return (Traced::Context, Some(handling(Some(below.into_context()), None)));
            }
            Err(None) if is_measured => return (call.undecided(), Some(handling(None, None))),
            Err(None) => return (call.undecided(), None),
        };
        let (queued, now) = (Moment::of(call.queued_at), Moment::now());
        let part = |name: &'static str, since| {
            let span = NewSpan { name: name.into(), kind: SpanKind::Internal, attributes: Vec::new(), since };
            tracer.start(span, server.below(), server.is_exported)
        };
        part(names::QUEUE_SPAN, queued).end_part(None, now);
        let handler = part(names::HANDLER_SPAN, now);
        let context = handler.below().clone().into_context();
        (Traced::Context, Some(handling(Some(context), Some((server, handler)))))
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
        let Some((mut server, mut handler)) = self.spans else { return };
        let over = Moment::of(over);
        handler.end_part(matches!(status, Status::Failed(_)).then_some(status), over);
        server.end(status, over);
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
        match self.server_span() {
            Ok((_, mut server)) => server.end_failed(failure),
            Err(_) => self.unkept(failure),
        }
    }

    /// The call, where somebody looks at it.
    fn served(&self) -> Option<(Instant, Served)> {
        let (weight, scope) = (self.weight?, self.scope);
        let watch = scope.core.telemetry.watched()?;
        let from = self.guest().map(Caller::to_string).unwrap_or_default();
        // What a command line asks of this very node comes from no other.
        let node =
            if scope.caller.role() == Role::Client { scope.core.node.name() } else { scope.caller.name() };
        let served = watch.serve((from, node.to_owned()), (scope.core.name, self.method.1.name), weight);
        Some((self.queued_at, served))
    }

    /// The command line that asks, itself or by way of another node.
    fn guest(&self) -> Option<&Caller> {
        let CallScope { guest, caller, .. } = self.scope;
        guest.as_ref().or_else(|| (caller.role() == Role::Client).then_some(caller))
    }

    /// It has failed, and is not recorded.
    fn unkept(&self, failure: &Failure) {
        let (_, method) = self.method;
        self.scope.core.telemetry.failed(Unkept {
            method: (self.scope.core.name, method.name),
            shape: Shape::of(method),
            is_served: true,
            since: Some(self.queued_at),
            peer: Some(self.scope.caller.name()),
            failure,
        });
    }

    /// The span of the call, and what made it; or what its trace is where it is not recorded here, if there is one.
    fn server_span(&self) -> Result<(&Arc<Tracer>, Span), Option<Below>> {
        let Some(tracer) = self.tracer() else {
            return Err(match self.trace {
                Trace::Of(trace) => Some(trace.below.clone()),
                Trace::Undecided | Trace::Unsampled => None,
            });
        };
        let verdict = match self.trace {
            Trace::Unsampled => return Err(None),
            Trace::Undecided => judge(tracer, &Context::new(), None, Keeping::No),
            Trace::Of(trace) => judge(tracer, &trace.below.context, trace.below.kept, Keeping::Inherits),
        };
        let (above, is_exported) = match (verdict, self.trace) {
            (Verdict::Recorded(above, is_exported), _) => (above, is_exported),
            (Verdict::Unrecorded(below), _) => return Err(Some(below)),
            (_, Trace::Of(trace)) => return Err(Some(trace.below.clone())),
            (_, Trace::Undecided | Trace::Unsampled) => return Err(None),
        };
        let queued = Moment::of(self.queued_at);
        let since = match self.trace {
            Trace::Of(trace) => trace.since.earlier(queued),
            Trace::Undecided | Trace::Unsampled => queued,
        };
        let (_, method) = self.method;
        let name = names::method(self.scope.core.name, method.name);
        let mut server = tracer.start_call((name, Shape::of(method).kind(true), since), &above, is_exported);
        server.set(names::PEER, self.scope.caller.name().to_owned());
        if let Some(guest) = self.guest() {
            server.set(names::GUEST, guest.to_string());
        }
        Ok((tracer, server))
    }

    /// What is known of a trace where the call is not recorded.
    fn undecided(&self) -> Traced {
        if self.trace.is_undecided() && self.tracer().is_none_or(|tracer| !tracer.exports()) {
            Traced::Undecided
        } else {
            Traced::Unsampled
        }
    }

    fn tracer(&self) -> Option<&Arc<Tracer>> {
        self.scope.core.telemetry.tracer()
    }
}

// === impl Handling ===

impl fmt::Debug for Handling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handling").field("measured", &self.measured).finish_non_exhaustive()
    }
}
