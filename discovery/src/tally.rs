//! Counts what comes and goes, and what was wrong with it.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{GossipStats, Rejection};

#[derive(Default)]
pub(crate) struct Tally {
    messages_out: AtomicU64,
    bytes_out: AtomicU64,
    messages_in: AtomicU64,
    bytes_in: AtomicU64,
    heard: Mutex<Option<Instant>>,
    inbox_full: AtomicU64,
    unproven: AtomicU64,
    heartbeats_overtaken: AtomicU64,
    own_heartbeat_told: AtomicU64,
    rejected: Mutex<BTreeMap<Rejection, u64>>,
}

impl Tally {
    pub(crate) fn sent(&self, bytes: usize) {
        self.messages_out.fetch_add(1, Relaxed);
        self.bytes_out.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.messages_in.fetch_add(1, Relaxed);
        self.bytes_in.fetch_add(bytes as u64, Relaxed);
        *self.heard.lock() = Some(Instant::now());
    }

    pub(crate) fn inbox_full(&self) {
        self.inbox_full.fetch_add(1, Relaxed);
    }

    pub(crate) fn unproven(&self, nodes: u64) {
        self.unproven.fetch_add(nodes, Relaxed);
    }

    /// Somebody told a heartbeat of ours, true or not.
    pub(crate) fn own_heartbeat_told(&self, heartbeat: u64) {
        self.own_heartbeat_told.fetch_max(heartbeat, Relaxed);
    }

    pub(crate) fn is_own_heartbeat_told(&self) -> bool {
        self.own_heartbeat_told.load(Relaxed) != 0
    }

    /// The highest heartbeat of ours that was told since the last look.
    pub(crate) fn take_own_heartbeat_told(&self) -> u64 {
        self.own_heartbeat_told.swap(0, Relaxed)
    }

    pub(crate) fn heartbeat_overtaken(&self) {
        self.heartbeats_overtaken.fetch_add(1, Relaxed);
    }

    pub(crate) fn reject(&self, reason: Rejection) {
        *self.rejected.lock().entry(reason).or_default() += 1;
    }

    pub(crate) fn stats(&self) -> GossipStats {
        GossipStats {
            messages_out: self.messages_out.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            messages_in: self.messages_in.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            heard_ago: self.heard.lock().map(|heard| heard.elapsed()),
            inbox_full: self.inbox_full.load(Relaxed),
            unproven: self.unproven.load(Relaxed),
            heartbeats_overtaken: self.heartbeats_overtaken.load(Relaxed),
            rejected: self.rejected.lock().clone(),
            ..GossipStats::default()
        }
    }
}
