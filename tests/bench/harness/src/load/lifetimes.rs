//! When actors began and ended.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

/// Notes when the actors of one batch begin and end.
#[derive(Clone, Debug, Default)]
pub struct Lifetimes {
    notes: Arc<Mutex<Notes>>,
    ended: Arc<Notify>,
}

/// What an actor holds from its beginning to its end.
#[derive(Debug)]
pub struct Life(Lifetimes);

#[derive(Debug, Default)]
struct Notes {
    births: Moments,
    deaths: Moments,
}

/// The first and the last of some moments, and how many there were.
#[derive(Debug, Default)]
struct Moments {
    ends: Option<(Instant, Instant)>,
    count: u64,
}

// === impl Lifetimes ===

impl Lifetimes {
    /// An actor begins.
    #[must_use]
    pub fn begin(&self) -> Life {
        self.notes.lock().births.add();
        Life(self.clone())
    }

    /// Waits until every actor that began has ended.
    pub async fn all_ended(&self) {
        loop {
            let ended = self.ended.notified();
            if self.have_all_ended() {
                return;
            }
            ended.await;
        }
    }

    fn have_all_ended(&self) -> bool {
        let notes = self.notes.lock();
        notes.deaths.count == notes.births.count
    }

    /// How many actors there were beside the first, and how long it took to start and to stop them: from the first
    /// beginning to the last, and from the first end to the last.
    pub(crate) fn took(&self) -> (u64, Duration) {
        let notes = self.notes.lock();
        (notes.births.count.saturating_sub(1), notes.births.span() + notes.deaths.span())
    }
}

// === impl Life ===

impl Drop for Life {
    fn drop(&mut self) {
        self.0.notes.lock().deaths.add();
        self.0.ended.notify_waiters();
    }
}

// === impl Moments ===

impl Moments {
    fn add(&mut self) {
        let now = Instant::now();
        let (first, _) = self.ends.unwrap_or((now, now));
        self.ends = Some((first, now));
        self.count += 1;
    }

    fn span(&self) -> Duration {
        self.ends.map_or(Duration::ZERO, |(first, last)| last - first)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_between_the_last_beginning_and_the_first_end_does_not_count() {
        let second = Duration::from_secs(1);
        let lifetimes = Lifetimes::default();
        let first = lifetimes.begin();
        advance(second).await;
        let last = lifetimes.begin();
        advance(100 * second).await;
        drop(first);
        advance(2 * second).await;
        drop(last);
        lifetimes.all_ended().await;
        assert_eq!(lifetimes.took(), (1, 3 * second));
    }
}
