//! Where the calls of one service can go: the endpoints that the directory knows, and which of them to take.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use qmesh_discovery::Snapshot;
use qmesh_transport::NodeId;
use tower::retry::budget::TpsBudget;

use crate::{
    client::Remote,
    codec::Codec,
    node::NodeInner,
    service::Endpoint,
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
}

/// The endpoints of one service. Shared by all its clients on a node.
pub(crate) struct Route {
    pub(crate) spec: RouteSpec,
    table: ArcSwap<Table>,
    refreshing: Mutex<()>,
    pub(crate) budget: TpsBudget,
}

#[derive(Debug, Default)]
struct Table {
    version: u64,
    local: Option<Arc<dyn Endpoint>>,
    remotes: Vec<Arc<Remote>>,
}

impl Route {
    pub(crate) fn new(spec: RouteSpec, retries_per_second: u32, retry_share: f32) -> Self {
        Self {
            spec,
            table: ArcSwap::default(),
            refreshing: Mutex::default(),
            budget: TpsBudget::new(Duration::from_secs(10), retries_per_second, retry_share),
        }
    }

    pub(crate) fn open_request(&self) -> Open {
        Open {
            service: self.spec.service.clone(),
            codec: self.spec.codec.name().to_owned(),
            methods: self.spec.methods.clone(),
        }
    }

    /// The endpoint on this node, if there is one.
    #[inline]
    pub(crate) fn local(&self, node: &NodeInner) -> Option<Arc<dyn Endpoint>> {
        self.refresh(node);
        self.table.load().local.clone()
    }

    /// Of two endpoints taken at random among those that can be reached, the one with less to do.
    ///
    /// Power of two choices: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.
    pub(crate) fn pick(&self, node: &NodeInner, not: &[NodeId]) -> Option<Arc<Remote>> {
        self.refresh(node);
        let table = self.table.load();
        if let [only] = table.remotes.as_slice() {
            return (not.is_empty() && only.is_usable()).then(|| Arc::clone(only));
        }
        let usable = || table.remotes.iter().filter(|remote| remote.is_usable() && !not.contains(&remote.node()));
        let count = usable().count();
        let pick = |at: usize| usable().nth(at);
        let chosen = match count {
            0 => None,
            1 => pick(0),
            _ => {
                let first = rand::random_range(0..count);
                let second = (first + rand::random_range(1..count)) % count;
                let (first, second) = (pick(first)?, pick(second)?);
                Some(if second.score() < first.score() { second } else { first })
            }
        };
        chosen.cloned()
    }

    /// Whether any endpoint is known, reachable or not.
    pub(crate) fn is_known(&self, node: &NodeInner) -> bool {
        self.refresh(node);
        let table = self.table.load();
        table.local.is_some() || !table.remotes.is_empty()
    }

    /// Takes over what the directory and this node's own services have become, if they changed.
    #[inline]
    fn refresh(&self, node: &NodeInner) {
        if self.table.load().version != node.version() {
            self.rebuild(node);
        }
    }

    #[cold]
    fn rebuild(&self, node: &NodeInner) {
        let _one_at_a_time = self.refreshing.lock();
        let version = node.version();
        let before = self.table.load();
        if before.version == version {
            return;
        }
        let snapshot = node.snapshot();
        let remotes = self.remotes(node, &snapshot, &before.remotes);
        let local = node.service(&self.spec.service);
        self.table.store(Arc::new(Table { version, local, remotes }));
    }

    /// An endpoint that stays keeps its channel and its load.
    fn remotes(&self, node: &NodeInner, snapshot: &Snapshot, before: &[Arc<Remote>]) -> Vec<Arc<Remote>> {
        let records = snapshot.endpoints(&self.spec.service).iter().filter(|record| record.id != node.id());
        let remote = |record: &Arc<qmesh_discovery::NodeRecord>| {
            let known = before.iter().find(|known| known.is(record));
            known.cloned().unwrap_or_else(|| {
                let offered = record.services.iter().find(|service| service.name == self.spec.service);
                Arc::new(Remote::new(node.peer(record.id), record, offered.map_or(1, |service| service.weight)))
            })
        };
        records.map(remote).collect()
    }
}

// === impl Route ===

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Route").field(&self.spec.service).finish()
    }
}
