//! A mesh of nodes that do nothing but gossip.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use qmesh_discovery::{Announcement, Config, GopherMap, GossipStopped, NodeState, ServiceRecord};
use qmesh_transport::{Address, Authority, Identity, NodeId};
use tokio::{
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep},
};

use super::air::{Air, Voice};

/// How often agreement is looked for: the resolution of all times.
const STEP: Duration = Duration::from_millis(10);

/// How long agreement may take at most.
const PATIENCE: Duration = Duration::from_mins(2);

/// The seed of the nodes' keys, and so of their ids.
const SEED: u64 = 4;

/// Nodes in one thread.
pub(super) struct Mesh {
    config: Config,
    identity: Identity,
    air: Arc<Air>,
    nodes: BTreeMap<NodeId, Node>,
    /// All that were ever started, in order.
    ids: Vec<NodeId>,
    tasks: JoinSet<()>,
}

struct Node {
    map: GopherMap,
    supervisor: AbortHandle,
}

/// What all living nodes did together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) bytes: u64,
    pub(super) messages: u64,
    pub(super) changes: u64,
}

impl Mesh {
    /// So many nodes, started within two intervals, that know each other.
    pub(super) async fn of(config: Config, nodes: usize) -> anyhow::Result<Self> {
        let identity = Identity::seeded(&Authority::ephemeral("scale")?, SEED);
        let (air, mut tasks) = (Arc::new(Air::default()), JoinSet::new());
        tasks.spawn(Arc::clone(&air).deliver());
        let pause = config.interval * 2 / u32::try_from(nodes).context("that is too many nodes")?;
        let mut mesh = Self { config, identity, air, nodes: BTreeMap::new(), ids: Vec::new(), tasks };
        for _ in 0..nodes {
            mesh.join().await?;
            sleep(pause).await;
        }
        mesh.agreed().await.context("at the start")?;
        Ok(mesh)
    }

    /// Starts another node. It has a session with the one that was started half as many nodes ago, so that all are a tree.
    pub(super) async fn join(&mut self) -> anyhow::Result<()> {
        let name = format!("node-{}", self.ids.len());
        let credentials = self.identity.credentials(&name)?;
        let id = credentials.id();
        let voice = Arc::new(Voice { from: id, air: Arc::clone(&self.air) });
        let map = GopherMap::start(self.config.clone(), credentials, 1, announcement(&name), voice).await?;
        self.air.enter(id, map.clone());
        let supervisor = self.tasks.spawn(supervise(map.clone()));
        if let Some((parent, node)) =
            self.ids.get(self.ids.len() / 2).and_then(|parent| self.nodes.get_key_value(parent))
        {
            map.greet(*parent);
            node.map.greet(id);
        }
        self.nodes.insert(id, Node { map, supervisor });
        self.ids.push(id);
        Ok(())
    }

    /// Ends one without a word.
    pub(super) fn kill_one(&mut self) {
        // The ids are hashes: any is as good as another.
        if let Some((id, node)) = self.nodes.pop_first() {
            node.supervisor.abort();
            self.air.leave(id);
        }
    }

    /// Waits until every directory shows exactly the living; how long that took.
    pub(super) async fn agreed(&self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        while !self.agree() {
            if began.elapsed() > PATIENCE {
                bail!("directories differ after {PATIENCE:?}");
            }
            sleep(STEP).await;
        }
        Ok(began.elapsed())
    }

    pub(super) fn sums(&self) -> Sums {
        self.nodes.values().fold(Sums::default(), |sums, node| {
            let stats = node.map.stats();
            Sums {
                bytes: sums.bytes + stats.bytes_out,
                messages: sums.messages + stats.messages_out,
                changes: sums.changes + node.map.directory().version(),
            }
        })
    }

    fn agree(&self) -> bool {
        self.nodes.values().all(|node| {
            let snapshot = node.map.directory().snapshot();
            snapshot.nodes().map(|record| &record.id).eq(self.nodes.keys())
        })
    }
}

/// What the runtime's supervisor does.
async fn supervise(map: GopherMap) {
    while map.stopped().await != GossipStopped::InOrder {
        map.restart().await.expect("a record that was announced is not too large, and nobody leaves");
    }
}

fn announcement(name: &str) -> Announcement {
    let service = ServiceRecord {
        name: "chat.Chat".to_owned(),
        version: "1.0.0".to_owned(),
        weight: 1,
        fingerprint: 7,
    };
    Announcement {
        state: NodeState::Ready,
        addresses: vec![Address::memory(name)],
        zone: None,
        services: vec![service],
    }
}
