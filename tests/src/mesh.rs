//! Nodes of one mesh in this process.

use futures_util::future::join_all;
use qmesh::{Address, Authority, Config, Identity, MemoryNetwork, Node, NodeBuilder};

use crate::secs;

/// A mesh to be: its authority, and a network in memory.
#[derive(Clone, Debug)]
pub struct Mesh {
    /// The network of the nodes that [`node`](Self::node) makes. A node's name is its name there.
    pub network: MemoryNetwork,
    /// Who the nodes are. A node that is made twice under one name keeps its id.
    pub identity: Identity,
}

impl Mesh {
    /// An empty mesh.
    ///
    /// # Panics
    /// If no authority can be made.
    #[must_use]
    pub fn new() -> Self {
        let authority = Authority::ephemeral("tests").expect("an authority needs nothing but random numbers");
        Self { network: MemoryNetwork::new(7), identity: Identity::issued_by(&authority) }
    }

    /// A node to be in the network in memory. Its seed is `node-0`.
    pub fn node(&self, name: &str) -> NodeBuilder {
        let builder = Node::builder(name).identity(self.identity.clone()).memory(&self.network);
        builder.config(Config::local()).seed(Address::memory("node-0"))
    }

    /// Shuts nodes down, all at once.
    pub async fn end(nodes: impl IntoIterator<Item = Node>) {
        let nodes: Vec<_> = nodes.into_iter().collect();
        join_all(nodes.iter().map(Node::shutdown)).await;
    }

    /// A node to be that listens on QUIC on this host, and whose seeds are the addresses of `seed`. It has [`Mesh::quic_config`].
    pub fn quic_node(&self, name: &str, seed: Option<&Node>) -> NodeBuilder {
        let mut builder = Node::builder(name).identity(self.identity.clone()).config(Self::quic_config());
        for address in seed.iter().flat_map(|seed| seed.addresses()) {
            builder = builder.seed(address);
        }
        builder
    }

    /// [`Config::local`], but that a machine that stands still for seconds costs no session and no node. How losses are found
    /// is tested over memory, and with processes that are killed.
    #[must_use]
    pub fn quic_config() -> Config {
        let mut config = Config::local();
        config.quic.idle_timeout = secs(20);
        config.gossip.silence_min = secs(10);
        config.gossip.phi_threshold = 50.0;
        config
    }
}

impl Default for Mesh {
    fn default() -> Self {
        Self::new()
    }
}
