//! A mesh to be: how many nodes, which seed, what each serves.

use std::{fmt, sync::Arc};

use parking_lot::Mutex;
use qmesh_transport::{Authority, Identity, Link, MemoryNetwork};
use tokio::time::Instant;

use super::{
    Ledger, Log, Mesh, Site,
    checks::{self, AGREEMENT_MAX},
    mesh::{Furnish, Seat},
};
use crate::{GossipProtocol, config::Config, node::NodeBuilder};

/// A mesh to be. [`Mesh::builder`] makes one.
#[must_use = "a builder does nothing until it is built"]
pub struct MeshBuilder {
    nodes: usize,
    seed: u64,
    gossip: GossipProtocol,
    config: Config,
    link: Link,
    ledger: Ledger,
    furnish: Furnish,
}

impl MeshBuilder {
    pub(super) fn new() -> Self {
        Self {
            nodes: 3,
            seed: 0,
            gossip: GossipProtocol::Pulse,
            config: Config::local(),
            link: Link::default(),
            ledger: Ledger::default(),
            furnish: Arc::new(|_, node| node),
        }
    }

    /// How many nodes (default 3, at most 64). Their names are `node-0`, `node-1` and so on.
    pub const fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// What every chance of the simulation derives from: keys, links, choices, pauses (default 0).
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Every node's settings (default [`Config::local`]), but for the protocol of its gossip.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Every link, until one is changed (default: no delay, no loss).
    pub const fn link(mut self, link: Link) -> Self {
        self.link = link;
        self
    }

    /// The books that the mesh checks in the end (default: its own), for handlers to write into.
    pub fn ledger(mut self, ledger: &Ledger) -> Self {
        self.ledger = ledger.clone();
        self
    }

    /// Gossips by chitchat instead of by [pulses](GossipProtocol::Pulse). chitchat draws chances that no seed reaches: the run is
    /// then another one each time.
    pub const fn chitchat(mut self) -> Self {
        self.gossip = GossipProtocol::Chitchat;
        self
    }

    /// What each node serves, asked at its start and at each restart:
    /// `.furnish(|site, node| node.serve(BookServer::new(Guests::default)))`.
    pub fn furnish(
        mut self,
        furnish: impl Fn(&Site, NodeBuilder) -> NodeBuilder + Send + Sync + 'static,
    ) -> Self {
        self.furnish = Arc::new(furnish);
        self
    }

    /// Starts the nodes, and waits until they agree on who there is.
    ///
    /// # Panics
    /// If a node does not start, the nodes do not agree within 20 seconds, or there are more than 64 of them.
    pub async fn build(self) -> Mesh {
        assert!(self.nodes <= 64, "a mesh for tests has 64 nodes at most");
        let tasks_before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let log = Log::current();
        log.note(format!("mesh of {} nodes, seed {}", self.nodes, self.seed));
        self.ledger.tell(&log);
        let network = MemoryNetwork::new(self.seed);
        network.set_default_link(self.link);
        let authority = Authority::ephemeral("tests").expect("an authority needs nothing but random numbers");
        let mut mesh = Mesh {
            seed: self.seed,
            network,
            log,
            ledger: self.ledger,
            seats: Arc::new(Mutex::new((0..self.nodes).map(Seat::new).collect())),
            start: Instant::now(),
            tasks_before,
            watcher: None,
            identity: Identity::seeded(&authority, self.seed),
            config: self.config,
            gossip: self.gossip,
            furnish: self.furnish,
        };
        for number in 0..self.nodes {
            mesh.restart(number).await;
        }
        mesh.agree(AGREEMENT_MAX).await;
        mesh.watcher = Some(checks::watch(&mesh));
        mesh
    }
}

// === impl MeshBuilder ===

impl fmt::Debug for MeshBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeshBuilder")
            .field("nodes", &self.nodes)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}
