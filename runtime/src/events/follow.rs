//! A node's events as a stream.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use futures_util::{Stream, StreamExt, stream::BoxStream};

use super::{Chronicle, Happened};

/// What happens on a node: first what it remembers, the newest 1024 events, then each as it happens. It ends with the node.
///
/// Whoever reads too slowly holds nobody up, and misses the oldest; [`missed`](Self::missed) says how many.
pub struct Events {
    stream: BoxStream<'static, Happened>,
    missed: Arc<AtomicU64>,
}

/// Events that are taken at a time.
const BATCH: usize = 64;

impl Events {
    pub(crate) fn new(chronicle: Arc<Chronicle>) -> Self {
        let missed = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&missed);
        let start = (chronicle.follow(), 0);
        let batches = futures_util::stream::unfold(start, move |(mut changed, mut seq)| {
            let (chronicle, counted) = (Arc::clone(&chronicle), Arc::clone(&counted));
            async move {
                loop {
                    let told = chronicle.after(seq, BATCH);
                    counted.fetch_add(told.missed, Relaxed);
                    if let Some(last) = told.events.last() {
                        seq = last.seq;
                        return Some((futures_util::stream::iter(told.events), (changed, seq)));
                    }
                    if told.is_last {
                        return None;
                    }
                    changed.changed().await;
                }
            }
        });
        Self { stream: batches.flatten().boxed(), missed }
    }

    /// The next event; none when the node has ended.
    ///
    /// # Cancel safety
    /// Cancelling loses no event.
    pub async fn next(&mut self) -> Option<Happened> {
        self.stream.next().await
    }

    /// How many events it has missed so far, as they were read too slowly.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed.load(Relaxed)
    }
}

// === impl Events ===

impl Stream for Events {
    type Item = Happened;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Happened>> {
        self.stream.poll_next_unpin(cx)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("missed", &self.missed()).finish_non_exhaustive()
    }
}
