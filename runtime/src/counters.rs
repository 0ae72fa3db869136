//! What a node counts. Monotonic: whoever wants a rate takes two readings.

use std::{
    ops::AddAssign,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

#[derive(Debug, Default)]
pub(crate) struct Counters {
    one_way: Arc<OneWayTally>,
    retries: AtomicU64,
    refused_retries: AtomicU64,
    ran_cancelled: AtomicU64,
    refused_sessions: AtomicU64,
    broken_channels: AtomicU64,
    refused_calls: AtomicU64,
    retired_sessions: AtomicU64,
    cut_sessions: AtomicU64,
}

/// A reading of a node's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Counts {
    /// Attempts beyond the first, of all calls of this node.
    pub retries: u64,
    /// Attempts that were not made, as the call tree or this node's calls of the service may not be repeated more often.
    #[serde(default)]
    pub refused_retries: u64,
    /// Calls that a service of this node ran to their end though their caller had given them up: `&mut self` handlers,
    /// which are told and go on, and handlers that were about to end.
    pub ran_cancelled: u64,
    /// Peers that knocked and were refused: a wrong certificate, mesh or protocol, or no handshake in time.
    pub refused_sessions: u64,
    /// One-way sends to other nodes, on channels that have ended.
    #[serde(default)]
    pub one_way: OneWayCounts,
    /// Channels that peers opened and that were closed because of what came on them, or did not come.
    pub broken_channels: u64,
    /// Calls and one-way sends that a policy of a service of this node refused.
    pub refused_calls: u64,
    /// Sessions that others replaced, and that went on for what was under way on them.
    #[serde(default)]
    pub retired_sessions: u64,
    /// Those that were cut, as one peer had too many of them.
    #[serde(default)]
    pub cut_sessions: u64,
}

/// What became of one-way sends to other nodes: `accepted` is the sum of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OneWayCounts {
    /// Sends that were accepted here.
    pub accepted: u64,
    /// Those whose handlers ended well.
    pub handled: u64,
    /// Those whose handlers never began.
    pub refused: u64,
    /// Those whose handlers began and panicked, or were dropped.
    pub unknown: u64,
    /// Those of which nothing was heard before their channel ended.
    pub lost: u64,
}

/// Sums up channels as they end.
#[derive(Debug, Default)]
pub(crate) struct OneWayTally(Mutex<OneWayCounts>);

impl OneWayTally {
    pub(crate) fn add(&self, channel: OneWayCounts) {
        *self.0.lock() += channel;
    }
}

impl Counters {
    pub(crate) const fn one_way(&self) -> &Arc<OneWayTally> {
        &self.one_way
    }

    pub(crate) fn retried(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    pub(crate) fn refused_retry(&self) {
        self.refused_retries.fetch_add(1, Relaxed);
    }

    pub(crate) fn ran_cancelled(&self) {
        self.ran_cancelled.fetch_add(1, Relaxed);
    }

    pub(crate) fn refused_session(&self) {
        self.refused_sessions.fetch_add(1, Relaxed);
    }

    pub(crate) fn broken_channel(&self) {
        self.broken_channels.fetch_add(1, Relaxed);
    }

    pub(crate) fn refused_call(&self) {
        self.refused_calls.fetch_add(1, Relaxed);
    }

    pub(crate) fn retired_session(&self) {
        self.retired_sessions.fetch_add(1, Relaxed);
    }

    pub(crate) fn cut_session(&self) {
        self.cut_sessions.fetch_add(1, Relaxed);
    }

    pub(crate) fn read(&self) -> Counts {
        Counts {
            one_way: *self.one_way.0.lock(),
            retries: self.retries.load(Relaxed),
            refused_retries: self.refused_retries.load(Relaxed),
            ran_cancelled: self.ran_cancelled.load(Relaxed),
            refused_sessions: self.refused_sessions.load(Relaxed),
            broken_channels: self.broken_channels.load(Relaxed),
            refused_calls: self.refused_calls.load(Relaxed),
            retired_sessions: self.retired_sessions.load(Relaxed),
            cut_sessions: self.cut_sessions.load(Relaxed),
        }
    }
}

// === impl OneWayCounts ===

impl AddAssign for OneWayCounts {
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.handled += other.handled;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.lost += other.lost;
    }
}
