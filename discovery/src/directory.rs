//! The directory: all records that we know, by name.
//!
//! A pure [reducer](reducer::Reducer) turns what gossip tells into immutable [snapshots](Snapshot); readers load the newest
//! without a lock, and [watchers](Watch) get the differences.

mod reducer;
mod snapshot;
mod watch;

use std::{
    fmt,
    pin::pin,
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Release},
        },
    },
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use qmesh_transport::NodeId;
use tokio::sync::Notify;

use self::reducer::Reducer;
pub use self::{
    snapshot::Snapshot,
    watch::{Change, Watch},
};
use crate::membership::Event;

/// Who is alive and what they offer, as this node sees it. Cheap to clone; all clones see the same.
#[derive(Clone)]
pub struct Directory {
    shared: Arc<Shared>,
}

struct Shared {
    newest: ArcSwap<Snapshot>,
    /// Its version, for those who only look whether anything changed.
    version: AtomicU64,
    reducer: Mutex<Reducer>,
    /// Wakes watches in the order in which they wait: tokio's `watch` leaves that to chance, which no seed replays.
    changed: Notify,
}

impl Directory {
    /// An empty directory of the node `own`.
    pub(crate) fn new(own: NodeId) -> Self {
        let shared = Shared {
            newest: ArcSwap::default(),
            version: AtomicU64::new(0),
            reducer: Mutex::new(Reducer::new(own)),
            changed: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The newest view. Takes no lock; the view itself never changes.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.newest.load_full()
    }

    /// The newest view's version: one atomic load, to see whether anything changed. A view that was just published may be
    /// newer.
    #[must_use]
    #[inline]
    pub fn version(&self) -> u64 {
        self.shared.version.load(Acquire)
    }

    /// The differences from now on. The first ones are [`Change::Joined`] for every node that is alive now, so that
    /// nothing falls between a look and a watch.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch::new(self.clone())
    }

    /// Waits until the newest view is another one than `seen`.
    async fn newer_than(&self, seen: u64) -> Arc<Snapshot> {
        loop {
            let mut changed = pin!(self.shared.changed.notified());
            // Listen first and look second, or a change between the two would be missed.
            changed.as_mut().enable();
            let newest = self.snapshot();
            if newest.version() != seen {
                return newest;
            }
            changed.await;
        }
    }

    /// Takes in what gossip tells, and publishes a snapshot if it changes anything.
    pub(crate) fn apply(&self, event: Event) {
        let mut reducer = self.shared.reducer.lock();
        if reducer.apply(event) {
            let version = self.version() + 1;
            self.shared.newest.store(Arc::new(reducer.snapshot(version)));
            self.shared.version.store(version, Release);
            self.shared.changed.notify_waiters();
        }
    }
}

// === impl Directory ===

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.snapshot();
        let nodes = snapshot.nodes().count();
        f.debug_struct("Directory").field("version", &snapshot.version()).field("nodes", &nodes).finish()
    }
}

#[cfg(test)]
mod tests;
