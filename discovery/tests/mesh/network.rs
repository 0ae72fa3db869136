//! An in-memory carrier between many nodes, with a delay and cuts.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use qmesh_discovery::{
    Announcement, Carrier, Config, GopherMap, GossipStopped, NodeRecord, NodeState, Protocol, ServiceRecord,
};
use qmesh_transport::{Address, Authority, Identity, NodeId};
use tokio::{
    sync::Notify,
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep, sleep_until, timeout},
};
use xxhash_rust::xxh3::xxh3_64;

/// How long a message takes.
const DELAY: Duration = Duration::from_millis(1);

/// How often a condition is looked at: the resolution of all measured times.
const STEP: Duration = Duration::from_millis(10);

/// Some nodes, and what lies between them.
pub(crate) struct Mesh {
    pub(crate) config: Config,
    identity: Identity,
    links: Arc<Links>,
    nodes: BTreeMap<NodeId, Node>,
    tasks: JoinSet<()>,
}

struct Node {
    map: GopherMap,
    supervisor: AbortHandle,
}

/// Messages on their way, and who may hear whom.
#[derive(Default)]
struct Links {
    queue: Mutex<VecDeque<(Instant, NodeId, NodeId, Bytes)>>,
    queued: Notify,
    up: Mutex<BTreeMap<NodeId, GopherMap>>,
    cut_off: Mutex<BTreeSet<NodeId>>,
    /// Nodes that have a session with one other only.
    behind: Mutex<BTreeMap<NodeId, NodeId>>,
    /// Of so many messages one is lost; none if it is 0.
    lost_of: AtomicU64,
    /// Milliseconds that a message takes beyond the usual.
    slowed_by: AtomicU64,
    sent: AtomicU64,
}

struct Port {
    from: NodeId,
    links: Arc<Links>,
}

impl Carrier for Port {
    fn send(&self, to: NodeId, message: Bytes) {
        if self.links.loses() {
            return;
        }
        let delay = DELAY + Duration::from_millis(self.links.slowed_by.load(Relaxed));
        self.links.queue.lock().push_back((Instant::now() + delay, self.from, to, message));
        self.links.queued.notify_one();
    }
}

impl Links {
    /// Whether the next message is lost: one that stands in no order.
    fn loses(&self) -> bool {
        let number = self.sent.fetch_add(1, Relaxed);
        let (lost_of, drawn) = (self.lost_of.load(Relaxed), xxh3_64(&number.to_be_bytes()));
        lost_of > 0 && drawn.is_multiple_of(lost_of)
    }

    async fn deliver(self: Arc<Self>) {
        loop {
            let next = self.queue.lock().pop_front();
            let Some((at, from, to, message)) = next else {
                self.queued.notified().await;
                continue;
            };
            sleep_until(at).await;
            let up = self.up.lock();
            // A killed node's last words are on their way, but there is no session that they could come over.
            if let Some(map) = up.get(&to).filter(|_| up.contains_key(&from) && self.is_linked(from, to)) {
                map.received(from, message);
            }
        }
    }

    fn is_linked(&self, from: NodeId, to: NodeId) -> bool {
        let (cut_off, behind) = (self.cut_off.lock(), self.behind.lock());
        let reaches = |one, other| behind.get(one).is_none_or(|gate| gate == other);
        cut_off.contains(&from) == cut_off.contains(&to) && reaches(&from, &to) && reaches(&to, &from)
    }
}

impl Mesh {
    pub(crate) fn new(protocol: Protocol) -> Self {
        let mut config = Config::local();
        config.protocol = protocol;
        Self::with(config)
    }

    pub(crate) fn with(config: Config) -> Self {
        let identity = Identity::issued_by(&Authority::ephemeral("test").unwrap());
        let links = Arc::new(Links::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&links).deliver());
        Self { config, identity, links, nodes: BTreeMap::new(), tasks }
    }

    /// A mesh of `count` nodes that have joined through the first, and know each other.
    pub(crate) async fn of(protocol: Protocol, count: usize) -> (Self, Vec<NodeId>) {
        Self::new(protocol).filled(count).await
    }

    pub(crate) async fn of_config(config: Config, count: usize) -> (Self, Vec<NodeId>) {
        Self::with(config).filled(count).await
    }

    async fn filled(self, count: usize) -> (Self, Vec<NodeId>) {
        let mut mesh = self;
        let mut ids = Vec::new();
        for number in 0..count {
            // Nodes do not start in step.
            sleep(Duration::from_millis(37)).await;
            ids.push(mesh.start(&format!("node-{number}"), 1).await);
            mesh.greet(ids[number], ids[0]);
        }
        mesh.until("all know all", Duration::from_secs(10), |mesh| mesh.agree(&ids)).await;
        (mesh, ids)
    }

    pub(crate) async fn start(&mut self, name: &str, incarnation: u64) -> NodeId {
        let credentials = self.identity.credentials(name).unwrap();
        let id = credentials.id();
        let port = Arc::new(Port { from: id, links: Arc::clone(&self.links) });
        let announcement = announcement(name);
        let map = GopherMap::start(self.config.clone(), credentials, incarnation, announcement, port)
            .await
            .unwrap();
        self.links.up.lock().insert(id, map.clone());
        let supervisor = self.tasks.spawn(supervise(map.clone()));
        self.nodes.insert(id, Node { map, supervisor });
        id
    }

    /// Starts a node that has a session with `gate` alone, so that it learns of all others from it.
    pub(crate) async fn start_behind(&mut self, gate: NodeId, name: &str) -> NodeId {
        let id = self.identity.credentials(name).unwrap().id();
        self.links.behind.lock().insert(id, gate);
        self.start(name, 1).await;
        self.greet(id, gate);
        id
    }

    /// A session between the two has come up.
    pub(crate) fn greet(&self, from: NodeId, to: NodeId) {
        if from != to {
            self.map(from).greet(to);
            self.map(to).greet(from);
        }
    }

    /// Ends a node without a word.
    pub(crate) fn kill(&mut self, id: NodeId) {
        let node = self.nodes.remove(&id).unwrap();
        node.supervisor.abort();
        self.links.up.lock().remove(&id);
    }

    /// Cuts some nodes off from all others, in place of any former cut.
    pub(crate) fn cut_off(&self, ids: &[NodeId]) {
        *self.links.cut_off.lock() = ids.iter().copied().collect();
    }

    /// Loses one of so many messages from now on.
    pub(crate) fn lose_one_of(&self, messages: u64) {
        self.links.lost_of.store(messages, Relaxed);
    }

    /// Lets every message take so many milliseconds more from now on.
    pub(crate) fn slow_by(&self, millis: u64) {
        self.links.slowed_by.store(millis, Relaxed);
    }

    pub(crate) fn map(&self, id: NodeId) -> &GopherMap {
        &self.nodes[&id].map
    }

    pub(crate) fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    /// What `viewer` knows of `id`.
    pub(crate) fn view(&self, viewer: NodeId, id: NodeId) -> Option<Arc<NodeRecord>> {
        self.map(viewer).directory().snapshot().node(id).cloned()
    }

    /// Whether every running node sees exactly `ids`.
    pub(crate) fn agree(&self, ids: &[NodeId]) -> bool {
        let wanted: BTreeSet<_> = ids.iter().copied().collect();
        self.ids().into_iter().all(|viewer| self.sees(viewer, &wanted))
    }

    pub(crate) fn sees(&self, viewer: NodeId, wanted: &BTreeSet<NodeId>) -> bool {
        self.map(viewer).directory().snapshot().nodes().map(|record| record.id).eq(wanted.iter().copied())
    }

    /// Lets time pass until a condition holds, and returns how long it took.
    pub(crate) async fn until(&self, what: &str, limit: Duration, holds: impl Fn(&Self) -> bool) -> Duration {
        let began = Instant::now();
        let wait = async {
            while !holds(self) {
                sleep(STEP).await;
            }
        };
        assert!(timeout(limit, wait).await.is_ok(), "{what}: not within {limit:?}");
        began.elapsed()
    }

    /// Lets time pass, in which a condition holds throughout.
    pub(crate) async fn throughout(&self, what: &str, time: Duration, holds: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while began.elapsed() < time {
            assert!(holds(self), "{what}: no longer after {:?}", began.elapsed());
            sleep(STEP).await;
        }
    }
}

/// What the runtime's supervisor does.
async fn supervise(map: GopherMap) {
    while map.stopped().await != GossipStopped::InOrder {
        map.restart().await.unwrap();
    }
}

pub(crate) fn announcement(name: &str) -> Announcement {
    Announcement {
        state: NodeState::Ready,
        addresses: vec![Address::memory(name)],
        zone: None,
        services: vec![service("chat.Chat")],
    }
}

pub(crate) fn service(name: &str) -> ServiceRecord {
    ServiceRecord { name: name.to_owned(), version: "1.0.0".to_owned(), weight: 1, fingerprint: 7 }
}
