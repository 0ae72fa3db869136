//! A node: one member of a mesh, and everything that it supervises.
//!
//! ```text
//! node
//!  |- gossip, seeds, peers, renewal      loops, restarted with backoff
//!  |- listener/<address>                 a loop, restarted with backoff
//!  |- connection/<peer>                  a supervisor: one session, dialled on demand
//!  |    |- session                       a loop, restarted with backoff
//!  |    '- channel/<n>                   a loop; its calls fail with an outcome when it dies
//!  |- client/<n>                         a loop: the session of a command-line client
//!  '- service/<name>                     an actor, restarted by its declared policy
//! ```

mod about;
mod accept;
mod builder;
mod changes;
mod connection;
pub(crate) mod control;
mod data_dir;
mod drain;
pub(crate) mod gossip;
pub(crate) mod hello;
mod inner;
mod link;
mod listener;
mod peer;
mod peers;
pub(crate) mod questions;
mod relay;
mod renewal;
mod seeds;
mod sockets;
mod traffic;
pub(crate) mod wall_clock;

use std::{fmt, sync::Arc, time::Duration};

use qmesh_discovery::Directory;
use qmesh_transport::{Address, NodeId};

pub use builder::{NodeBuilder, StartError};
pub(crate) use changes::{Changes, Following};
pub use data_dir::DataDirError;
pub(crate) use drain::Drain;
pub(crate) use inner::NodeInner;
#[cfg(any(test, fuzzing))]
pub(crate) use link::Dial;
pub(crate) use link::{Link, Served, Streams};
pub(crate) use peer::Peer;
pub(crate) use wall_clock::WallClock;

use crate::{
    client::{self, Client, DynamicError, JsonCall, ServiceClient},
    control_api::{NodeInfo, ServiceInfo, SpanInfo, Tap, TapRequest, TraceFilter, TraceInfo, Traffic},
    duration::millis,
    events::Events,
    failure::Failure,
    supervisor::ActorInfo,
    telemetry::Trace,
};

/// The path of a node's own supervisor.
pub(crate) const ROOT: &str = "node";

/// A running node. Cheap to clone; all clones are the same node.
///
/// When the last one is dropped, the node ends at once, as if its process had been killed;
/// [`shutdown`](Self::shutdown) ends it in order.
#[derive(Clone)]
pub struct Node {
    running: Arc<Running>,
}

/// Ends the node with its last handle.
struct Running(NodeHandle);

/// What the node's own parts and its clients hold of it.
#[derive(Clone, Debug)]
pub(crate) struct NodeHandle(pub(crate) Arc<NodeInner>);

impl Node {
    /// A node to be. Its name is unique in the mesh and stands in its certificate.
    pub fn builder(name: impl Into<String>) -> NodeBuilder {
        NodeBuilder::new(name.into())
    }

    pub(crate) fn new(inner: Arc<NodeInner>) -> Self {
        Self { running: Arc::new(Running(NodeHandle(inner))) }
    }

    pub(crate) fn handle(&self) -> NodeHandle {
        self.running.0.clone()
    }

    pub(crate) fn inner(&self) -> &Arc<NodeInner> {
        &self.running.0.0
    }

    /// The node's id, which derives from its key.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.inner().id()
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.inner().name()
    }

    /// Where others can reach it.
    #[must_use]
    pub fn addresses(&self) -> Vec<Address> {
        self.inner().addresses()
    }

    /// A client of a service, wherever it is: `node.client::<ChatClient>()`. Cheap, and cannot fail.
    #[must_use]
    pub fn client<T: ServiceClient>(&self) -> T {
        self.running.0.client()
    }

    /// Calls a method by name with JSON arguments, an object by parameter name: for tools that know no contract.
    /// Whether it is repeated when its outcome is unknown is the service's word.
    ///
    /// # Errors
    /// The service's own error as JSON, or why the call failed.
    ///
    /// # Cancel safety
    /// Dropping it cancels the call.
    pub async fn call_json(
        &self,
        service: &str,
        method: &str,
        arguments: &serde_json::Value,
        timeout: Duration,
    ) -> Result<serde_json::Value, DynamicError> {
        let call = JsonCall { service, method, arguments, timeout };
        client::call_json(self.inner(), None, call, Trace::Undecided).await
    }

    /// The calls that the node keeps, made by it or served by it, as far as they are as asked; the latest first. See
    /// [`kept_traces_per_second`](crate::Config::kept_traces_per_second).
    #[must_use]
    pub fn traces(&self, filter: &TraceFilter) -> Vec<TraceInfo> {
        self.inner().telemetry().recorder().map(|recorder| recorder.traces(filter)).unwrap_or_default()
    }

    /// The spans that the node keeps of a trace, which may be named by the first of its 32 hexadecimal digits: those of all
    /// traces whose id begins so.
    #[must_use]
    pub fn trace(&self, id: &str) -> Vec<SpanInfo> {
        self.inner().telemetry().recorder().map(|recorder| recorder.spans(id)).unwrap_or_default()
    }

    /// Runs work on one of the node's [`shards`](crate::Config::shards), in turn, beside the sessions there; without shards, in
    /// the current runtime. A task that calls a lot is well placed there, if it never blocks. It ends with the node.
    ///
    /// # Panics
    /// Outside a tokio runtime, if the node has no shards.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.inner().shards().next().start(work)
    }

    /// Who is alive in the mesh, and what they offer: snapshots, lookups and watches.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        self.inner().directory()
    }

    /// The nodes of the mesh as this one sees them, itself included, by name.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeInfo> {
        self.inner().node_infos()
    }

    /// The services of the mesh as this node sees them, by name.
    #[must_use]
    pub fn services(&self) -> Vec<ServiceInfo> {
        self.inner().service_infos()
    }

    /// The node's supervision tree, by path.
    #[must_use]
    pub fn tree(&self) -> Vec<ActorInfo> {
        self.inner().tree().list()
    }

    /// The node's traffic: who calls whom, how fast, and what waits. It measures from the first question on, and for ten seconds
    /// after each; without one, it measures nothing of this.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        traffic::traffic(self.inner())
    }

    /// The calls of a service (of all, where it is empty) that the node makes and that ended after those of an earlier answer,
    /// whose `next` is `after` (0 for all that it still has): up to `max` of them. It waits for one for up to `patience`, five
    /// seconds at most. What passes is kept for ten seconds after each question.
    ///
    /// # Errors
    /// The node does not show arguments ([`Config::tap_payloads`](crate::Config::tap_payloads)), or too many services are
    /// looked at.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn tap(
        &self,
        service: &str,
        (after, max): (u64, u32),
        payload: bool,
        patience: Duration,
    ) -> Result<Tap, Failure> {
        let (service, wait_ms) = (service.to_owned(), millis(patience));
        let asked = TapRequest { service, after, max, wait_ms, payload, ..TapRequest::default() };
        traffic::tap(self.inner(), &asked).await
    }

    /// What happens in the mesh, as this node sees it: first what it remembers, then each event as it happens.
    #[must_use]
    pub fn events(&self) -> Events {
        self.inner().events().events()
    }

    /// What the node counted since its start.
    #[must_use]
    pub fn counts(&self) -> crate::counters::Counts {
        self.inner().counters().read()
    }

    /// Ends the node in order: says so in the directory and to its services ([`Context::draining`](crate::Context::draining)),
    /// accepts no further channel, lets the calls finish for up to [`drain_timeout`](crate::Config::drain_timeout), streams
    /// included, leaves the mesh, closes every session. A second call waits for the first.
    ///
    /// Streams that are served longer than that are cut. Calls with streams that this node's own program makes to other
    /// nodes are waited for, too, while items move on them, and so are one-way sends that it made, until the services have
    /// acknowledged them: nobody else waits for those.
    ///
    /// # Cancel safety
    /// Cancelled, the node stays between running and ended; calling it again goes on.
    pub async fn shutdown(&self) {
        self.inner().shutdown().await;
    }
}

impl NodeHandle {
    pub(crate) fn client<T: ServiceClient>(&self) -> T {
        T::from_client(Client::new(self.clone()))
    }

    pub(crate) fn name(&self) -> &str {
        self.0.name()
    }

    #[inline]
    pub(crate) const fn inner(&self) -> &Arc<NodeInner> {
        &self.0
    }

    pub(crate) fn route(
        &self,
        service: &'static str,
        methods: &'static [crate::service::Method],
    ) -> Arc<client::Route> {
        self.0.typed_route(service, methods)
    }
}

// === impl Node ===

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("name", &self.name()).field("id", &self.id()).finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.end_now();
        self.0.0.let_go();
    }
}
