//! A command line's calls with streams: each has a channel of its own on the session with the node, which joins it to
//! one of the endpoint's.

use std::{task::ready, time::Duration};

use futures_util::{future::BoxFuture, stream};
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
    client::{DynamicError, Patience, ServiceError, unreadable},
    codec::Codec,
    config::{Limits, deadline_after},
    control_api::MethodInfo,
    control_client::{ControlClient, milliseconds},
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

impl ControlClient {
    /// Calls a method with streams of any service of the mesh through this node: arguments by parameter name without
    /// the stream, and the stream if the method takes one.
    ///
    /// It resolves when the service has answered. No task runs beside it: the caller's stream goes on while the call
    /// or the stream in its answer is polled, and that stream ends when both are over.
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
        patience: Duration,
    ) -> Result<StreamAnswer, DynamicError> {
        let called = self.start(method, arguments, upload, patience).await;
        called.unwrap_or_else(|failure| Err(CallError::Failed(failure.of(&method.service, &method.name))))
    }

    async fn start(
        &self,
        method: &MethodInfo,
        arguments: &Value,
        upload: Option<Receiver<Value>>,
        timeout: Duration,
    ) -> Result<Result<StreamAnswer, DynamicError>, Failure> {
        let deadline = deadline_after(Instant::now(), timeout);
        let arguments = Codec::Json.encode(arguments)?;
        let OpenChannel { opened, frames, writer } = self.open(method, deadline).await?;
        let limit = open::check_size(&opened, &Head::USUAL, arguments.len())?;
        let (patience, outgoing) = if method.upload {
            let mut upload = upload.unwrap_or_else(|| Receiver::of([]));
            let patience = Patience::new(&mut upload, (deadline, timeout), None);
            (patience, Some(items::outgoing(upload, Codec::Json, limit)))
        } else {
            (Patience::new(&mut (), (deadline, timeout), None), None)
        };
        let (incoming, coming) = items::incoming::<Value>(Codec::Json);
        let (to, answer) = oneshot::channel();
        let begin = stream_caller::begin(&Head::USUAL, patience.handler_deadline(), &arguments);
        let incoming = method.download.then_some(incoming);
        let caller = StreamCaller { frames, writer, outgoing, incoming, answer: to };
        let mut running: BoxFuture<'static, ()> = Box::pin(caller.run(begin));
        let answered = while_running(&mut running, patience.wait_for(answer)).await?;
        let raw = answered.unwrap_or_else(|_| Answer::without_a_word()).result?;
        if method.download && raw.status == status::VALUE {
            return Ok(Ok(StreamAnswer::Items(driven(running, coming))));
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
            patience_ms: milliseconds(deadline.saturating_duration_since(Instant::now())).max(1),
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

/// The items that come, for as long as the call runs: polling them drives it.
fn driven(mut running: BoxFuture<'static, ()>, mut items: Receiver<Value>) -> Receiver<Value> {
    let mut over = false;
    Receiver::from_stream(stream::poll_fn(move |cx| {
        over = over || running.as_mut().poll(cx).is_ready();
        match ready!(items.poll_recv(cx)) {
            // The caller's own stream goes on.
            Ok(None) if !over => std::task::Poll::Pending,
            next => std::task::Poll::Ready(next.transpose()),
        }
    }))
}
