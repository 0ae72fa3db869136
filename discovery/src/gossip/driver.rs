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
    time::{Instant, Interval, MissedTickBehavior, interval},
};

use super::{
    Shared,
    filter::KEY,
    member::{address_of, node_of},
};
use crate::{GossipStopped, config::MESSAGE_BYTES_MAX, membership::Event, record::Sealed};

/// How many intervals lie between two looks at what chitchat has forgotten.
const HOUSEKEEPING_INTERVALS: u32 = 5;

/// chitchat's side of the carrier, and all that happens between two of its steps.
pub(super) struct Driver {
    shared: Arc<Shared>,
    generation: u64,
    inbox: mpsc::Receiver<(NodeId, ChitchatMessage)>,
    chitchat: Arc<tokio::sync::Mutex<Chitchat>>,
    liveness: watch::Receiver<BTreeMap<ChitchatId, NodeState>>,
    housekeeping: Interval,
    former: Former,
}

/// Who was alive before this run. A young run knows nobody, which is no evidence of their deaths.
struct Former {
    alive: BTreeSet<NodeId>,
    until: Instant,
}

impl Driver {
    /// The driver of the run `generation`, which is about to begin.
    pub(super) async fn new(
        shared: Arc<Shared>,
        generation: u64,
        inbox: mpsc::Receiver<(NodeId, ChitchatMessage)>,
        chitchat: Arc<tokio::sync::Mutex<Chitchat>>,
    ) -> Self {
        let mut housekeeping = interval(shared.config.interval * HOUSEKEEPING_INTERVALS);
        housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let alive = shared.directory.snapshot().nodes().map(|record| record.id).collect();
        let former = Former { alive, until: Instant::now() + shared.config.silence() * 2 };
        let liveness = chitchat.lock().await.live_nodes_watcher();
        Self { shared, generation, inbox, chitchat, liveness, housekeeping, former }
    }

    /// The next message for chitchat; on the way, everything else that is to be done in its task.
    ///
    /// # Cancel safety
    /// chitchat cancels this at each of its ticks. No message, record or sign of life is lost by it.
    async fn next(&mut self) -> Result<(SocketAddr, ChitchatMessage), GossipStopped> {
        loop {
            self.settle().await;
            self.check_newest()?;
            tokio::select! {
                Some((from, message)) = self.inbox.recv() => return Ok((address_of(from), message)),
                () = self.shared.announced.notified() => {}
                Ok(()) = self.liveness.changed() => {
                    let live: Vec<_> = self.liveness.borrow_and_update().keys().cloned().collect();
                    self.report(live.iter());
                }
                _ = self.housekeeping.tick() => self.keep_house().await,
            }
        }
    }

    /// Gives chitchat what waits for it: our newest record, and a heartbeat above any that was told of us.
    async fn settle(&self) {
        let shared = &self.shared;
        if shared.announcement.lock().is_none() && !shared.tally.is_own_heartbeat_told() {
            return;
        }
        let mut chitchat = self.chitchat.lock().await;
        let own = chitchat.self_node_state();
        if let Some(sealed) = shared.announcement.lock().take() {
            set_record(own, &sealed);
        }
        let told = shared.tally.take_own_heartbeat_told();
        if told > own.heartbeat().into() {
            own.try_set_heartbeat(heartbeat(told.saturating_add(1)));
            shared.tally.heartbeat_overtaken();
        }
    }

    /// Tells the directory who shows signs of life.
    fn report<'a>(&self, live: impl Iterator<Item = &'a ChitchatId>) {
        let mut alive: BTreeSet<_> =
            live.filter_map(|member| node_of(member.gossip_advertise_addr)).collect();
        if Instant::now() < self.former.until {
            alive.extend(&self.former.alive);
        }
        self.shared.directory.apply(Event::Alive(alive));
    }

    /// Lets the filter forget what chitchat has forgotten, and reports life once more, since `former` ends by time.
    async fn keep_house(&self) {
        let chitchat = self.chitchat.lock().await;
        let dropped: BTreeSet<_> = chitchat.scheduled_for_deletion_nodes().collect();
        let kept = chitchat.node_states().keys().filter(|member| !dropped.contains(member));
        let kept =
            kept.filter_map(|member| Some((node_of(member.gossip_advertise_addr)?, member.generation_id)));
        let forgotten = self.shared.filter.lock().forget_all_but(&kept.collect());
        self.report(chitchat.live_nodes());
        self.shared.directory.apply(Event::Forgotten(forgotten));
    }

    fn check_newest(&self) -> Result<(), GossipStopped> {
        let newest = self.shared.filter.lock().newest_own_generation();
        if newest > self.generation { Err(GossipStopped::Superseded { generation: newest }) } else { Ok(()) }
    }
}

/// The driver's way into chitchat, which opens its socket before it makes the state that the driver works on.
pub(super) struct LateSocket {
    shared: Arc<Shared>,
    waiting: oneshot::Receiver<Driver>,
    driver: Option<Driver>,
}

/// Opens the one socket that it holds.
pub(super) struct Once(Mutex<Option<LateSocket>>);

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

/// Our record, as chitchat keeps it: chitchat's version is the record's own.
fn set_record(own: &mut NodeState, sealed: &Sealed) {
    let version = sealed.record.version;
    if version > own.max_version() {
        own.set_max_version(version - 1);
        own.set(KEY, &sealed.text);
    }
}

/// chitchat gives no other way to make one.
fn heartbeat(count: u64) -> Heartbeat {
    Heartbeat::deserialize(&mut &count.to_le_bytes()[..]).expect("eight bytes are a heartbeat")
}

// === impl LateSocket ===

impl LateSocket {
    /// A socket, and where to send its driver.
    pub(super) fn new(shared: Arc<Shared>) -> (Once, oneshot::Sender<Driver>) {
        let (attach, waiting) = oneshot::channel();
        (Once(Mutex::new(Some(Self { shared, waiting, driver: None }))), attach)
    }
}
