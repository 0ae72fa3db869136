//! A command line's calls with streams: each has a channel of its own on the session with the node, which joins it to
//! one of the endpoint's.

use std::{
    task::{Poll, ready},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture, stream};
use serde_json::Value;
use tokio::{sync::oneshot, time::Instant};

use crate::{
    channel::{
        caller::Answer,
        head::Head,
        items,
        open::{self, OpenChannel},
        stream_caller::{self, StreamCaller},
    },
    client::{DynamicError, IdleClock, Patience, ServiceError, unreadable},
    codec::Codec,
    config::{Limits, deadline_after},
    control_api::MethodInfo,
    control_client::ControlClient,
    duration::millis,
    failure::{CallError, Failure},
    stream::Receiver,
    wire::{
        frame::status,
        messages::{Open, OpenMethod},
    },
};

/// What a service answers to a call with streams, as JSON.
#[derive(Debug)]
pub enum StreamAnswer {
    /// The value of a method that takes a stream and returns none.
    Value(Value),
    /// The stream that the service sends.
    Items(Receiver<Value>),
}

/// How long a call with streams may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamTimes {
    /// How long the service may take to answer; where the caller sends a stream, from its end.
    pub answer: Duration,
    /// How long its streams may be still, as [`StreamCall::idle_timeout`](crate::StreamCall::idle_timeout) has it;
    /// none is without limit.
    pub idle: Option<Duration>,
}

impl ControlClient {
    /// Calls a method with streams of any service of the mesh through this node: arguments by parameter name without
    /// the stream, and the stream if the method takes one.
    ///
    /// It resolves when the service has answered. No task runs beside it: the caller's stream goes on while the call
    /// or the stream in its answer is polled, and that stream ends when both are over. Where its streams have an idle limit, it
    /// counts while the caller waits for an item.
    ///
    /// # Errors
    /// Why the call failed, or the service's own error. Its streams are cut.
    ///
    /// # Cancel safety
    /// Dropping it, or the stream in its answer, cancels the call and cuts its streams.
    pub async fn call_with_streams(
        &self,
        method: &MethodInfo,
        arguments: &Value,
        upload: Option<Receiver<Value>>,
        times: StreamTimes,
    ) -> Result<StreamAnswer, DynamicError> {
        let target = (method.service.as_str(), method.name.as_str());
        let (trace, recorded) = self.begin(target);
        let head = Head::USUAL.traced(trace);
        let called = self.start((method, &head), arguments, upload, times).await;
        if let Some(recorded) = recorded {
            recorded.end(&called.as_ref().map(Result::as_ref).map_err(Failure::clone));
        }
        called.unwrap_or_else(|failure| Err(CallError::Failed(failure.of(&method.service, &method.name))))
    }

    async fn start(
        &self,
        (method, head): (&MethodInfo, &Head),
        arguments: &Value,
        upload: Option<Receiver<Value>>,
        StreamTimes { answer: timeout, idle }: StreamTimes,
    ) -> Result<Result<StreamAnswer, DynamicError>, Failure> {
        let deadline = deadline_after(Instant::now(), timeout);
        let arguments = Codec::Json.encode(arguments)?;
        let OpenChannel { opened, frames, writer } = self.open(method, deadline).await?;
        let limit = open::check_size(&opened, head, arguments.len())?;
        let idle = idle.map(IdleClock::new);
        let (patience, outgoing) = if method.upload {
            let mut upload = upload.unwrap_or_else(|| Receiver::of([]));
            if let Some(idle) = idle.clone() {
                upload = upload.map(move |item| {
                    idle.moved();
                    item
                });
            }
            let patience = Patience::new(&mut upload, (deadline, timeout), idle.clone());
            (patience, Some(items::outgoing(upload, Codec::Json, limit)))
        } else {
            (Patience::new(&mut (), (deadline, timeout), None), None)
        };
        let (incoming, coming) = items::incoming::<Value>(Codec::Json);
        let (to, answer) = oneshot::channel();
        let begin = stream_caller::begin(head, patience.handler_deadline(), &arguments);
        let incoming = method.download.then_some(incoming);
        let caller = StreamCaller { frames, writer, outgoing, incoming, answer: to };
        let mut running: BoxFuture<'static, ()> = Box::pin(caller.run(begin));
        let answered = while_running(&mut running, patience.wait_for(answer)).await?;
        let raw = answered.unwrap_or_else(|_| Answer::without_a_word()).result?;
        if method.download && raw.status == status::VALUE {
            return Ok(Ok(StreamAnswer::Items(driven(running, coming, idle))));
        }
        let value: Value = Codec::Json.decode(&raw.body).map_err(unreadable)?;
        if raw.status == status::VALUE {
            return Ok(Ok(StreamAnswer::Value(value)));
        }
        Ok(Err(CallError::Service(ServiceError(value))))
    }

    async fn open(&self, method: &MethodInfo, deadline: Instant) -> Result<OpenChannel, Failure> {
        let request = Open {
            service: method.service.clone(),
            codec: Codec::Json.name().to_owned(),
            methods: vec![OpenMethod { name: method.name.clone(), signature: method.signature.clone() }],
            patience_ms: millis(deadline.saturating_duration_since(Instant::now())).max(1),
            guest: None,
        };
        let open = open::open(&self.session, request, &Limits::default(), None, deadline).await?;
        open::check(&open.opened, 0)?;
        Ok(open)
    }
}

/// Waits for something that `running` brings about.
async fn while_running<T>(running: &mut BoxFuture<'static, ()>, awaited: impl Future<Output = T>) -> T {
    tokio::pin!(awaited);
    tokio::select! {
        biased;
        done = &mut awaited => return done,
        () = &mut *running => {}
    }
    // Whatever it came to, it has said so.
    *running = Box::pin(std::future::ready(()));
    awaited.await
}

/// The items that come, for as long as the call runs and its streams are not still for too long: polling them drives it.
fn driven(
    mut running: BoxFuture<'static, ()>,
    mut items: Receiver<Value>,
    idle: Option<IdleClock>,
) -> Receiver<Value> {
    let mut still = idle.clone().map(|idle| async move { idle.over().await }.boxed());
    let (mut over, mut waits) = (false, false);
    Receiver::from_stream(stream::poll_fn(move |cx| {
        if !std::mem::replace(&mut waits, true) {
            idle.as_ref().inspect(|idle| idle.moved());
        }
        over = over || running.as_mut().poll(cx).is_ready();
        let next = items.poll_recv(cx);
        // Without a next item, or where the caller's own stream goes on.
        if next.is_pending() || (matches!(next, Poll::Ready(Ok(None))) && !over) {
            let Some(still) = &mut still else { return Poll::Pending };
            let failure = ready!(still.as_mut().poll(cx));
            running = Box::pin(std::future::ready(()));
            return Poll::Ready(Some(Err(failure)));
        }
        waits = false;
        next.map(Result::transpose)
    }))
}
