//! The loop that keeps one connection for each peer: it starts and stops their actors, as the directory and the
//! sessions that come in say.

use std::{sync::Arc, time::Duration};

use qmesh_discovery::{Change, NodeRecord, NodeState};
use qmesh_transport::NodeId;
use tokio::{sync::mpsc, time::MissedTickBehavior};

use crate::{
    events::{self, MeshEvent},
    node::{NodeInner, Peer, ROOT, connection, hello::Introduced},
    supervisor::{ChildSpec, Kind, RestartPolicy, SupervisorRef, looper},
};

/// What the loop is told. Its queue is bounded: who finds it full tries again later.
#[derive(Debug)]
pub(crate) enum PeerEvent {
    /// Somebody wants a session with this peer.
    Wanted(NodeId),
    /// A session has come in, or a seed was dialled.
    Introduced(Introduced),
    /// The peer is in no directory, and nothing is heard of it.
    Idle(NodeId),
}

/// How many events may wait.
pub(crate) const EVENTS: usize = 1024;
/// How many members a full mesh has at most: above, a node keeps the sessions that calls, gossip or peers ask for.
const FULL_MESH_MAX: usize = 64;
/// How often members without a session are looked for.
const SWEEP: Duration = Duration::from_secs(1);

pub(crate) async fn run(
    node: Arc<NodeInner>,
    events: Arc<tokio::sync::Mutex<mpsc::Receiver<PeerEvent>>>,
) -> Result<(), String> {
    let mut events = events.lock().await;
    let mut watch = node.directory().watch();
    let mut sweep = tokio::time::interval(SWEEP);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            changes = watch.next() => {
                for change in changes {
                    if change.record().id != node.id() {
                        apply(&node, change);
                    }
                }
                node.bump();
            }
            _ = sweep.tick() => {
                connect_all(&node);
                node.prune_peers();
            }
            event = events.recv() => match event {
                Some(event) => handle(&node, event).await,
                None => return Ok(()),
            },
        }
    }
}

async fn handle(node: &Arc<NodeInner>, event: PeerEvent) {
    match event {
        PeerEvent::Wanted(id) => {
            let peer = node.peer(id);
            match node.snapshot().node(id) {
                Some(record) => start(node, &peer, &record.name).await,
                // Nobody knows where it is.
                None => peer.unwanted(),
            }
        }
        PeerEvent::Introduced(introduced) => {
            let peer = node.peer(introduced.link.session().peer().id());
            start(node, &peer, &introduced.name).await;
            if let Err(error) = peer.adopt.try_send(Box::new(introduced)) {
                let introduced = error.into_inner();
                introduced
                    .link
                    .close(qmesh_transport::CloseCode::LIMIT, "too many sessions of one node at a time");
            }
        }
        PeerEvent::Idle(id) => {
            if node.snapshot().node(id).is_some() || node.peer(id).current().is_some() {
                return;
            }
            let supervisor = node.forget(id).and_then(|peer| peer.supervisor.lock().take());
            let name = supervisor.as_ref().and_then(|own| own.path().strip_prefix(ROOT)?.strip_prefix('/'));
            if let Some(name) = name {
                node.supervisor().stop(name).await;
            }
        }
    }
}

/// Starts the connection's actor, unless it runs.
async fn start(node: &Arc<NodeInner>, peer: &Arc<Peer>, name: &str) {
    if peer.supervisor.lock().is_some() {
        return;
    }
    let mut child = format!("connection/{name}");
    if node.supervisor().has(&child) {
        // Two nodes that go by one name.
        child = format!("{child}~{}", peer.id().short());
    }
    let spec = spec(node, peer, child);
    if let Err(why) = node.supervisor().start(spec).await {
        tracing::error!(target: "qmesh::runtime", peer = %peer.id(), why, "no connection can be started");
    }
}

fn spec(node: &Arc<NodeInner>, peer: &Arc<Peer>, name: String) -> ChildSpec {
    let (node, peer) = (Arc::downgrade(node), Arc::clone(peer));
    let child = name.clone();
    let spawn = move |parent: ractor::ActorCell| {
        let (node, peer, child) = (node.clone(), Arc::clone(&peer), child.clone());
        let spawned: futures_util::future::BoxFuture<'static, _> = Box::pin(async move {
            let stopped = || ractor::SpawnErr::StartupFailed("the node has stopped".into());
            let upgraded = node.upgrade().ok_or_else(stopped)?;
            let supervisor = SupervisorRef::below(parent, upgraded.supervisor(), &child).await?;
            *peer.supervisor.lock() = Some(supervisor.clone());
            let place = upgraded.shards().of(peer.id().as_bytes());
            let session = ChildSpec {
                name: "session".to_owned(),
                kind: Kind::Session,
                restart: Some(RestartPolicy::forever()),
                spawn: looper(place, move || match node.upgrade() {
                    Some(node) => Box::pin(connection::run(node, Arc::clone(&peer))),
                    None => Box::pin(std::future::ready(Ok(()))),
                }),
                gave_up: None,
                look: None,
            };
            supervisor.start(session).await.map_err(|why| ractor::SpawnErr::StartupFailed(why.into()))?;
            Ok(supervisor.cell())
        });
        spawned
    };
    let restart = Some(RestartPolicy::forever());
    ChildSpec { name, kind: Kind::Connection, restart, spawn: Box::new(spawn), gave_up: None, look: None }
}

fn apply(node: &Arc<NodeInner>, change: Change) {
    match change {
        Change::Joined(record) => {
            node.events().tell(MeshEvent::Joined {
                peer: record.name.clone(),
                id: record.id.to_string(),
                addresses: events::addresses(&record.addresses),
            });
            node.peer(record.id).forgive();
            connect(node, &record);
        }
        Change::Updated { before, after } => {
            let peer = || after.name.clone();
            if before.incarnation != after.incarnation {
                let incarnation = after.incarnation;
                node.events().tell(MeshEvent::Restarted { peer: peer(), incarnation });
                node.peer(after.id).forgive();
            }
            if after.state == NodeState::Draining && before.state != after.state {
                node.events().tell(MeshEvent::Draining { peer: peer() });
            }
            connect(node, &after);
        }
        Change::Left(record) => node.events().tell(MeshEvent::Left { peer: record.name.clone() }),
        Change::Died(record) => node.events().tell(MeshEvent::Died { peer: record.name.clone() }),
    }
}

/// Each member of a small mesh has a session with each other: the lower id dials at once, the other later if need be.
fn connect(node: &Arc<NodeInner>, record: &NodeRecord) {
    let small = node.snapshot().nodes().len() <= FULL_MESH_MAX;
    if small && node.id() < record.id && record.state != NodeState::Gone {
        node.peer(record.id).want(node);
    }
}

fn connect_all(node: &Arc<NodeInner>) {
    let snapshot = node.snapshot();
    if snapshot.nodes().len() > FULL_MESH_MAX || node.is_draining() {
        return;
    }
    for record in snapshot.nodes().filter(|record| record.id != node.id()) {
        let peer = node.peer(record.id);
        if peer.is_usable() {
            peer.want(node);
        }
    }
}
