//! A membership protocol of our own behind the [`Membership`] port: each node feels the pulse of all others through a few
//! neighbours.
//!
//! ```text
//!   pulse     who spoke how long ago, a byte for each living node       every third of an interval, to one peer
//!   detail    what I know in the buckets where we differ                answers such a pulse
//!   records   what you lack, what I lack; or news                       answers that; news also at once
//! ```
//!
//! **Life.** A node that receives a message knows that its sender lives. It hands on how long ago it heard of everybody, and
//! whoever hears of a later sign of life believes that. So a node lives as long as anyone hears it, and one that is silent dies
//! in all directories at about the same time, wherever they stand: what counts is when it spoke last, not when that
//! was heard. Ages are told in the order of ids and without them. They have a meaning only between two nodes that know the
//! same nodes, so nodes are split into buckets by their ids, and each bucket carries a hash of whom it means.
//! Whoever hears a node speak after a long silence tells its neighbours at once, since others may be about to bury it.
//!
//! **Records** are told at once from neighbour to neighbour when they are new. What was missed is found by the hashes in the
//! pulses, which therefore cost the same whether there is much to know or little.
//!
//! **Whom to believe.** Records are signed. Ages are not: a lying member can keep a dead node in view while it lies. It can
//! make nobody look dead, since the latest sign of life counts; and as everybody has up to four neighbours, silence of
//! one of them silences nobody else.
//!
//! It has no task and draws no random numbers: its rounds run inside of [`stopped`](Membership::stopped), which whoever
//! supervises a node awaits.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod machine;
mod members;
mod pace;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use qmesh_transport::{Credentials, NodeId};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use self::machine::{Machine, Outcome};
use crate::{
    Carrier, Config, Directory, GossipStats, GossipStopped, Rejection, membership::Membership, now::Now,
    record::Sealed, tally::Tally,
};

/// Gossip by pulses.
pub(crate) struct Pulses {
    carrier: Arc<dyn Carrier>,
    directory: Directory,
    machine: Mutex<Machine>,
    /// Something happened that the loop may have to see before its time.
    happened: Notify,
    tally: Tally,
}

impl Pulses {
    pub(crate) fn new(
        config: &Config,
        credentials: Credentials,
        carrier: Arc<dyn Carrier>,
        directory: Directory,
    ) -> Self {
        let machine = Mutex::new(Machine::new(config, credentials));
        Self { carrier, directory, machine, happened: Notify::new(), tally: Tally::default() }
    }

    /// Lets something happen to the machine, and does what comes of it. Returns what was wrong with it.
    fn act(&self, act: impl FnOnce(&mut Machine) -> Outcome) -> Vec<Rejection> {
        let mut machine = self.machine.lock();
        let Outcome { messages, events, rejected } = act(&mut machine);
        // Before the lock is given up: another thread may have a later event.
        events.into_iter().for_each(|event| self.directory.apply(event));
        let has_ended = machine.ended().is_some();
        drop(machine);
        if has_ended {
            self.happened.notify_one();
        }
        for (to, message) in messages {
            let message = message.encode();
            self.tally.sent(message.len());
            self.carrier.send(to, message);
        }
        rejected
    }

    /// As [`act`](Self::act), where nobody else can have done anything wrong; the loop then sees what it has to do by when.
    fn act_by_itself(&self, act: impl FnOnce(&mut Machine) -> Outcome) {
        let _none = self.act(act);
        self.happened.notify_one();
    }
}

// === impl Membership ===

#[async_trait]
impl Membership for Pulses {
    async fn start(&self, own: Sealed) {
        self.act_by_itself(|machine| machine.start(own, Instant::now()));
    }

    fn announce(&self, own: Sealed) {
        self.act_by_itself(|machine| machine.announce(own, Instant::now()));
    }

    /// A pulse tells hashes of many records, so nobody shows that.
    async fn told(&self) {
        std::future::pending().await
    }

    fn received(&self, from: NodeId, message: Bytes) {
        self.tally.received(message.len());
        let rejected = self.act(|machine| machine.received(from, message, Now::read()));
        for rejection in rejected {
            self.tally.reject(rejection);
            self.carrier.rejected(from, rejection);
        }
    }

    fn greet(&self, peer: NodeId) {
        self.act_by_itself(|machine| machine.greet(peer, Instant::now()));
    }

    fn suspect(&self, peer: NodeId) {
        self.act_by_itself(|machine| machine.suspect(peer, Instant::now()));
    }

    fn renew(&self, credentials: Credentials) {
        self.machine.lock().renew(credentials);
    }

    fn newest_generation(&self) -> u64 {
        self.machine.lock().newest_own_generation()
    }

    async fn stopped(&self) -> GossipStopped {
        loop {
            let wakes_at = {
                let machine = self.machine.lock();
                match (machine.ended(), machine.wakes_at()) {
                    (Some(why), _) => return why,
                    (None, wakes_at) => wakes_at,
                }
            };
            let Some(wakes_at) = wakes_at else { return GossipStopped::InOrder };
            tokio::select! {
                biased;
                // First, since whatever happens may happen often.
                () = sleep_until(wakes_at) => drop(self.act(|machine| machine.tick(Instant::now()))),
                () = self.happened.notified() => {}
            }
        }
    }

    async fn stop(&self) {
        self.machine.lock().stop();
        self.happened.notify_one();
    }

    fn stats(&self) -> GossipStats {
        let machine = self.machine.lock();
        GossipStats {
            digest_nodes: machine.nodes(),
            digest_bytes: machine.pulse_bytes(Instant::now()),
            ..self.tally.stats()
        }
    }
}
