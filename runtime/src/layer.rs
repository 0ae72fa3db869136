//! Layers: what stands in front of every call of a client, or of a service, as `tower` has it.

mod stack;

use std::{
    any::Any,
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tower::{BoxError, Layer, Service, load_shed::error::Overloaded, timeout::error::Elapsed};

pub(crate) use stack::{LayeredAnswer, Layers, Passage, Sealed, Side};

use crate::{
    failure::{Failure, Reason},
    metadata::Metadata,
    service::Caller,
};

/// A call on its way through the layers of a client or a service, once: it is forwarded by giving it to the `tower` service
/// below. If it is dropped instead, it was *not sent* by the client, or *not executed* by the service.
///
/// What it carries is sealed: which method is called is known, with what and for what answer is not.
pub struct Request {
    sealed: Sealed,
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

/// What [`ServiceClient::layer`](crate::ServiceClient::layer) and [`Server::layer`](crate::Server::layer) take. Implemented for
/// every `tower::Layer` whose service takes a [`Request`] to a [`Response`]; its error may be any: a [`Failure`] passes as
/// it is.
pub trait CallLayer: Send + Sync + 'static {
    /// Puts the layer in front.
    fn put_before(&self, next: Next) -> Next;
}

impl<L> CallLayer for L
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
        self.sealed.service
    }

    /// The method that is called.
    #[must_use]
    pub const fn method(&self) -> &'static str {
        self.sealed.method
    }

    /// Who calls, in front of a service. In front of a client, it is this very node: `None`.
    #[must_use]
    pub const fn caller(&self) -> Option<&Caller> {
        self.sealed.caller.as_ref()
    }

    /// When the call's time is over. Waiting in the layers counts. In front of a service, one-way sends have none, nor calls
    /// that send a stream.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.sealed.deadline
    }

    /// What goes along with the call.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        self.sealed.metadata.as_deref().unwrap_or(Metadata::NONE)
    }

    /// Sends a text along, in place of an earlier one of that key. See [`Metadata`] for what it may be.
    pub fn set_metadata(&mut self, key: impl Into<String>, value: impl Into<String>) {
        Arc::make_mut(self.sealed.metadata.get_or_insert_default()).set(key.into(), value.into());
    }
}

impl Response {
    /// Whether the service answered with its own error.
    #[must_use]
    pub const fn is_service_error(&self) -> bool {
        self.is_service_error
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
    Failure::unknown(reason, format!("a layer failed: {error}"))
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
            None => (request.go)(request.sealed.metadata),
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
            .field("service", &self.service())
            .field("method", &self.method())
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
