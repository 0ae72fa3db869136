//! Where the calls of one service can go: the endpoints that the directory knows, and which of them to take.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Release},
        },
    },
};

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use qmesh_discovery::Snapshot;
use qmesh_transport::NodeId;

use crate::{
    channel::caller::ChannelCaller,
    client::{Remote, budget::RetryBudget},
    codec::Codec,
    node::NodeInner,
    random::Random,
    service::{Caller, Endpoint, Method},
    telemetry::Side,
    wire::messages::{Open, OpenMethod},
};

/// What a route's channels ask for.
#[derive(Debug)]
pub(crate) struct RouteSpec {
    pub(crate) service: String,
    pub(crate) codec: Codec,
    pub(crate) methods: Vec<OpenMethod>,
    /// For each method, whether a call whose outcome is unknown may be repeated.
    pub(crate) idempotent: Vec<bool>,
    /// The command line for which this node calls.
    pub(crate) guest: Option<Caller>,
}

/// The endpoints of one service. Shared by all its clients on a node.
pub(crate) struct Route {
    pub(crate) spec: RouteSpec,
    table: ArcSwap<Table>,
    refreshing: Mutex<()>,
    /// Grows with every channel that is opened.
    channels: AtomicU64,
    /// Where its calls are measured, once it is known.
    side: OnceLock<Option<Arc<Side>>>,
    pub(crate) budget: RetryBudget,
}

/// The endpoints of one service, as of one version of the directory.
#[derive(Debug, Default)]
pub(crate) struct Table {
    version: (u64, u64),
    /// The endpoint on this node, if there is one.
    pub(crate) local: Option<Arc<dyn Endpoint>>,
    remotes: Vec<Target>,
    random: Arc<Random>,
}

/// An endpoint on another node, and the channel to it if one was open when the table was made.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) remote: Arc<Remote>,
    channel: Option<Arc<ChannelCaller>>,
}

impl Route {
    pub(crate) fn new(spec: RouteSpec, retries_per_second: u32, retry_share: f32) -> Self {
        Self {
            spec,
            table: ArcSwap::default(),
            refreshing: Mutex::default(),
            channels: AtomicU64::new(0),
            side: OnceLock::new(),
            budget: RetryBudget::new(retries_per_second, retry_share),
        }
    }

    /// Where its calls are measured, if they are.
    pub(crate) fn side(&self, node: &NodeInner, methods: &'static [Method]) -> Option<&Arc<Side>> {
        self.side.get_or_init(|| node.telemetry().side(&self.spec.service, methods, true)).as_ref()
    }

    pub(crate) fn open_request(&self) -> Open {
        Open {
            service: self.spec.service.clone(),
            codec: self.spec.codec.name().to_owned(),
            methods: self.spec.methods.clone(),
            patience_ms: 0,
            guest: self.spec.guest.as_ref().map(Caller::as_guest),
        }
    }

    /// As [`open_request`](Self::open_request), for one method alone.
    pub(crate) fn open_one(&self, method: usize) -> Open {
        let methods = self.spec.methods.get(method).cloned().into_iter().collect();
        Open { methods, ..self.open_request() }
    }

    /// Where calls can go now.
    #[inline]
    pub(crate) fn table(&self, node: &NodeInner) -> Guard<Arc<Table>> {
        let table = self.table.load();
        if table.version == self.version(node) {
            return table;
        }
        self.rebuild(node);
        self.table.load()
    }

    /// Takes over what the directory and this node's own services have become.
    #[inline]
    fn version(&self, node: &NodeInner) -> (u64, u64) {
        (node.version(), self.channels.load(Acquire))
    }

    /// A channel to one of the endpoints is open.
    pub(crate) fn opened(&self) {
        self.channels.fetch_add(1, Release);
    }

    #[cold]
    fn rebuild(&self, node: &NodeInner) {
        let _one_at_a_time = self.refreshing.lock();
        let version = self.version(node);
        let before = self.table.load();
        if before.version == version {
            return;
        }
        let snapshot = node.snapshot();
        let remotes = self.remotes(node, &snapshot, &before.remotes);
        for target in &remotes {
            target.remote.want(node);
        }
        let local = node.service(&self.spec.service);
        self.table.store(Arc::new(Table { version, local, remotes, random: Arc::clone(node.random()) }));
    }

    /// An endpoint that stays keeps its channel and its load.
    fn remotes(&self, node: &NodeInner, snapshot: &Snapshot, before: &[Target]) -> Vec<Target> {
        let records = snapshot.endpoints(&self.spec.service).iter().filter(|record| record.id != node.id());
        let remote = |record: &Arc<qmesh_discovery::NodeRecord>| {
            let offered = record.services.iter().find(|service| service.name == self.spec.service)?;
            let peer = node.peer(record.id);
            let known =
                before.iter().map(|target| &target.remote).find(|known| known.is(record, &peer)).cloned();
            // An endpoint of weight 0 asks for nothing.
            let new = || (offered.weight > 0).then(|| Arc::new(Remote::new(peer, record, offered.weight)));
            let remote = known.or_else(new)?;
            let channel = remote.channel();
            Some(Target { remote, channel })
        };
        records.filter_map(remote).collect()
    }
}

impl Table {
    /// Of two endpoints taken at random among those with a session, the one with less to do; those that were not tried
    /// yet come after them.
    ///
    /// Power of two choices: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.
    #[inline]
    pub(crate) fn pick(&self, not: &[NodeId]) -> Option<&Target> {
        if let ([only], []) = (self.remotes.as_slice(), not) {
            return only.remote.is_usable().then_some(only);
        }
        let is_usable = |target: &Target| target.remote.is_usable() && !not.contains(&target.remote.node());
        self.pick_of(|target| target.remote.is_connected() && is_usable(target))
            .or_else(|| self.pick_of(is_usable))
    }

    #[inline]
    fn pick_of(&self, is_candidate: impl Fn(&Target) -> bool) -> Option<&Target> {
        let candidates = || self.remotes.iter().filter(|target| is_candidate(target));
        match candidates().count() {
            0 => None,
            1 => candidates().next(),
            count => {
                let first = self.random.below(count);
                let second = (first + 1 + self.random.below(count - 1)) % count;
                let (first, second) = (candidates().nth(first)?, candidates().nth(second)?);
                let second_is_better = second.remote.score() < first.remote.score();
                let (chosen, other) = if second_is_better { (second, first) } else { (first, second) };
                other.remote.passed_over();
                Some(chosen)
            }
        }
    }

    /// Whether every endpoint is one of `nodes`.
    pub(crate) fn are_all_in(&self, nodes: &[NodeId]) -> bool {
        self.remotes.iter().all(|target| nodes.contains(&target.remote.node()))
    }

    /// The endpoints on other nodes.
    pub(crate) fn remotes(&self) -> impl Iterator<Item = &Remote> {
        self.remotes.iter().map(|target| &*target.remote)
    }

    /// Whether any endpoint is known, reachable or not.
    pub(crate) fn is_empty(&self) -> bool {
        self.local.is_none() && self.remotes.is_empty()
    }
}

impl Target {
    /// The channel, if it is open.
    #[inline]
    pub(crate) fn channel(&self) -> Option<&Arc<ChannelCaller>> {
        self.channel.as_ref().filter(|channel| channel.is_live())
    }
}

// === impl Route ===

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Route").field(&self.spec.service).finish()
    }
}
