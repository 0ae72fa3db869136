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
use tokio::time::Instant;

use crate::{
    call_tree::{Ended, Traced},
    failure::{Failure, Reason},
    service::{CallScope, Method},
    telemetry::{
        names::{self, Status},
        trace::Trace,
        tracer::{self, Decided, NewSpan, Tracer},
    },
};

/// A handler at work whose call belongs to a trace.
pub(crate) struct Handling {
    /// What its calls and spans are found below.
    context: Context,
    /// The span of the whole call, where it is recorded here.
    server: Option<Context>,
    one_way: bool,
}

/// A call that waits at its service, or waited.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived<'a> {
    pub(crate) scope: &'a CallScope,
    pub(crate) method: &'a Method,
    pub(crate) trace: &'a Trace,
    pub(crate) queued_at: Instant,
}

impl Handling {
    /// The handler of a call begins.
    #[cold]
    pub(crate) fn begin(call: Arrived<'_>) -> (Traced, Option<Box<Self>>) {
        let one_way = call.method.one_way;
        let handling = |context, server| (Traced::Context, Some(Box::new(Self { context, server, one_way })));
        let (tracer, server) = match call.server_span() {
            Ok(recorded) => recorded,
            Err(Some(context)) => return handling(context, None),
            Err(None) => return (Traced::Unsampled, None),
        };
        let (queued, now) = (call.queued(), tracer::now());
        let span = |name: &'static str, since| {
            let span = NewSpan { name: name.into(), kind: SpanKind::Internal, attributes: Vec::new(), since };
            tracer.start(span, &server)
        };
        span(names::QUEUE_SPAN, queued).span().end_with_timestamp(now);
        handling(span(names::HANDLER_SPAN, now), Some(server))
    }

    /// Makes the trace the current one while the handler is polled.
    pub(crate) fn attach(&self) -> ContextGuard {
        self.context.clone().attach()
    }

    /// The handler is over.
    pub(crate) fn end(self, ended: Ended) {
        let Some(server) = self.server else { return };
        let status = match ended {
            Ended::Answered => Status::Ok,
            Ended::ServiceError => Status::ServiceError,
            Ended::Failed(reason) => Status::Failed(reason),
            Ended::Done if self.one_way => Status::Ok,
            // Its reply went without an answer, and said that.
            Ended::Done | Ended::Dropped => Status::Failed(Reason::Cancelled),
        };
        let handler = self.context.span();
        if let Status::Failed(_) = status {
            handler.set_status(SpanStatus::error(status.code()));
        }
        handler.end();
        tracer::end(&server, status);
    }
}

impl Arrived<'_> {
    /// The call will not run.
    #[cold]
    pub(crate) fn refused(self, failure: &Failure) {
        if let Ok((_, server)) = self.server_span() {
            tracer::end_failed(&server, failure);
        }
    }

    /// The span of the call, and what made it; or what its trace is where it is not recorded here, if there is one.
    fn server_span(&self) -> Result<(&Arc<Tracer>, Context), Option<Context>> {
        let (parent, since) = match self.trace {
            Trace::Unsampled => return Err(None),
            Trace::Undecided => match self.tracer() {
                Some(tracer) if tracer.samples() => (Context::new().with_value(Decided), self.queued()),
                _ => return Err(None),
            },
            Trace::Of(trace) if trace.is_sampled() => (trace.context.clone(), trace.since),
            Trace::Of(trace) => return Err(Some(trace.context.clone())),
        };
        let Some(tracer) = self.tracer() else { return Err(Some(parent)) };
        let kind = if self.method.one_way { SpanKind::Consumer } else { SpanKind::Server };
        let method = names::method(self.scope.core.name, self.method.name);
        let server = tracer.start_call(method, kind, since, &parent);
        let peer = self.scope.caller.name().to_owned();
        server.span().set_attribute(KeyValue::new(names::PEER, peer));
        Ok((tracer, server))
    }

    fn tracer(&self) -> Option<&Arc<Tracer>> {
        self.scope.core.telemetry.tracer()
    }

    fn queued(&self) -> SystemTime {
        let now = tracer::now();
        now.checked_sub(self.queued_at.elapsed()).unwrap_or(now)
    }
}

// === impl Handling ===

impl fmt::Debug for Handling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handling").field(self.context.span().span_context()).finish()
    }
}
