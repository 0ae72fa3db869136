//! A token bucket that asks for the time as seldom as it can: most calls find it empty.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::Instant;

use crate::pace::Pace;

/// Once it was empty, so many asks are refused without a look at the clock, less one.
const LOOK_EVERY: u32 = 16;

/// So many tokens each second, and those of one second at once.
#[derive(Debug)]
pub(crate) struct Bucket {
    pace: Pace,
    unseen: AtomicU32,
}

impl Bucket {
    pub(crate) fn new(per_second: u32) -> Self {
        let per_second = per_second.max(1);
        let pace = Pace::new(per_second, Duration::from_secs(1) / per_second);
        Self { pace, unseen: AtomicU32::new(0) }
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
        let has_token = self.pace.pass(Instant::now()).is_some();
        if !has_token {
            self.unseen.store(LOOK_EVERY - 1, Relaxed);
        }
        has_token
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
