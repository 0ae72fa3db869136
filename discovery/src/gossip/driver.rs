//! What runs in chitchat's own task: its socket.
//!
//! chitchat polls its socket whenever it is idle. So the socket is where its state is read and written: nobody else locks
//! it, and no task of ours is needed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
};

use anyhow::Context;
use async_trait::async_trait;
use bytes::Bytes;
use chitchat::{
    Chitchat, ChitchatId, ChitchatMessage, Deserializable, Heartbeat, NodeState, Serializable,
    transport::{Socket, Transport},
};
use parking_lot::Mutex;
use qmesh_transport::NodeId;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};

use super::{
    Shared,
    filter::KEY,
    member::{address_of, node_of},
};
use crate::{GossipStopped, config::MESSAGE_BYTES_MAX, membership::Event};

/// How many intervals lie between two looks at what chitchat has forgotten.
const CLEANING_INTERVALS: u32 = 5;

/// What happens between two of chitchat's steps.
pub(super) struct Driver {
    shared: Arc<Shared>,
    generation: u64,
    inbox: mpsc::Receiver<(NodeId, ChitchatMessage)>,
    chitchat: Arc<tokio::sync::Mutex<Chitchat>>,
    liveness: watch::Receiver<BTreeMap<ChitchatId, NodeState>>,
    /// The version of our record that chitchat has.
    settled: u64,
    /// Who is alive, as the directory was last told.
    alive: BTreeSet<NodeId>,
    /// Until then, a run too young to know anybody takes nobody's silence for death.
    young_until: Instant,
    /// When to look at who is alive, at the latest.
    look_at: Instant,
    /// When to let the filter forget what chitchat has forgotten.
    clean_at: Instant,
}

impl Driver {
    /// The driver of the run `generation`, which is about to begin.
    pub(super) async fn new(
        shared: Arc<Shared>,
        generation: u64,
        inbox: mpsc::Receiver<(NodeId, ChitchatMessage)>,
        chitchat: Arc<tokio::sync::Mutex<Chitchat>>,
    ) -> Self {
        let now = Instant::now();
        let liveness = chitchat.lock().await.live_nodes_watcher();
        Self {
            generation,
            inbox,
            liveness,
            chitchat,
            settled: 0,
            alive: shared.directory.snapshot().nodes().map(|record| record.id).collect(),
            young_until: now + shared.config.silence() * 2,
            look_at: now,
            clean_at: now,
            shared,
        }
    }

    /// The next message for chitchat; on the way, everything else that is to be done in its task.
    ///
    /// # Cancel safety
    /// chitchat cancels this at each of its ticks. What was not done is done by the next call.
    async fn next(&mut self) -> Result<(SocketAddr, ChitchatMessage), GossipStopped> {
        loop {
            self.settle().await;
            self.check_newest()?;
            if self.look_at <= Instant::now() {
                self.look().await;
            }
            tokio::select! {
                Some((from, message)) = self.inbox.recv() => return Ok((address_of(from), message)),
                () = self.shared.announced.notified() => {}
                () = self.shared.doubted.notified() => self.look_at = Instant::now(),
                Ok(()) = self.liveness.changed() => self.look_at = Instant::now(),
                () = sleep_until(self.look_at) => {}
            }
        }
    }

    /// Gives chitchat what waits for it: our newest record, and a heartbeat above any that was told of us.
    async fn settle(&mut self) {
        let shared = &self.shared;
        let newest = shared.announcement.lock().clone();
        let newest = newest
            .filter(|own| own.record.generation == self.generation && own.record.version > self.settled);
        if newest.is_none() && !shared.tally.is_own_heartbeat_told() {
            return;
        }
        let mut chitchat = self.chitchat.lock().await;
        let own = chitchat.self_node_state();
        if let Some(sealed) = newest {
            // chitchat takes the next version; ours may have skipped some.
            own.set_max_version(sealed.record.version - 1);
            own.set(KEY, &sealed.text);
            self.settled = sealed.record.version;
        }
        let told = shared.tally.take_own_heartbeat_told();
        if told > own.heartbeat().into() {
            own.try_set_heartbeat(heartbeat(told.saturating_add(1)));
            shared.tally.heartbeat_overtaken();
        }
    }

    fn check_newest(&self) -> Result<(), GossipStopped> {
        let newest = self.shared.filter.lock().newest_own_generation();
        if newest > self.generation { Err(GossipStopped::Superseded { generation: newest }) } else { Ok(()) }
    }

    /// Tells the directory who is alive, and now and then cleans up.
    async fn look(&mut self) {
        let now = Instant::now();
        let chitchat = Arc::clone(&self.chitchat);
        let chitchat = chitchat.lock().await;
        self.look_at = now + self.shared.config.interval * CLEANING_INTERVALS;
        self.report(now, &chitchat);
        if self.clean_at <= now {
            self.clean_at = now + self.shared.config.interval * CLEANING_INTERVALS;
            self.clean(&chitchat);
        }
    }

    fn report(&mut self, now: Instant, chitchat: &Chitchat) {
        let live = chitchat.live_nodes().filter_map(|member| node_of(member.gossip_advertise_addr));
        let mut alive: BTreeSet<_> = live.collect();
        let silence_min = self.shared.config.silence_min;
        let spoke = self.shared.filter.lock().spoke_at();
        // chitchat wants several heartbeats of a node, intervals apart. Who speaks to us lives.
        for (id, at) in self.shared.filter.lock().spoke_itself_at() {
            let dies_at = at + silence_min;
            if dies_at > now && alive.insert(id) {
                self.look_at = self.look_at.min(dies_at);
            }
        }
        let young_until = self.young_until;
        let dies_at = |id: &NodeId| spoke.get(id).map(|at| (*at + silence_min).max(young_until));
        // chitchat is slow with a node whose first signs of life came with long gaps: with a dead session, silence is death.
        for id in self.shared.suspects.lock().iter() {
            let Some(dies_at) = dies_at(id).filter(|_| alive.contains(id)) else { continue };
            if dies_at > now {
                self.look_at = self.look_at.min(dies_at);
            } else {
                alive.remove(id);
                self.look_at = self.look_at.min(now + self.shared.config.interval);
            }
        }
        // And it is quick where few nodes make much noise: the pause of a busy machine is no death.
        for id in &self.alive {
            let dies_at = dies_at(id).unwrap_or(young_until);
            if !alive.contains(id) && dies_at > now {
                alive.insert(*id);
                self.look_at = self.look_at.min(dies_at);
            }
        }
        self.alive.clone_from(&alive);
        self.shared.directory.apply(Event::Alive(alive));
    }

    fn clean(&self, chitchat: &Chitchat) {
        let dropped: BTreeSet<_> = chitchat.scheduled_for_deletion_nodes().collect();
        let kept = chitchat.node_states().keys().filter(|member| !dropped.contains(member));
        let kept =
            kept.filter_map(|member| Some((node_of(member.gossip_advertise_addr)?, member.generation_id)));
        let forgotten = self.shared.filter.lock().forget_all_but(&kept.collect());
        self.shared.suspects.lock().retain(|id| !forgotten.contains(id));
        self.shared.directory.apply(Event::Forgotten(forgotten));
    }
}

/// The driver's way into chitchat, which opens its socket before it makes the state that the driver works on.
struct LateSocket {
    shared: Arc<Shared>,
    waiting: oneshot::Receiver<Driver>,
    driver: Option<Driver>,
}

/// Opens the one socket that it holds.
pub(super) struct Once(Mutex<Option<LateSocket>>);

/// A socket, and where to send its driver.
pub(super) fn late_socket(shared: Arc<Shared>) -> (Once, oneshot::Sender<Driver>) {
    let (attach, waiting) = oneshot::channel();
    (Once(Mutex::new(Some(LateSocket { shared, waiting, driver: None }))), attach)
}

#[async_trait]
impl Transport for Once {
    async fn open(&self, _synthetic: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        let socket = self.0.lock().take().context("the socket is open already")?;
        Ok(Box::new(socket))
    }
}

#[async_trait]
impl Socket for LateSocket {
    /// Never fails: chitchat would end its loop.
    async fn send(&mut self, to: SocketAddr, message: ChitchatMessage) -> anyhow::Result<()> {
        let message = message.serialize_to_vec();
        debug_assert!(message.len() <= MESSAGE_BYTES_MAX, "the bound on nodes bounds messages");
        if let Some(to) = node_of(to) {
            self.shared.send(to, Bytes::from(message));
        }
        Ok(())
    }

    async fn recv(&mut self) -> anyhow::Result<(SocketAddr, ChitchatMessage)> {
        let driver = match &mut self.driver {
            Some(driver) => driver,
            none => none.insert((&mut self.waiting).await.context("the run was given up while it started")?),
        };
        Ok(driver.next().await?)
    }
}

/// chitchat gives no other way to make one.
fn heartbeat(count: u64) -> Heartbeat {
    Heartbeat::deserialize(&mut &count.to_le_bytes()[..]).expect("eight bytes are a heartbeat")
}
