//! Layers: what stands in front of every call of a client, as `tower` has it.

use std::{
    any::Any,
    fmt,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};
use tower::{BoxError, Layer, Service, load_shed::error::Overloaded, timeout::error::Elapsed};

use crate::{
    failure::{Failure, Reason},
    metadata::Metadata,
};

/// A call on its way through the layers of a client, once: it is forwarded by giving it to the service below, and was
/// *not sent* if it is dropped.
///
/// What it carries is sealed: which method is called is known, with what and for what answer is not.
pub struct Request {
    service: &'static str,
    method: &'static str,
    deadline: Instant,
    metadata: Option<Arc<Metadata>>,
    go: Go,
}

type Go = Box<dyn FnOnce(Option<Arc<Metadata>>) -> BoxFuture<'static, Result<Response, Failure>> + Send>;

/// The answer of a call on its way back through the layers. A call that failed has none: it is an error.
pub struct Response {
    answer: Box<dyn Any + Send>,
    is_service_error: bool,
}

/// What a layer is put in front of: the next layer, or the call itself. It is always ready if all layers below are.
pub struct Next(Option<Box<dyn Step>>);

/// A layered service, whatever its type.
trait Step: Send {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>>;
    fn call(&mut self, request: Request) -> BoxFuture<'static, Result<Response, Failure>>;
}

struct Layered<S>(S);

/// The layers of a client and its clones.
pub(crate) struct Layers {
    makers: Vec<Maker>,
    /// Whoever holds it waits for the layers to be ready; the others come in the order of waiting.
    stack: Mutex<Next>,
}

type Maker = Arc<dyn Fn(Next) -> Next + Send + Sync>;

/// What is known of a call before it goes through the layers.
pub(crate) struct Sealed {
    pub(crate) service: &'static str,
    pub(crate) method: &'static str,
    pub(crate) deadline: Instant,
    pub(crate) metadata: Option<Arc<Metadata>>,
}

/// What [`ServiceClient::layer`](crate::ServiceClient::layer) takes. Implemented for every `tower::Layer` whose service takes a
/// [`Request`] to a [`Response`]; its error may be any: a [`Failure`] passes as it is.
pub trait ClientLayer: Send + Sync + 'static {
    /// Puts the layer in front.
    fn put_before(&self, next: Next) -> Next;
}

impl<L> ClientLayer for L
where
    L: Layer<Next> + Send + Sync + 'static,
    L::Service: Service<Request, Response = Response, Error: Into<BoxError>, Future: Send + 'static>,
    L::Service: Send + 'static,
{
    fn put_before(&self, next: Next) -> Next {
        Next(Some(Box::new(Layered(self.layer(next)))))
    }
}

impl Request {
    /// The service that is called.
    #[must_use]
    pub const fn service(&self) -> &'static str {
        self.service
    }

    /// The method that is called.
    #[must_use]
    pub const fn method(&self) -> &'static str {
        self.method
    }

    /// When the call's time is over. Waiting in the layers counts.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What goes along with the call.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        self.metadata.as_deref().unwrap_or(Metadata::NONE)
    }

    /// Sends a text along, in place of an earlier one of that key. See [`Metadata`] for what it may be.
    pub fn set_metadata(&mut self, key: impl Into<String>, value: impl Into<String>) {
        Arc::make_mut(self.metadata.get_or_insert_default()).set(key.into(), value.into());
    }
}

impl Response {
    /// Whether the service answered with its own error.
    #[must_use]
    pub const fn is_service_error(&self) -> bool {
        self.is_service_error
    }
}

// === impl Layers ===

impl Layers {
    /// These, and one more below them.
    pub(crate) fn and(above: Option<&Self>, below: impl ClientLayer) -> Self {
        let mut makers = above.map_or_else(Vec::new, |above| above.makers.clone());
        makers.push(Arc::new(move |next| below.put_before(next)));
        let stack = makers.iter().rev().fold(Next(None), |next, make| make(next));
        Self { makers, stack: Mutex::new(stack) }
    }

    /// Brings a call through the layers, which make it by `go`.
    ///
    /// # Errors
    /// A layer, or the call itself, failed: *not sent* if the call was not forwarded.
    ///
    /// # Cancel safety
    /// Cancelled, the call is not forwarded any more, and cancelled if it was.
    pub(crate) async fn bring<T, E, F>(
        &self,
        Sealed { service, method, deadline, metadata }: Sealed,
        go: impl FnOnce(Option<Arc<Metadata>>) -> F + Send + 'static,
    ) -> Result<Result<T, E>, Failure>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: Future<Output = Result<Result<T, E>, Failure>> + Send + 'static,
    {
        let forwarded = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&forwarded);
        let go: Go = Box::new(move |metadata| {
            told.store(true, Relaxed);
            let calling = go(metadata);
            Box::pin(async move {
                let answer = calling.await?;
                let is_service_error = answer.is_err();
                Ok(Response { answer: Box::new(answer), is_service_error })
            })
        });
        let request = Request { service, method, deadline, metadata, go };
        let answering = async {
            let mut stack = self.stack.lock().await;
            poll_fn(|cx| stack.poll_ready(cx)).await?;
            let mut answering = stack.call(request);
            // Begun before it is the next one's turn.
            let first = poll_fn(|cx| Poll::Ready(answering.as_mut().poll(cx))).await;
            drop(stack);
            match first {
                Poll::Ready(answer) => answer,
                Poll::Pending => answering.await,
            }
        };
        let mut answering = pin!(answering);
        let answer = match timeout_at(deadline, &mut answering).await {
            Ok(answer) => answer,
            // It has a deadline of its own.
            Err(_) if forwarded.load(Relaxed) => answering.await,
            Err(_) => {
                Err(Failure::not_sent(Reason::DeadlineExceeded, "the client's layers held the call up"))
            }
        };
        let is_unsent = !forwarded.load(Relaxed);
        let answer = answer.map_err(|failure| if is_unsent { failure.unsent() } else { failure })?;
        let strange = |_| Failure::unknown(Reason::BadReply, "a layer answered with another call's answer");
        answer.answer.downcast().map(|answer| *answer).map_err(strange)
    }
}

/// What became of a call, by the error of a layer. Of what it does not know, it may have run.
fn failure_of(error: BoxError) -> Failure {
    let error = match error.downcast::<Failure>() {
        Ok(failure) => return *failure,
        Err(error) => error,
    };
    if error.is::<Elapsed>() {
        return Failure::unknown(Reason::DeadlineExceeded, "no answer within the time that a layer gives");
    }
    let reason = if error.is::<Overloaded>() { Reason::Overloaded } else { Reason::Refused };
    Failure::unknown(reason, format!("a layer of the client failed: {error}"))
}

// === impl Service ===

impl Service<Request> for Next {
    type Response = Response;
    type Error = Failure;
    type Future = BoxFuture<'static, Result<Response, Failure>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.0.as_mut().map_or(Poll::Ready(Ok(())), |step| step.poll_ready(cx))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match &mut self.0 {
            Some(step) => step.call(request),
            None => (request.go)(request.metadata),
        }
    }
}

impl<S> Step for Layered<S>
where
    S: Service<Request, Response = Response, Error: Into<BoxError>, Future: Send + 'static> + Send,
{
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.0.poll_ready(cx).map_err(|error| failure_of(error.into()))
    }

    fn call(&mut self, request: Request) -> BoxFuture<'static, Result<Response, Failure>> {
        let answering = self.0.call(request);
        Box::pin(async move { answering.await.map_err(|error| failure_of(error.into())) })
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("service", &self.service)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("is_service_error", &self.is_service_error).finish_non_exhaustive()
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Next")
    }
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layers").field("count", &self.makers.len()).finish_non_exhaustive()
    }
}
