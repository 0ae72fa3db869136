//! The place of a node in a mesh: what stays when the node restarts.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;

/// The place of a node in a mesh: its number, its name, and how slow it is made. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Site {
    number: usize,
    name: Arc<str>,
    slowness: Arc<Mutex<Duration>>,
}

impl Site {
    pub(super) fn new(number: usize) -> Self {
        Self { number, name: format!("node-{number}").into(), slowness: Arc::default() }
    }

    /// Its number, from 0.
    #[must_use]
    pub const fn number(&self) -> usize {
        self.number
    }

    /// The name of its node.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits as long as the fault [`Slow`](super::Fault::Slow) says, which is not at all at first: for handlers that
    /// such a fault is to slow down.
    pub async fn be_slow(&self) {
        let slowness = *self.slowness.lock();
        if !slowness.is_zero() {
            tokio::time::sleep(slowness).await;
        }
    }

    pub(super) fn slow_down(&self, by: Duration) {
        *self.slowness.lock() = by;
    }
}
