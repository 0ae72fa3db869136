//! How often a peer is answered: questions are small, and answers are not.

use std::{collections::BTreeMap, time::Duration};

use qmesh_transport::NodeId;
use tokio::time::Instant;

/// What a peer may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Answer {
    Pulse,
    Detail,
    Records,
}

/// One answer of a kind for each peer and `gap`.
pub(super) struct Pace {
    gap: Duration,
    answered: BTreeMap<(NodeId, Answer), Instant>,
}

impl Pace {
    pub(super) const fn new(gap: Duration) -> Self {
        Self { gap, answered: BTreeMap::new() }
    }

    /// Whether the peer is answered. What it does not hear now, it asks for again.
    pub(super) fn allows(&mut self, peer: NodeId, answer: Answer, now: Instant) -> bool {
        let last = self.answered.get(&(peer, answer));
        let is_due = last.is_none_or(|last| now.saturating_duration_since(*last) >= self.gap);
        if is_due {
            self.answered.insert((peer, answer), now);
        }
        is_due
    }

    /// Forgets what is so long ago that it does not matter.
    pub(super) fn clean(&mut self, now: Instant) {
        self.answered.retain(|_, last| now.saturating_duration_since(*last) < self.gap);
    }
}
