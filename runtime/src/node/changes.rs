//! What waiting calls follow: something may have changed that they wait for.
//!
//! Those who wait are woken in the order in which they began to: tokio's `watch` wakes them in an order of chance, and
//! no seed could replay that.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use tokio::sync::Notify;

/// Counts changes, and wakes who waits for the next.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    count: AtomicU64,
    changed: Notify,
}

/// Follows the changes from some moment on.
#[derive(Debug)]
pub(crate) struct Following {
    changes: Arc<Changes>,
    seen: u64,
}

impl Changes {
    /// Something has changed.
    pub(crate) fn bump(&self) {
        self.count.fetch_add(1, SeqCst);
        self.changed.notify_waiters();
    }

    /// Follows what changes from now on.
    pub(crate) fn follow(self: &Arc<Self>) -> Following {
        Following { changes: Arc::clone(self), seen: self.count.load(SeqCst) }
    }
}

impl Following {
    /// Waits until something has changed since the last time, or since it began to follow.
    pub(crate) async fn changed(&mut self) {
        loop {
            let mut changed = pin!(self.changes.changed.notified());
            // Listen first and look second, or a change between the two would be missed.
            changed.as_mut().enable();
            let count = self.changes.count.load(SeqCst);
            if count != self.seen {
                self.seen = count;
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_change_is_seen_once_and_none_is_missed() {
        let changes = Arc::<Changes>::default();
        let mut following = changes.follow();
        assert_eq!(following.changed().now_or_never(), None);
        changes.bump();
        changes.bump();
        assert_eq!(following.changed().now_or_never(), Some(()));
        assert_eq!(following.changed().now_or_never(), None);
        let (_, ()) = tokio::join!(following.changed(), async { changes.bump() });
    }
}
