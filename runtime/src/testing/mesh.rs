//! A whole mesh in one process: nodes by number, over a network in memory.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use qmesh_transport::{Address, Identity, MemoryNetwork};
use tokio::time::Instant;

use super::{Ledger, Log, MeshBuilder, Site};
use crate::{
    GossipProtocol,
    client::ServiceClient,
    config::Config,
    node::{Node, NodeBuilder, NodeInner, WallClock},
    task,
};

/// Nodes that others ask first.
const SEEDS_MAX: usize = 3;
/// The date at which a simulation begins, in milliseconds since 1970.
const BEGINNING_MS: i64 = 1_700_000_000_000;

/// What a node serves: the builder of a node, with what it is to have beside its place in the mesh.
pub(super) type Furnish = Arc<dyn Fn(&Site, NodeBuilder) -> NodeBuilder + Send + Sync>;

/// Nodes of one mesh in this process, over a network in memory, to be broken and mended.
///
/// [`shutdown`](Self::shutdown) ends it and checks that nothing is left. Dropped, its nodes end without a word.
pub struct Mesh {
    pub(super) seed: u64,
    pub(super) network: MemoryNetwork,
    pub(super) log: Log,
    pub(super) ledger: Ledger,
    pub(super) seats: Arc<Mutex<Vec<Seat>>>,
    pub(super) start: Instant,
    /// Tasks of the runtime that are not ours.
    pub(super) tasks_before: usize,
    pub(super) watcher: Option<task::Owned>,
    pub(super) identity: Identity,
    pub(super) config: Config,
    pub(super) gossip: GossipProtocol,
    pub(super) furnish: Furnish,
}

/// A place for a node, whether one runs there or not.
pub(super) struct Seat {
    pub(super) site: Site,
    pub(super) node: Option<Node>,
    /// A node that ends in order, and has not yet.
    stopping: Option<Node>,
    /// One node starts here at a time.
    starting: Arc<tokio::sync::Mutex<()>>,
    /// Lives so far, and what is left of each.
    pub(super) lives: Vec<Weak<NodeInner>>,
    clock_offset_ms: Arc<AtomicI64>,
}

impl Seat {
    pub(super) fn new(number: usize) -> Self {
        Self {
            site: Site::new(number),
            node: None,
            stopping: None,
            starting: Arc::default(),
            lives: Vec::new(),
            clock_offset_ms: Arc::default(),
        }
    }
}

impl Mesh {
    /// A mesh to be: three nodes, seed 0, [`Config::local`], links that take no time.
    pub fn builder() -> MeshBuilder {
        MeshBuilder::new()
    }

    /// How many places for nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seats.lock().len()
    }

    /// Whether it has no place for a node.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The node of that number.
    ///
    /// # Panics
    /// If there is none, or it does not run.
    #[must_use]
    pub fn node(&self, number: usize) -> Node {
        self.running(number).unwrap_or_else(|| panic!("node {number} does not run"))
    }

    /// The node of that number, if it runs.
    #[must_use]
    pub fn running(&self, number: usize) -> Option<Node> {
        self.seats.lock().get(number).and_then(|seat| seat.node.clone())
    }

    /// The node of that name (`node-0`, `node-1`, …), if it runs.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<Node> {
        self.seats.lock().iter().find(|seat| seat.site.name() == name).and_then(|seat| seat.node.clone())
    }

    /// All nodes that run.
    #[must_use]
    pub fn nodes(&self) -> Vec<Node> {
        self.seats.lock().iter().filter_map(|seat| seat.node.clone()).collect()
    }

    /// A client on the node of that number.
    ///
    /// # Panics
    /// As [`node`](Self::node).
    #[must_use]
    pub fn client<T: ServiceClient>(&self, number: usize) -> T {
        self.node(number).client()
    }

    /// The place of that number.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn site(&self, number: usize) -> Site {
        self.seats.lock()[number].site.clone()
    }

    /// What happened so far.
    #[must_use]
    pub const fn log(&self) -> &Log {
        &self.log
    }

    /// The books of this mesh's calls, for callers and handlers to write into.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The network, for what this type does not offer.
    #[must_use]
    pub const fn network(&self) -> &MemoryNetwork {
        &self.network
    }

    /// Virtual time since the mesh began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    // --- lives ---

    /// The node vanishes without a word, as if its process had been killed. One that does not run stays so.
    pub fn crash(&self, number: usize) {
        let (name, node) = {
            let mut seats = self.seats.lock();
            let Some(seat) = seats.get_mut(number) else { return };
            let (running, stopping) = (seat.node.take(), seat.stopping.take());
            let Some(node) = running.or(stopping) else { return };
            (seat.site.name().to_owned(), node)
        };
        self.log.note(format!("crash {name}"));
        self.network.crash(&name);
        // Whoever still has a handle of it has one of a dead node.
        node.inner().end_now();
        node.inner().let_go();
    }

    /// The node ends in order.
    ///
    /// # Cancel safety
    /// Cancelled, it stays between running and ended, until it crashes or another one starts in its place.
    pub async fn stop(&self, number: usize) {
        let node = {
            let mut seats = self.seats.lock();
            let Some(seat) = seats.get_mut(number) else { return };
            let Some(node) = seat.node.take() else { return };
            seat.stopping = Some(node.clone());
            node
        };
        self.log.note(format!("stop {}", node.name()));
        node.shutdown().await;
        let mut seats = self.seats.lock();
        // It may have crashed meanwhile, and another one may be there.
        let is_this = |stopping: &mut Node| Arc::ptr_eq(stopping.inner(), node.inner());
        drop(seats[number].stopping.take_if(is_this));
    }

    /// A node starts in that place: one that crashed, or was stopped, or has yet to be. One that runs crashes first.
    ///
    /// # Panics
    /// If it does not start: what it is furnished with does not fit.
    pub async fn restart(&self, number: usize) {
        let starting = Arc::clone(&self.seats.lock()[number].starting);
        let _one_at_a_time = starting.lock().await;
        self.crash(number);
        let (builder, name) = self.next_life(number);
        self.log.note(format!("start {name}"));
        let started = builder.start().await;
        let node = started.unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let mut seats = self.seats.lock();
        seats[number].lives.push(Arc::downgrade(node.inner()));
        seats[number].node = Some(node);
    }

    fn next_life(&self, number: usize) -> (NodeBuilder, String) {
        let seats = self.seats.lock();
        let seat = &seats[number];
        let (site, life) = (seat.site.clone(), seat.lives.len() as u64);
        let mut builder = Node::builder(site.name()).identity(self.identity.clone()).memory(&self.network);
        builder = builder.config(self.config.clone());
        for other in seats.iter().take(SEEDS_MAX) {
            builder = builder.seed(Address::memory(other.site.name()));
        }
        let (offset, start) = (Arc::clone(&seat.clock_offset_ms), self.start);
        // A later life has a higher number also where it begins in the same millisecond.
        let clock = WallClock::of(move || {
            let elapsed = i64::try_from(start.elapsed().as_millis()).unwrap_or(i64::MAX);
            (BEGINNING_MS + elapsed + offset.load(Relaxed)).unsigned_abs() + life
        });
        drop(seats);
        let seed = self.seed ^ ((number as u64 + 1) << 48) ^ ((life + 1) << 32);
        let name = site.name().to_owned();
        ((self.furnish)(&site, builder).simulated(seed, clock, self.gossip), name)
    }

    pub(super) fn turn_clock(&self, number: usize, by_ms: i64) {
        self.seats.lock()[number].clock_offset_ms.fetch_add(by_ms, Relaxed);
    }
}

// === impl Mesh ===

impl Drop for Mesh {
    fn drop(&mut self) {
        for number in 0..self.len() {
            self.crash(number);
        }
    }
}

impl fmt::Debug for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mesh").field("seed", &self.seed).field("nodes", &self.len()).finish_non_exhaustive()
    }
}
