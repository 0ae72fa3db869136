//! Where the work of a node runs: in the runtime of whoever starts it, or on one of the node's shards.
//!
//! A shard is a thread with a runtime of one thread. A session lives on one: quinn's driver of it, its loop, those of
//! its channels, and the services that ask for it. What they say to each other then wakes no other thread, which is
//! most of what a small call costs where a runtime has several.

use std::{
    cell::OnceCell,
    io,
    panic::resume_unwind,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

use futures_util::future::{Either, join_all};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::{context::TokioContext, sync::CancellationToken, task::AbortOnDropHandle};
use xxhash_rust::xxh3::xxh3_64;

/// How long a shard whose node was dropped may go on, for the last words of its sessions.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How often it looks whether they are said.
const LOOK: Duration = Duration::from_millis(5);

/// Where something runs. Whatever runs there starts others there.
#[derive(Clone, Debug, Default)]
pub(crate) enum Place {
    /// The runtime that is current when it is started.
    #[default]
    Ambient,
    Shard(Handle),
}

/// The shards of a node. Dropped, they let its sessions say their last words.
#[derive(Debug, Default)]
pub(crate) struct Shards {
    places: Vec<Place>,
    next: AtomicU64,
    /// The node was dropped.
    leave: CancellationToken,
    /// The node has said all that it had to say.
    end: CancellationToken,
    /// One for each thread: resolves when nothing is left of it.
    ended: Vec<CancellationToken>,
}

/// The runtime of a shard, which waits for nothing when it is dropped: a look-up of a host name that still runs holds nothing
/// up, and it may be dropped in any place, as tokio's own may not.
struct ShardRuntime(Option<Runtime>);

thread_local! {
    /// The shard that this thread is.
    static HERE: OnceCell<Place> = const { OnceCell::new() };
}

impl Place {
    /// Where this thread's work runs.
    pub(crate) fn here() -> Self {
        HERE.with(|here| here.get().cloned().unwrap_or_default())
    }

    /// The runtime that is current, also for what is polled in another one.
    ///
    /// # Panics
    /// If none is.
    #[cfg(feature = "console")]
    pub(crate) fn current() -> Self {
        Self::Shard(Handle::current())
    }

    /// Starts `work` there.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub(crate) fn start<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        match self {
            Self::Ambient => tokio::spawn(work),
            Self::Shard(shard) => shard.spawn(work),
        }
    }

    /// Runs `work` there to its end. Dropped, so is the work. Never resolves where the shard ends before.
    ///
    /// # Panics
    /// If the work does.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let Self::Shard(_) = self else { return work.await };
        match AbortOnDropHandle::new(self.start(work)).await {
            Ok(done) => done,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(_shard_ended) => std::future::pending().await,
            },
        }
    }

    /// `work`, wherever it is polled: what it starts runs there.
    pub(crate) fn within<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        match self {
            Self::Ambient => Either::Left(work),
            Self::Shard(shard) => Either::Right(TokioContext::new(work, shard.clone())),
        }
    }

    /// Calls `make`; the sockets and tasks that it makes live there.
    pub(crate) fn enter<T>(&self, make: impl FnOnce() -> T) -> T {
        match self {
            Self::Ambient => make(),
            Self::Shard(shard) => {
                let _entered = shard.enter();
                make()
            }
        }
    }
}

impl Shards {
    /// Starts so many, whose threads have that name and a number; none of them, and all work has the ambient place.
    ///
    /// # Errors
    /// The system has no thread, or no event queue, to give. None is left.
    pub(crate) fn start(name: &str, count: usize) -> io::Result<Self> {
        let mut shards = Self::default();
        for number in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let place = Place::Shard(runtime.handle().clone());
            let runtime = ShardRuntime(Some(runtime));
            let (leave, end) = (shards.leave.clone(), shards.end.clone());
            let ended = CancellationToken::new();
            let gone = ended.clone().drop_guard();
            let here = place.clone();
            thread::Builder::new().name(format!("{name}-{number}")).spawn(move || {
                HERE.with(|place| drop(place.set(here)));
                if let Some(runtime) = &runtime.0 {
                    runtime.block_on(until_over(&leave, &end));
                }
                drop(runtime);
                drop(gone);
            })?;
            shards.places.push(place);
            shards.ended.push(ended);
        }
        Ok(shards)
    }

    /// The place of whatever has that name, always the same one.
    pub(crate) fn of(&self, name: &[u8]) -> Place {
        self.at(xxh3_64(name))
    }

    /// Each place in its turn.
    pub(crate) fn next(&self) -> Place {
        self.at(self.next.fetch_add(1, Relaxed))
    }

    fn at(&self, number: u64) -> Place {
        let count = self.places.len().max(1) as u64;
        let place = usize::try_from(number % count).ok().and_then(|at| self.places.get(at));
        place.cloned().unwrap_or_default()
    }

    /// Drops all that still runs on them, and resolves when nothing is left. Cancel safe.
    pub(crate) async fn end(&self) {
        self.end.cancel();
        join_all(self.ended.iter().map(CancellationToken::cancelled)).await;
    }
}

/// How a shard's thread is busy: until the node has ended, or was dropped and its sessions have said their last words.
async fn until_over(leave: &CancellationToken, end: &CancellationToken) {
    let idle = async {
        leave.cancelled().await;
        let metrics = Handle::current().metrics();
        let silent = async {
            while metrics.num_alive_tasks() > 0 {
                sleep(LOOK).await;
            }
        };
        let _late = timeout(LAST_WORDS, silent).await;
    };
    tokio::select! {
        biased;
        () = end.cancelled() => {}
        () = idle => {}
    }
}

// === impl Shards, ShardRuntime ===

impl Drop for Shards {
    fn drop(&mut self) {
        self.leave.cancel();
    }
}

impl Drop for ShardRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> String {
        thread::current().name().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn what_runs_on_a_shard_starts_others_there() {
        let shards = Shards::start("qmesh-shard", 2).unwrap();
        let nested = async { (name(), Place::here().start(async { name() }).await.unwrap()) };
        let first = shards.next();
        assert_eq!(shards.next().run(nested).await, ("qmesh-shard-1".to_owned(), "qmesh-shard-1".to_owned()));
        let within = first.within(async { Place::Ambient.start(async { name() }).await.unwrap() });
        assert_eq!(within.await, "qmesh-shard-0", "also what is polled elsewhere");
        assert!(matches!(Place::here(), Place::Ambient), "this thread is none");
        shards.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn without_shards_everything_runs_where_it_is_started() {
        let shards = Shards::start("qmesh-shard", 0).unwrap();
        let here = thread::current().id();
        assert_eq!(shards.next().run(async { thread::current().id() }).await, here);
        assert_eq!(shards.of(b"any").start(async { thread::current().id() }).await.unwrap(), here);
        shards.end().await;
    }

    /// Where the system has no thread for it, say.
    #[tokio::test]
    async fn a_runtime_that_has_no_thread_is_dropped_without_a_panic() {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        drop(ShardRuntime(Some(runtime)));
    }

    #[tokio::test]
    async fn an_end_drops_what_runs() {
        let shards = Shards::start("qmesh-shard", 1).unwrap();
        let held = std::sync::Arc::new(());
        let (weak, forever) = (std::sync::Arc::downgrade(&held), std::future::pending::<()>());
        drop(shards.next().start(async move {
            let _held = held;
            forever.await;
        }));
        shards.end().await;
        assert_eq!(weak.strong_count(), 0);
    }

    #[tokio::test]
    async fn a_run_that_is_dropped_or_panics_is_so_there_too() {
        let shards = Shards::start("qmesh-shard", 1).unwrap();
        let (held, gone) = tokio::sync::oneshot::channel::<()>();
        let place = shards.next();
        let mut running = Box::pin(place.run(async move {
            let _held = held;
            std::future::pending::<()>().await;
        }));
        assert!(futures_util::poll!(&mut running).is_pending());
        drop(running);
        gone.await.unwrap_err();
        let panics = place.run(async { panic!("on purpose") });
        let caught = std::panic::AssertUnwindSafe(panics);
        assert!(futures_util::FutureExt::catch_unwind(caught).await.is_err());
    }
}
