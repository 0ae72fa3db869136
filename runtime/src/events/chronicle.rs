//! The last events of a node, for those who ask what happened, and who waits for the next.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Events, Happened, MeshEvent};
use crate::{
    node::{Changes, Following, WallClock},
    pace::Pace,
};

/// Events that are kept. A new one pushes out the oldest.
const KEPT_MAX: usize = 1024;
/// Numbers of events for each number of a node's lives: no life has as many in a millisecond, and so they grow over all lives.
const PER_INCARNATION: u64 = 1000;

/// What strangers and members can cause without end: so many at once, then one in each [`FLOOD_EVERY`].
const FLOOD_BURST: u32 = 16;
const FLOOD_EVERY: Duration = Duration::from_secs(1);
/// The same of sessions, which a large mesh has many of at its start.
const SESSIONS_BURST: u32 = 512;
const SESSIONS_EVERY: Duration = Duration::from_millis(50);

/// What happened on a node, the newest [`KEPT_MAX`] of it.
#[derive(Debug)]
pub(crate) struct Chronicle {
    node: String,
    clock: WallClock,
    /// The number in front of the first event.
    base: u64,
    kept: Mutex<Kept>,
    changes: Arc<Changes>,
    /// Of peers that knock, of their channels, of what they gossip, and of sessions.
    pub(crate) refused_peers: Pace,
    pub(crate) broken_channels: Pace,
    pub(crate) rejected_records: Pace,
    pub(crate) sessions: Pace,
}

#[derive(Debug)]
struct Kept {
    ring: VecDeque<Happened>,
    /// The newest number.
    newest: u64,
    has_ended: bool,
}

/// What is told to who has read up to some event.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) events: Vec<Happened>,
    /// Events after the last that was read and before these, which are kept no more.
    pub(crate) missed: u64,
    /// Nothing follows: the node has ended.
    pub(crate) is_last: bool,
}

impl Chronicle {
    pub(crate) fn new(node: &str, clock: WallClock, incarnation: u64) -> Self {
        let base = incarnation.saturating_mul(PER_INCARNATION);
        let flood = || Pace::new(FLOOD_BURST, FLOOD_EVERY);
        Self {
            node: node.to_owned(),
            clock,
            base,
            kept: Mutex::new(Kept { ring: VecDeque::new(), newest: base, has_ended: false }),
            changes: Arc::default(),
            refused_peers: flood(),
            broken_channels: flood(),
            rejected_records: flood(),
            sessions: Pace::new(SESSIONS_BURST, SESSIONS_EVERY),
        }
    }

    /// Something has happened.
    pub(crate) fn tell(&self, event: MeshEvent) {
        self.tell_one(event, 0);
    }

    /// Something has happened that may happen too often to tell of each time.
    pub(crate) fn tell_at(&self, pace: &Pace, event: impl FnOnce() -> MeshEvent) {
        if let Some(left_out) = pace.pass(Instant::now()) {
            self.tell_one(event(), left_out);
        }
    }

    fn tell_one(&self, event: MeshEvent, left_out: u64) {
        event.log(&self.node, (left_out > 0).then_some(left_out));
        let (unix_ms, node) = (self.clock.now_ms(), self.node.clone());
        let mut kept = self.kept.lock();
        kept.newest += 1;
        let seq = kept.newest;
        if kept.ring.len() == KEPT_MAX {
            kept.ring.pop_front();
        }
        kept.ring.push_back(Happened { seq, unix_ms, node, left_out, event });
        drop(kept);
        self.changes.bump();
    }

    /// Those after the one of that number, the oldest first, `max` at most; 0 is before all. A number that this node has
    /// not given yet is of a run of which it knows nothing, and is before all, too.
    pub(crate) fn after(&self, seq: u64, max: usize) -> Told {
        let kept = self.kept.lock();
        let oldest = kept.newest - kept.ring.len() as u64 + 1;
        let is_known = (self.base..=kept.newest).contains(&seq);
        let from = if is_known { seq + 1 } else { oldest };
        let missed = oldest.saturating_sub(from);
        let skipped = usize::try_from(from.saturating_sub(oldest)).unwrap_or(usize::MAX);
        let events = kept.ring.iter().skip(skipped).take(max).cloned().collect();
        Told { events, missed, is_last: kept.has_ended }
    }

    /// As [`after`](Self::after); where there is none, it waits for one, until `patience` is over or the node ends.
    pub(crate) async fn after_patiently(&self, seq: u64, max: usize, patience: Duration) -> Told {
        let mut changed = self.follow();
        let end = Instant::now() + patience;
        loop {
            let told = self.after(seq, max);
            if !told.events.is_empty() || told.is_last {
                return told;
            }
            if tokio::time::timeout_at(end, changed.changed()).await.is_err() {
                return told;
            }
        }
    }

    pub(crate) fn follow(&self) -> Following {
        self.changes.follow()
    }

    /// All that is kept, and what happens.
    pub(crate) fn events(self: &Arc<Self>) -> Events {
        Events::new(Arc::clone(self))
    }

    /// Nothing follows: those who wait are told.
    pub(crate) fn end(&self) {
        self.kept.lock().has_ended = true;
        self.changes.bump();
    }
}

// === impl Chronicle ===

impl Default for Chronicle {
    /// That of no node.
    fn default() -> Self {
        Self::new("", WallClock::default(), 0)
    }
}
