//! Whose a task is, and where it runs ([`place`]): nothing else in this crate spawns.

mod place;

use std::{future::Future, panic::AssertUnwindSafe};

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use place::{Place, Shards};

/// A task that is dropped with its owner.
#[derive(Debug)]
pub(crate) struct Owned(JoinHandle<()>);

/// Tasks that end together.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    token: Mutex<CancellationToken>,
}

/// Runs `work` beside its starter until it is done or the returned owner is dropped.
#[cfg(any(test, feature = "testing"))]
#[must_use]
pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Owned {
    spawn_at(&Place::Ambient, work)
}

/// Runs `work` at `place` until it is done or the returned owner is dropped.
#[must_use]
pub(crate) fn spawn_at(place: &Place, work: impl Future<Output = ()> + Send + 'static) -> Owned {
    Owned(place.start(work))
}

/// Runs `work` beside its starter until it is done or the group is ended or renewed.
pub(crate) fn spawn_in(tasks: &Tasks, work: impl Future<Output = ()> + Send + 'static) {
    let token = tasks.token.lock().clone();
    drop(Place::Ambient.start(async move {
        tokio::select! {
            biased;
            () = token.cancelled() => {}
            // A panic of user code is reported by the panic hook; it ends this task alone.
            _ = AssertUnwindSafe(work).catch_unwind() => {}
        }
    }));
}

// === impl Owned, Tasks ===

impl Owned {
    #[cfg(test)]
    pub(crate) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Tasks {
    /// Drops the tasks of now and all that are still to come.
    pub(crate) fn end(&self) {
        self.token.lock().cancel();
    }

    /// Drops the tasks of now; later ones run.
    pub(crate) fn renew(&self) {
        std::mem::take(&mut *self.token.lock()).cancel();
    }
}
