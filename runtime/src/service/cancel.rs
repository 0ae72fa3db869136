//! Whether a call is still wanted: told once, seen by whoever looks or waits.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(crate) struct Cancel {
    cancelled: AtomicBool,
    told: Notify,
}

impl Cancel {
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.told.notify_waiters();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Resolves when the call is cancelled. Cancel safe.
    pub(crate) async fn cancelled(&self) {
        let told = self.told.notified();
        tokio::pin!(told);
        told.as_mut().enable();
        if !self.is_cancelled() {
            told.await;
        }
    }
}

/// Cancels when it is dropped, unless it was told that the call is done.
#[derive(Debug)]
pub(crate) struct CancelOnDrop(pub(crate) Option<std::sync::Arc<Cancel>>);

impl CancelOnDrop {
    pub(crate) fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(cancel) = &self.0 {
            cancel.cancel();
        }
    }
}
