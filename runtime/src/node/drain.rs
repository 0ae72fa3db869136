//! That a node drains: who is told, which streams it waits for, and when their time is over.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

use crate::{
    failure::{Failure, Reason},
    service::Cancel,
};

/// How long a stream of the node's own may be still before a drain waits for it no more: whoever drives it does something
/// else, and may wait for the drain itself.
const STILL_MAX: Duration = Duration::from_millis(500);

/// The drain of a node, from its announcement to the end of the streams' time.
#[derive(Debug)]
pub(crate) struct Drain {
    node: String,
    begun: Cancel,
    /// The time of the streams is over.
    over: Cancel,
    /// Calls with streams that this node serves, or passes on for command lines.
    served: AtomicUsize,
    /// Those that it makes itself, to other nodes.
    own: AtomicUsize,
    /// When something moved on one of those last, since the drain began.
    own_moved: Mutex<Option<Instant>>,
}

/// A call with streams that a drain waits for.
#[derive(Debug)]
pub(crate) struct Awaited(Arc<Drain>);

/// A call with streams of the node's own.
struct Own<'a>(&'a Drain);

impl Drain {
    /// Of the node of that name. It has not begun.
    pub(crate) fn new(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            begun: Cancel::default(),
            over: Cancel::default(),
            served: AtomicUsize::new(0),
            own: AtomicUsize::new(0),
            own_moved: Mutex::default(),
        }
    }

    pub(crate) fn begin(&self) {
        self.own_moved.lock().get_or_insert_with(Instant::now);
        self.begun.cancel();
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Resolves when it begins. Cancel safe.
    pub(crate) async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// A call with streams that is served from now on, or passed on.
    pub(crate) fn awaits(self: &Arc<Self>) -> Awaited {
        self.served.fetch_add(1, Relaxed);
        Awaited(Arc::clone(self))
    }

    /// Runs a call with streams that this node makes.
    pub(crate) async fn watch<T>(&self, call: impl Future<Output = T>) -> T {
        self.own.fetch_add(1, Relaxed);
        let _own = Own(self);
        let mut call = std::pin::pin!(call);
        std::future::poll_fn(|cx| {
            // It is polled when an item comes, goes, or finds room, and at no other time.
            if self.has_begun() {
                *self.own_moved.lock() = Some(Instant::now());
            }
            call.as_mut().poll(cx)
        })
        .await
    }

    /// Whether it has streams to wait for.
    pub(crate) fn has_streams(&self, now: Instant) -> bool {
        let moves = |moved: Instant| now.saturating_duration_since(moved) < STILL_MAX;
        self.serves_streams() || (self.own.load(Relaxed) > 0 && self.own_moved.lock().is_some_and(moves))
    }

    /// Whether this node serves calls with streams, or passes some on.
    pub(crate) fn serves_streams(&self) -> bool {
        self.served.load(Relaxed) > 0
    }

    /// Cuts the streams that are served.
    pub(crate) fn cut(&self) {
        self.over.cancel();
    }
}

impl Awaited {
    /// Resolves when the time is over: why the streams are cut. Cancel safe.
    pub(crate) async fn cut(&self) -> Failure {
        self.0.over.cancelled().await;
        let detail = format!("{} drains, and the time for its streams is over", self.0.node);
        Failure::unknown(Reason::Unavailable, detail)
    }
}

// === impl Awaited, Own ===

impl Drop for Awaited {
    fn drop(&mut self) {
        self.0.served.fetch_sub(1, Relaxed);
    }
}

impl Drop for Own<'_> {
    fn drop(&mut self) {
        self.0.own.fetch_sub(1, Relaxed);
    }
}
