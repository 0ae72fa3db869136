//! A token bucket that asks for the time as seldom as it can: most calls find it empty.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use tokio::time::Instant;

/// Once it was empty, so many asks are refused without a look at the clock, less one.
const LOOK_EVERY: u32 = 16;

/// So many tokens each second, and those of one second at once.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// Nanoseconds in which a token comes.
    interval: u64,
    since: Instant,
    /// When it is full again, in nanoseconds since then: each token that is taken puts it off.
    full_at: AtomicU64,
    unseen: AtomicU32,
}

const SECOND: u64 = 1_000_000_000;

impl Bucket {
    pub(crate) fn new(per_second: u32) -> Self {
        let interval = SECOND / u64::from(per_second.max(1));
        Self { interval, since: Instant::now(), full_at: AtomicU64::new(0), unseen: AtomicU32::new(0) }
    }

    /// Takes a token if there is one. Two threads that ask at once may leave the clock alone once more or once less.
    #[inline]
    pub(crate) fn take(&self) -> bool {
        match self.unseen.load(Relaxed) {
            0 => self.look(),
            unseen => {
                self.unseen.store(unseen - 1, Relaxed);
                false
            }
        }
    }

    #[cold]
    fn look(&self) -> bool {
        let now = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX / 2);
        let taken = self.full_at.fetch_update(Relaxed, Relaxed, |full_at| {
            let full_at = full_at.max(now) + self.interval;
            (full_at <= now + SECOND.max(self.interval)).then_some(full_at)
        });
        if taken.is_err() {
            self.unseen.store(LOOK_EVERY - 1, Relaxed);
        }
        taken.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_gives_a_seconds_worth_at_once_and_then_its_rate() {
        for per_second in [1, 50, 1000] {
            let bucket = Bucket::new(per_second);
            let taken = |asks: u32| (0..asks).filter(|_| bucket.take()).count();
            assert_eq!(taken(3000), per_second as usize);
            let mut later = 0;
            for _ in 0..10_000 {
                advance(Duration::from_millis(1)).await;
                later += taken(16);
            }
            let due = 10 * per_second as usize;
            assert!((due - 1..=due).contains(&later), "{later} of {due}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_seldom_is_given_what_is_due_within_sixteen_asks() {
        let bucket = Bucket::new(1);
        assert!(bucket.take() && !bucket.take());
        advance(Duration::from_secs(60)).await;
        assert_eq!((0..).take_while(|_| !bucket.take()).count(), 15);
    }
}
