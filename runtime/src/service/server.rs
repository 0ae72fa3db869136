//! A service to be: its factory and its settings, before a node runs it.

use std::{
    fmt,
    marker::PhantomData,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use qmesh_discovery::ServiceRecord;
use ractor::{Actor, ActorCell, SpawnErr};

use crate::{
    authorize::{Decision, Guard, Policy, Rules},
    layer::{CallLayer, Layers, Side},
    node::NodeHandle,
    pace::Pace,
    service::{
        Caller, Contract, Endpoint, LocalEndpoint, Serve,
        actor::{ServiceActor, ServiceArguments},
        context::ServiceCore,
        inbox::Inbox,
        warm_up::{Hook, WarmUp},
    },
    supervisor::RestartPolicy,
    task::Tasks,
};

/// A service tells of one refusal by a policy in this time, and of how many there were since the last.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// A service of contract `C` that a node can run: pass it to [`NodeBuilder::serve`](crate::NodeBuilder::serve).
///
/// It holds a factory, not a value: after a panic the factory makes the service's state anew.
pub struct Server<C, S> {
    factory: Arc<dyn Fn() -> S + Send + Sync>,
    queue: usize,
    restart: RestartPolicy,
    version: String,
    weight: u32,
    policies: Vec<Policy>,
    warm_up: Option<Hook>,
    layers: Option<Layers>,
    on_shard: bool,
    contract: PhantomData<fn() -> C>,
}

/// A [`Server`], whatever its contract and state.
pub(crate) trait AnyServer: Send + 'static {
    fn name(&self) -> &'static str;
    fn record(&self) -> ServiceRecord;
    fn restart(&self) -> RestartPolicy;
    fn start(self: Box<Self>, node: NodeHandle) -> Started;
}

/// A service that can be spawned, and spawned again.
pub(crate) struct Started {
    pub(crate) endpoint: Arc<dyn Endpoint>,
    pub(crate) spawn: SpawnService,
}

pub(crate) type SpawnService =
    Box<dyn Fn(ActorCell) -> BoxFuture<'static, Result<ActorCell, SpawnErr>> + Send + Sync + 'static>;

impl<C: Serve<S>, S: Send + Sync + 'static> Server<C, S> {
    /// A service whose state `factory` makes, at its start and after every panic.
    pub fn new(factory: impl Fn() -> S + Send + Sync + 'static) -> Self {
        Self {
            factory: Arc::new(factory),
            queue: 1024,
            restart: RestartPolicy::default(),
            version: String::new(),
            weight: 1,
            policies: Vec::new(),
            warm_up: None,
            layers: None,
            on_shard: false,
            contract: PhantomData,
        }
    }

    /// How many calls may wait or run at a time (default 1024, at least 1). Past it, calls wait for a place up to
    /// 100 ms and are then refused as *not executed*; one-way sends wait.
    #[must_use]
    pub fn queue(mut self, calls: usize) -> Self {
        self.queue = calls.clamp(1, tokio::sync::Semaphore::MAX_PERMITS);
        self
    }

    /// How often the service may be restarted after panics, and how fast.
    #[must_use]
    pub const fn restart(mut self, policy: RestartPolicy) -> Self {
        self.restart = policy;
        self
    }

    /// The version that the directory shows (default empty). It has no effect on who may call.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// The share of calls beside other endpoints (default 1).
    #[must_use]
    pub const fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Runs the service on one of the node's [`shards`](crate::Config::shards), always the same one, beside the sessions there
    /// (default: in the runtime in which the node is started). Without shards it changes nothing.
    ///
    /// Its calls then wake no other thread. In turn it must not hold its thread up: while a handler computes for long, or
    /// blocks, every session of that shard stands still.
    #[must_use]
    pub const fn on_shard(mut self) -> Self {
        self.on_shard = true;
        self
    }

    /// Prepares the service before it takes calls: fills a cache, say, that the factory's state shares.
    ///
    /// Until the future has resolved, the service is in no directory: callers go to other endpoints or wait for one, as they
    /// do where nobody serves it, and a channel that is opened all the same is refused as *not executed*.
    /// [`Node::tree`](crate::Node::tree) says that it warms up, and for how long: there is no limit of time but your own. The
    /// node and its other services are ready meanwhile. An error or a panic is a failure of the service, which is
    /// tried again by its [restart policy](Self::restart) and then given up.
    ///
    /// A service that is restarted warms up again, and leaves the directory for it. What waits in its queue, or comes on
    /// channels that are open, waits for the warm-up as long as its deadline allows.
    ///
    /// # Cancel safety
    /// The future is dropped when the service stops.
    #[must_use]
    pub fn ready_when<F, E>(mut self, warm_up: impl Fn(WarmUp) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        self.warm_up = Some(Hook::new(warm_up));
        self
    }

    /// Decides who may call what, by caller, service and method (default: whoever belongs to the mesh may call
    /// everything). Added more than once, and beside [`NodeBuilder::authorize`](crate::NodeBuilder::authorize), every
    /// policy must allow. One that panics denies.
    ///
    /// It is asked for each method when a caller opens a channel to the service, which then lasts as long as their nodes'
    /// session: a call costs no further question, and a policy that changes its mind does so for new channels. For this
    /// node's own calls it is asked at the start. A call that a command line makes through another node is one of
    /// that node's, and asked about for both; so a node never lends its name to a guest.
    ///
    /// A refused call is *not executed*, for the reason [`Refused`](crate::Reason::Refused), and is not repeated. The caller
    /// learns who it is and what it may not call; [`Counts::refused_calls`](crate::Counts::refused_calls) counts it, and the
    /// log names one such caller per second.
    #[must_use]
    pub fn authorize(
        mut self,
        policy: impl Fn(&Caller, &str, &str) -> Decision + Send + Sync + 'static,
    ) -> Self {
        self.policies.push(Arc::new(policy));
        self
    }

    /// As [`authorize`](Self::authorize), by rules: what they do not allow is denied.
    #[must_use]
    pub fn authorize_by(self, rules: Rules) -> Self {
        self.authorize(move |caller, service, method| rules.decide(caller, service, method))
    }

    /// Puts a `tower` layer in front of the service: a limit of how many calls run at a time, say, a log, a fault for a test.
    /// The first of several layers is the outermost, as in a `tower::ServiceBuilder`, which makes a layer of many by
    /// `into_inner`. All callers share it, and it outlives restarts of the service.
    ///
    /// Calls of every shape pass, from this node and from others, when they are authorised and have a place in the
    /// [`queue`](Self::queue), so that this bounds those in the layers, too. [`Request::caller`](crate::Request::caller) says who
    /// calls. Calls come to the layers in the order of their admission; with layers that forward at once, they begin in
    /// that order. One that the layers drop, fail, or hold until its deadline was *not executed*, and will not be. What a layer
    /// does with its error after the call was forwarded is *unknown*, unless it passes on a [`Failure`](crate::Failure), and so
    /// is an answer that it still has after the deadline; dropping the future of the `tower` service below cancels the call. A
    /// layer that panics costs its call the answer. A one-way send has its answer once it is queued, a call with
    /// streams once the handler has returned.
    ///
    /// ```
    /// use qmesh::{Outcome, Reason, prelude::*};
    /// use std::time::Duration;
    /// use tower::timeout::TimeoutLayer;
    ///
    /// #[qmesh::service(name = "docs.Oracle")]
    /// trait Oracle {
    ///     async fn ask(&self) -> String;
    /// }
    ///
    /// struct Silent;
    ///
    /// impl Oracle for Silent {
    ///     async fn ask(&self) -> String {
    ///         std::future::pending().await
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = OracleServer::new(|| Silent).layer(TimeoutLayer::new(Duration::from_millis(10)));
    /// let failure = OracleClient::local(server).await?.ask().await.unwrap_err();
    /// assert_eq!((failure.outcome(), failure.reason()), (Outcome::Unknown, Reason::DeadlineExceeded));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn layer(mut self, layer: impl CallLayer) -> Self {
        self.layers = Some(Layers::and(self.layers.as_ref(), Side::Service, layer));
        self
    }
}

// === impl Server ===

impl<C: Serve<S>, S: Send + Sync + 'static> AnyServer for Server<C, S> {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn record(&self) -> ServiceRecord {
        ServiceRecord {
            name: C::NAME.to_owned(),
            version: self.version.clone(),
            weight: self.weight,
            fingerprint: fingerprint::<C>(),
        }
    }

    fn restart(&self) -> RestartPolicy {
        self.restart
    }

    fn start(self: Box<Self>, node: NodeHandle) -> Started {
        let inbox = Arc::new(Inbox::<C>::new(self.queue, Arc::clone(node.inner().events())));
        let caller = node.inner().as_caller();
        let guard = Guard::new([node.inner().policies(), &self.policies].concat());
        let refusals = Pace::new(1, TELL_EVERY);
        let shard = self.on_shard.then(|| node.inner().shards().of(C::NAME.as_bytes()));
        let place = shard.unwrap_or_default();
        let (calls, tasks) = (Tasks::default(), Tasks::default());
        let ready = AtomicBool::new(self.warm_up.is_none());
        let telemetry = node.inner().telemetry().clone();
        let side = telemetry.side(C::NAME, C::METHODS, false);
        let (name, at_work) = (C::NAME, Mutex::default());
        let core = ServiceCore { name, node, guard, refusals, telemetry, side, ready, at_work, calls, tasks };
        let core = Arc::new(core);
        let endpoint =
            Arc::new(LocalEndpoint::new(Arc::clone(&inbox), Arc::clone(&core), self.layers, caller));
        let (factory, warm_up) = (self.factory, self.warm_up);
        let spawn = move |supervisor: ActorCell| {
            let arguments = ServiceArguments {
                inbox: Arc::clone(&inbox),
                core: Arc::clone(&core),
                factory: Arc::clone(&factory),
                warm_up: warm_up.clone(),
            };
            let spawned = Actor::spawn_linked(None, ServiceActor::<C, S>::new(), arguments, supervisor);
            let spawned = place.within(spawned);
            let spawned: BoxFuture<'static, _> = Box::pin(async { Ok(spawned.await?.0.get_cell()) });
            spawned
        };
        Started { endpoint, spawn: Box::new(spawn) }
    }
}

/// A number that changes when a method is added, removed or altered (XXH3, 64 bits, over the sorted signatures).
fn fingerprint<C: Contract>() -> u64 {
    let mut signatures: Vec<String> = C::METHODS.iter().map(ToString::to_string).collect();
    signatures.sort_unstable();
    xxhash_rust::xxh3::xxh3_64(signatures.join("\n").as_bytes())
}

impl<C, S> fmt::Debug for Server<C, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("queue", &self.queue)
            .field("restart", &self.restart)
            .finish_non_exhaustive()
    }
}
