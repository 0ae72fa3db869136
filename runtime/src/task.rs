//! Whose a task is, and where it runs ([`place`]): nothing else in this crate spawns.

mod place;

use std::{
    future::Future,
    panic::{AssertUnwindSafe, resume_unwind},
};

use futures_util::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use tokio::{
    sync::Semaphore,
    task::{JoinHandle, spawn_blocking},
};
use tokio_util::sync::CancellationToken;

pub(crate) use place::{Place, Shards};

/// A task that is dropped with its owner.
#[derive(Debug)]
pub(crate) struct Owned(JoinHandle<()>);

/// Work of this process on threads of tokio's blocking pool, at a time. More of it waits for a place, and has none if nobody
/// waits for it.
const APART_MAX: usize = 8;
static APART: Semaphore = Semaphore::const_new(APART_MAX);

/// Work on a thread of tokio's blocking pool.
///
/// Resolves to nothing if the runtime ends before the work begins. A panic of the work goes on in whoever waits for it.
pub(crate) type Apart<R> = BoxFuture<'static, Option<R>>;

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

/// Work that takes the processor for longer than the tasks beside it should wait. Once begun, it goes on to its end.
#[must_use]
pub(crate) fn apart<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Apart<R> {
    Box::pin(async move {
        let place = APART.acquire().await.ok()?;
        let made = spawn_blocking(move || {
            let _place = place;
            work()
        });
        match made.await {
            Ok(made) => Some(made),
            Err(failed) => {
                if let Ok(panic) = failed.try_into_panic() {
                    resume_unwind(panic);
                }
                None
            }
        }
    })
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
