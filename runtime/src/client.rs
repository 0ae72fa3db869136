//! Calling a service by name, wherever it is.

mod call;
mod dynamic;
mod engine;
mod options;
mod remote;
mod route;
mod stream_call;

use std::{fmt, sync::Arc};

pub use call::{Call, CallResult, Fallible, Make, OneWay, Plain, Returns};
pub(crate) use dynamic::call_json;
pub use dynamic::{DynamicError, ServiceError};
pub(crate) use options::CallOptions;
pub(crate) use remote::Remote;
pub(crate) use route::{Route, RouteSpec};
pub use stream_call::{Answers, FallibleStreaming, StreamCall, StreamResult, Streaming, Upload};

use crate::{
    node::{NodeHandle, NodeInner},
    service::{Contract, StreamReply},
};

/// Calls the services of contract `C`, here or anywhere in the mesh.
///
/// Cheap to make and to clone; making one cannot fail: a call waits for an endpoint until its time is over.
pub struct Client<C: Contract> {
    target: Arc<Target>,
    contract: std::marker::PhantomData<fn() -> C>,
}

/// What all clones of a client share.
struct Target {
    node: NodeHandle,
    route: Arc<Route>,
}

/// The client that `#[qmesh::service]` writes for a contract, for example `ChatClient`.
pub trait ServiceClient: Sized {
    /// The contract that it calls.
    type Contract: Contract;
    /// Wraps the untyped client.
    fn from_client(client: Client<Self::Contract>) -> Self;
}

impl<C: Contract> Client<C> {
    pub(crate) fn new(node: NodeHandle) -> Self {
        let route = node.route(C::NAME, C::METHODS);
        Self { target: Arc::new(Target { node, route }), contract: std::marker::PhantomData }
    }

    fn node(&self) -> &Arc<NodeInner> {
        self.target.node.inner()
    }

    fn route(&self) -> &Arc<Route> {
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
        Self { target: Arc::clone(&self.target), contract: std::marker::PhantomData }
    }
}

impl<C: Contract> fmt::Debug for Client<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&C::NAME).finish()
    }
}
