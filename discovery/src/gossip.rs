//! chitchat behind the [`Membership`] port. Nothing outside of this module names it.
//!
//! ```text
//!            received             announce, greet
//!               |                        |
//!        wire: decode                    |
//!        filter: verify, take out        |
//!        wire: encode                    |
//!               | inbox (bounded)        |
//!    Driver: chitchat's socket, in chitchat's own task
//!               |                        |
//!            carrier                 directory
//! ```

mod driver;
mod filter;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod member;
mod wire;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use chitchat::{
    ChitchatConfig, ChitchatHandle, ChitchatMessage, Deserializable, FailureDetectorConfig, spawn_chitchat,
};
use parking_lot::Mutex;
use qmesh_transport::{Credentials, NodeId};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

use self::{
    driver::{Driver, late_socket},
    filter::{Filter, Passed},
    member::{address_of, chitchat_id},
    wire::{Entry, MemberId, Message, NodeDelta, Status},
};
use crate::{
    Carrier, Config, Directory, GossipStats, GossipStopped, Rejection,
    config::DIGEST_ENTRY_BYTES,
    membership::{Event, Membership},
    now::Now,
    record::Sealed,
    tally::Tally,
};

/// How many peers get a new record at once; the others learn it from them within a few intervals.
const PUSH_PEERS_MAX: usize = 64;

/// How often whoever waits for all peers to know looks whether they do.
const LOOK: Duration = Duration::from_millis(10);

/// Gossip by chitchat.
pub(crate) struct Gossip {
    shared: Arc<Shared>,
    run: Mutex<Option<Run>>,
}

/// What outlives a run, and what the driver shares with the handle.
struct Shared {
    config: Config,
    own: NodeId,
    mesh: String,
    carrier: Arc<dyn Carrier>,
    directory: Directory,
    filter: Mutex<Filter>,
    /// Our newest record, which the driver of its generation gives to chitchat.
    announcement: Mutex<Option<Sealed>>,
    announced: Notify,
    /// Nodes whose last session with us died.
    suspects: Mutex<BTreeSet<NodeId>>,
    /// Whether somebody lives is to be looked at.
    doubted: Notify,
    tally: Tally,
}

/// One life of chitchat's loop.
struct Run {
    generation: u64,
    handle: ChitchatHandle,
    inbox: mpsc::Sender<(NodeId, ChitchatMessage)>,
}

impl Gossip {
    pub(crate) fn new(
        config: Config,
        credentials: Credentials,
        carrier: Arc<dyn Carrier>,
        directory: Directory,
    ) -> Self {
        let shared = Shared {
            own: credentials.id(),
            mesh: credentials.mesh().to_owned(),
            carrier,
            directory,
            filter: Mutex::new(Filter::new(credentials, config.nodes_max)),
            announcement: Mutex::default(),
            announced: Notify::new(),
            suspects: Mutex::default(),
            doubted: Notify::new(),
            tally: Tally::default(),
            config,
        };
        Self { shared: Arc::new(shared), run: Mutex::default() }
    }

    /// Begins an exchange, in which both tell what they have.
    fn ask(&self, peer: NodeId) {
        if let Some(run) = &*self.run.lock() {
            // It fails only where the loop has ended, and then a restart greets again.
            let _ended = run.handle.gossip(address_of(peer));
        }
    }
}

#[async_trait]
impl Membership for Gossip {
    async fn start(&self, own: Sealed) {
        let generation = own.record.generation;
        self.shared.filter.lock().begin(generation);
        self.shared.propose(own);
        let (inbox, messages) = mpsc::channel(self.shared.config.inbox_messages_max);
        let (socket, attach) = late_socket(Arc::clone(&self.shared));
        let spawned = spawn_chitchat(chitchat_config(&self.shared, generation), Vec::new(), &socket).await;
        let handle = spawned.expect("chitchat fails to start only where its socket fails to open");
        let driver = Driver::new(Arc::clone(&self.shared), generation, messages, handle.chitchat()).await;
        // chitchat's task may be gone already only if all of tokio's is; whoever waits for its end learns that.
        let _gone = attach.send(driver);
        let former = self.run.lock().replace(Run { generation, handle, inbox });
        if let Some(former) = former {
            end(former).await;
        }
    }

    fn announce(&self, own: Sealed) {
        let push = Bytes::from(push_message(&own));
        self.shared.propose(own);
        for peer in self.shared.audience().into_iter().take(PUSH_PEERS_MAX) {
            self.shared.send(peer, push.clone());
        }
    }

    async fn told(&self) {
        let audience = self.shared.audience();
        // To ask more of them than were told at once costs more than to wait. A node that misses others and hears nobody has
        // perhaps stood still itself.
        if audience.len() > PUSH_PEERS_MAX || (audience.is_empty() && self.shared.misses_others()) {
            return std::future::pending().await;
        }
        let mut ask_at = Instant::now() + LOOK;
        loop {
            // Who has left or died meanwhile need not know.
            let ignorant = self.shared.ignorant(&self.shared.audience() & &audience);
            if ignorant.is_empty() {
                return;
            }
            if ask_at <= Instant::now() {
                ask_at += self.shared.config.interval;
                ignorant.into_iter().for_each(|peer| self.ask(peer));
            }
            // The push goes first: a question would take its place on its way out.
            tokio::time::sleep(LOOK).await;
        }
    }

    fn received(&self, from: NodeId, message: Bytes) {
        let tally = &self.shared.tally;
        tally.received(message.len());
        let passed = match Message::decode(&message) {
            Ok(message) => self.shared.filter.lock().pass(from, message, Now::read()),
            Err(rejection) => return self.shared.reject(from, rejection),
        };
        let Passed { message, records, rejected, unproven, own_heartbeat } = passed;
        rejected.into_iter().for_each(|rejection| self.shared.reject(from, rejection));
        tally.unproven(unproven);
        if let Some(heartbeat) = own_heartbeat {
            tally.own_heartbeat_told(heartbeat);
        }
        if !records.is_empty() {
            self.shared.directory.apply(Event::Records(records));
        }
        if self.shared.directory.snapshot().node(from).is_none() {
            self.shared.doubted.notify_one();
        }
        let Some(message) = message else { return };
        match ChitchatMessage::deserialize(&mut &message.encode()[..]) {
            Ok(message) => {
                let run = self.run.lock();
                let refused = run.as_ref().is_some_and(|run| run.inbox.try_send((from, message)).is_err());
                if refused {
                    tally.inbox_full();
                }
            }
            Err(_) => self.shared.reject(from, Rejection::Malformed),
        }
        // A newer run of ours may have shown up, for the driver to see.
        self.shared.announced.notify_one();
    }

    fn greet(&self, peer: NodeId) {
        self.shared.suspects.lock().remove(&peer);
        self.ask(peer);
    }

    fn suspect(&self, peer: NodeId) {
        if self.shared.directory.snapshot().node(peer).is_some() {
            self.shared.suspects.lock().insert(peer);
            self.shared.doubted.notify_one();
        }
    }

    fn renew(&self, credentials: Credentials) {
        self.shared.filter.lock().renew(credentials);
    }

    fn newest_generation(&self) -> u64 {
        self.shared.filter.lock().newest_own_generation()
    }

    async fn stopped(&self) -> GossipStopped {
        loop {
            let current =
                self.run.lock().as_ref().map(|run| (run.generation, run.handle.termination_watcher()));
            let Some((generation, ended)) = current else { return GossipStopped::InOrder };
            let outcome = ended.await;
            if self.run.lock().as_ref().is_some_and(|run| run.generation != generation) {
                continue;
            }
            let newest = self.newest_generation();
            return match outcome {
                Ok(()) => GossipStopped::InOrder,
                Err(_) if newest > generation => GossipStopped::Superseded { generation: newest },
                Err(_) => GossipStopped::Broken,
            };
        }
    }

    async fn stop(&self) {
        let run = self.run.lock().take();
        if let Some(run) = run {
            end(run).await;
        }
    }

    fn stats(&self) -> GossipStats {
        let digest_nodes = self.shared.filter.lock().digest_nodes();
        GossipStats {
            digest_nodes,
            digest_bytes: 2 + digest_nodes * DIGEST_ENTRY_BYTES,
            ..self.shared.tally.stats()
        }
    }
}

/// Ends a run in order; whether it had broken before does not matter any more.
async fn end(run: Run) {
    let _outcome = run.handle.shutdown().await;
}

/// An ACK that nobody asked for: chitchat takes our record from it as from any other.
fn push_message(own: &Sealed) -> Vec<u8> {
    let record = &own.record;
    let entry = Entry {
        key: filter::KEY.to_owned(),
        value: own.text.to_string(),
        version: record.version,
        status: Status::Set,
    };
    let member = MemberId::new(record.id, record.generation);
    let node = NodeDelta { member, collected: 0, from: 0, entries: vec![entry], newest: None };
    Message::Ack { delta: vec![node] }.encode()
}

fn chitchat_config(shared: &Shared, generation: u64) -> ChitchatConfig {
    let config = &shared.config;
    ChitchatConfig {
        chitchat_id: chitchat_id(shared.own, generation),
        cluster_id: shared.mesh.clone(),
        gossip_interval: config.interval,
        listen_addr: address_of(shared.own),
        // chitchat fixes its seeds at its start. Ours change, and are greeted.
        seed_nodes: Vec::new(),
        failure_detector_config: FailureDetectorConfig {
            phi_threshold: config.phi_threshold,
            sampling_window_size: config.window,
            max_interval: config.gap_max,
            // chitchat's default of 5 s would have a young node's death noticed after 40 s.
            initial_interval: config.interval,
            dead_node_grace_period: config.dead_grace,
        },
        // Nothing is ever deleted.
        marked_for_deletion_grace_period: config.dead_grace,
        catchup_callback: None,
        extra_liveness_predicate: None,
    }
}

// === impl Shared ===

impl Shared {
    /// Sets our record, unless a newer one overtook it.
    fn propose(&self, own: Sealed) {
        let mut newest = self.announcement.lock();
        if newest.as_ref().is_none_or(|newest| newest.record.order() < own.record.order()) {
            *newest = Some(own);
            self.announced.notify_one();
        }
    }

    /// The living peers, and those that have just spoken to us and whose records we do not have yet.
    fn audience(&self) -> BTreeSet<NodeId> {
        let snapshot = self.directory.snapshot();
        let living = snapshot.nodes().map(|record| record.id).filter(|id| *id != self.own);
        let spoke = self.filter.lock().spoke_itself_at();
        let is_heard =
            |(id, at): &(NodeId, Instant)| at.elapsed() < self.config.silence_min && !snapshot.left(*id);
        living.chain(spoke.into_iter().filter(is_heard).map(|(id, _)| id)).collect()
    }

    /// Whether it knows of others that have not left, alive or not.
    fn misses_others(&self) -> bool {
        let snapshot = self.directory.snapshot();
        self.filter.lock().ids().any(|id| !snapshot.left(id))
    }

    /// Those that have not shown yet that they have our newest record.
    fn ignorant(&self, audience: BTreeSet<NodeId>) -> Vec<NodeId> {
        let newest = self.announcement.lock().as_ref().map_or(0, |own| own.record.version);
        let filter = self.filter.lock();
        audience.into_iter().filter(|peer| filter.own_version_at(*peer) < newest).collect()
    }

    fn reject(&self, from: NodeId, reason: Rejection) {
        self.tally.reject(reason);
        self.carrier.rejected(from, reason);
    }

    fn send(&self, to: NodeId, message: Bytes) {
        self.tally.sent(message.len());
        self.carrier.send(to, message);
    }
}

#[cfg(test)]
mod tests;
