//! Calling a service by name, wherever it is.

mod budget;
mod call;
mod choice;
mod dynamic;
mod engine;
mod idle;
mod one_way;
mod options;
mod pinning;
mod remote;
mod route;
mod stream_call;

use std::{fmt, sync::Arc};

pub(crate) use call::unreadable;
pub use call::{Call, CallResult, Fallible, Make, Plain, Returns};
pub(crate) use choice::Choice;
pub use dynamic::{DynamicError, ServiceError};
pub(crate) use dynamic::{JsonCall, call_json, journey, methods, ticket};
pub(crate) use engine::{OwnChannel, no_further_sends};
pub(crate) use idle::IdleClock;
pub use one_way::OneWay;
pub(crate) use options::CallOptions;
pub(crate) use remote::Remote;
pub(crate) use route::{Route, RouteSpec};
pub(crate) use stream_call::Patience;
pub use stream_call::{Answers, FallibleStreaming, StreamCall, StreamResult, Streaming, Upload};

use qmesh_transport::{Authority, Identity, MemoryNetwork};
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    client::pinning::Pinning,
    failure::Failure,
    layer::{CallLayer, Layers, Sealed, Side},
    node::{Node, NodeHandle, NodeInner, StartError},
    service::{Contract, Method, Serve, Server, StreamReply},
    telemetry::{self, Keeping, Recorded, Shape, Unkept},
};

/// Calls the services of contract `C`, here or anywhere in the mesh.
///
/// Cheap to make and to clone; making one cannot fail: a call waits for an endpoint until its time is over.
pub struct Client<C: Contract> {
    target: Arc<Target>,
    pin: Option<Arc<Pinning>>,
    layers: Option<Arc<Layers>>,
    contract: std::marker::PhantomData<fn() -> C>,
}

/// What all clones of a client share.
struct Target {
    node: NodeHandle,
    route: Arc<Route>,
    /// The node that runs for this client alone.
    _local: Option<Node>,
}

/// The client that `#[qmesh::service]` writes for a contract, for example `ChatClient`.
pub trait ServiceClient: Sized {
    /// The contract that it calls.
    type Contract: Contract;
    /// Wraps the untyped client.
    fn from_client(client: Client<Self::Contract>) -> Self;
    /// The untyped client.
    fn as_client(&self) -> &Client<Self::Contract>;

    /// A client that stays with one endpoint: the one that its first call goes to. What it and its clones ask begins there
    /// in the order in which it is first polled, large arguments too, and nothing is repeated. (Calls with streams go to the
    /// same endpoint, each on a channel of its own, and so in no order with the others.)
    ///
    /// Once that endpoint is lost (its node has ended, drains, or cannot be reached any more; on this very node: the service
    /// was given up), every call fails as *not sent*; pin anew for another one. A restart of the service after a panic does not end it.
    ///
    /// A call or a send that waits for a place holds up those behind it.
    #[must_use]
    fn pinned(&self) -> Self {
        Self::from_client(self.as_client().pinned())
    }

    /// A client whose calls go through a `tower` layer: a limit of their rate, say, a log, a fault for a test. Its clones share
    /// the layer; this client goes on without it. The first of several layers is the outermost, as in a
    /// `tower::ServiceBuilder`, which makes a layer of many by `into_inner`.
    ///
    /// Calls of every shape pass. A call is forwarded once at most, since a [`Request`](crate::Request) cannot be copied;
    /// repeats of the runtime are below the layers. It was *not sent* if the layers drop it, fail, or are not ready before its
    /// deadline; calls that wait for them to be ready come in the order of waiting. What a layer does with its error
    /// after the call was forwarded is *unknown*, unless it passes on a [`Failure`](crate::Failure); dropping the future of the service
    /// below cancels the call. A one-way send has its answer once it is sent, a call with streams once the service answers.
    ///
    /// A layer that hands a call to another task cuts it off from the call that a handler serves: it inherits nothing.
    #[must_use]
    fn layer(&self, layer: impl CallLayer) -> Self {
        Self::from_client(self.as_client().layered(layer))
    }

    /// A client of a service that runs in this process alone, for unit tests: calls go the same way as to any service of
    /// one's own node, through its queue and its actor, and a [`Context`](crate::Context) is at hand. It ends with the
    /// last clone of the client.
    ///
    /// ```
    /// use qmesh::prelude::*;
    ///
    /// #[qmesh::service(name = "docs.Counter")]
    /// trait Counter {
    ///     async fn add(&mut self, amount: u64) -> u64;
    /// }
    ///
    /// #[derive(Default)]
    /// struct Count(u64);
    ///
    /// impl Counter for Count {
    ///     async fn add(&mut self, amount: u64) -> u64 {
    ///         self.0 += amount;
    ///         self.0
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let counter = CounterClient::local(CounterServer::new(Count::default)).await?;
    /// counter.add(40).await?;
    /// assert_eq!(counter.add(2).await?, 42);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StartError`], where the system gives no random numbers for its identity.
    fn local<S: Send + Sync + 'static>(
        server: Server<Self::Contract, S>,
    ) -> impl Future<Output = Result<Self, StartError>> + Send
    where
        Self::Contract: Serve<S>,
    {
        async { Ok(Self::from_client(Client::local(server).await?)) }
    }
}

impl<C: Contract> Client<C> {
    pub(crate) fn new(node: NodeHandle) -> Self {
        Self::of(node, None)
    }

    fn of(node: NodeHandle, local: Option<Node>) -> Self {
        let route = node.route(C::NAME, C::METHODS);
        Self {
            target: Arc::new(Target { node, route, _local: local }),
            pin: None,
            layers: None,
            contract: std::marker::PhantomData,
        }
    }

    async fn local<S: Send + Sync + 'static>(server: Server<C, S>) -> Result<Self, StartError>
    where
        C: Serve<S>,
    {
        let identity = Identity::issued_by(&Authority::ephemeral("local")?);
        let network = MemoryNetwork::new(0);
        let node = Node::builder("local").identity(identity).memory(&network).serve(server).start().await?;
        Ok(Self::of(node.handle(), Some(node)))
    }

    fn pinned(&self) -> Self {
        Self { pin: Some(Arc::default()), ..self.clone() }
    }

    fn layered(&self, layer: impl CallLayer) -> Self {
        let layers = Some(Arc::new(Layers::and(self.layers.as_deref(), Side::Client, layer)));
        Self { layers, ..self.clone() }
    }

    /// Its layers, and the same client below them.
    fn below_layers(&self) -> Option<(Arc<Layers>, Self)> {
        let layers = Arc::clone(self.layers.as_ref()?);
        Some((layers, Self { layers: None, ..self.clone() }))
    }

    const fn has_layers(&self) -> bool {
        self.layers.is_some()
    }

    /// What layers are told of a call.
    ///
    /// # Errors
    /// It cannot be made: *not sent*.
    fn seal(&self, method: usize, options: &CallOptions) -> Result<Sealed, Failure> {
        let ticket = options.ticket(method, self.node().config(), Instant::now())?;
        Ok(Sealed {
            service: C::NAME,
            method: C::METHODS.get(method).map_or("", |method| method.name),
            caller: None,
            deadline: Some(ticket.terms.deadline),
            metadata: options.metadata.clone(),
            cancel: None,
            passage: Arc::default(),
        })
    }

    /// Decides what the trace of a call is that begins now, and records the call if it belongs to one or somebody looks.
    #[inline]
    fn record<A: Serialize>(
        &self,
        method: usize,
        options: &mut CallOptions,
        arguments: &A,
    ) -> Option<Box<Recorded>> {
        let telemetry = self.node().telemetry();
        let keeping = telemetry.keeping();
        let is_told = keeping != Keeping::No || telemetry.is_on();
        let is_looked_at = is_told || telemetry.watched().is_some();
        is_looked_at
            .then(|| self.record_now(method, options, arguments, is_told.then_some(keeping)))
            .flatten()
    }

    #[cold]
    fn record_now<A: Serialize>(
        &self,
        method: usize,
        options: &mut CallOptions,
        arguments: &A,
        keeping: Option<Keeping>,
    ) -> Option<Box<Recorded>> {
        let about = C::METHODS.get(method)?;
        let recorded = keeping.and_then(|keeping| self.begin(about, method, options, keeping));
        let seen = self.node().telemetry().watched().and_then(|watch| {
            let target = telemetry::Target { service: C::NAME, method: about.name, guest: None };
            watch.call(target, || options.trace(), || telemetry::shown(arguments))
        });
        options.called.clone_from(&seen);
        Recorded::seen(recorded, seen).map(Box::new)
    }

    fn begin(
        &self,
        about: &Method,
        method: usize,
        options: &mut CallOptions,
        keeping: Keeping,
    ) -> Option<Recorded> {
        let shape = Shape::of(about);
        let (node, target) = (self.node(), (C::NAME, about.name));
        let side = self.route().side(node, C::METHODS).map(|side| (side, method));
        let (trace, recorded) = telemetry::begin(node.telemetry(), target, shape, side, keeping);
        options.trace = trace;
        recorded
    }

    /// A call has failed, which began then if that is known. One that is not recorded leaves a word all the same.
    #[cold]
    fn failed(
        &self,
        (method, since): (usize, Option<Instant>),
        recorded: Option<&Recorded>,
        failure: &Failure,
    ) {
        let is_recorded = recorded.is_some_and(Recorded::has_span);
        let Some(about) = C::METHODS.get(method).filter(|_| !is_recorded) else { return };
        let (method, peer) = ((C::NAME, about.name), failure.endpoint());
        let shape = Shape::of(about);
        self.node().telemetry().failed(Unkept { method, shape, is_served: false, since, peer, failure });
    }

    const fn pin(&self) -> Option<&Arc<Pinning>> {
        self.pin.as_ref()
    }

    pub(crate) fn node(&self) -> &Arc<NodeInner> {
        self.target.node.inner()
    }

    pub(crate) fn route(&self) -> &Arc<Route> {
        &self.target.route
    }

    /// A call of the method of that number. `make` builds the typed call for an endpoint on this node.
    pub fn call<A, R: Returns>(&self, method: usize, arguments: A, make: Make<C, A, R>) -> Call<C, A, R> {
        Call::new(self.clone(), method, arguments, make)
    }

    /// A call with streams of the method of that number.
    pub fn call_with_streams<A, U, R: Answers>(
        &self,
        method: usize,
        arguments: A,
        upload: U,
        make: fn(A, U, StreamReply<R>) -> C::Call,
    ) -> StreamCall<C, A, U, R> {
        StreamCall::new(self.clone(), method, arguments, upload, make)
    }

    /// A one-way send of the method of that number.
    pub fn send<A>(&self, method: usize, arguments: A, make: fn(A) -> C::Call) -> OneWay<C, A> {
        OneWay::new(self.clone(), method, arguments, make)
    }
}

// === impl Client ===

impl<C: Contract> Clone for Client<C> {
    fn clone(&self) -> Self {
        Self {
            target: Arc::clone(&self.target),
            pin: self.pin.clone(),
            layers: self.layers.clone(),
            contract: std::marker::PhantomData,
        }
    }
}

impl<C: Contract> fmt::Debug for Client<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&C::NAME).finish()
    }
}
