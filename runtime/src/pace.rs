//! How often something may be done that comes as often as others like: some at once, then one in a while.

use std::{
    sync::atomic::{
        AtomicU64,
        Ordering::{AcqRel, Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

/// Lets `burst` through at once, then one in each `every`, and counts those that it keeps back. It takes no lock.
#[derive(Debug)]
pub(crate) struct Pace {
    epoch: Instant,
    every: u64,
    slack: u64,
    /// By when all would be let through if they came evenly, in nanoseconds since the epoch.
    due: AtomicU64,
    left_out: AtomicU64,
}

impl Pace {
    pub(crate) fn new(burst: u32, every: Duration) -> Self {
        let every = nanos(every);
        Self {
            epoch: Instant::now(),
            every,
            slack: every.saturating_mul(u64::from(burst.max(1)) - 1),
            due: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
        }
    }

    /// Whether one that comes now may be told, and how many were left out before it.
    pub(crate) fn pass(&self, now: Instant) -> Option<u64> {
        let now = nanos(now.saturating_duration_since(self.epoch));
        let taken = self.due.fetch_update(AcqRel, Relaxed, |due| {
            (due <= now.saturating_add(self.slack)).then(|| due.max(now) + self.every)
        });
        if taken.is_err() {
            self.left_out.fetch_add(1, Relaxed);
            return None;
        }
        Some(self.left_out.swap(0, AcqRel))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_told_of_in_a_burst_and_then_once_in_a_while_with_its_count() {
        let (pace, now) = (Pace::new(3, EVERY), Instant::now());
        let passed: Vec<_> = (0..1000).filter_map(|_| pace.pass(now)).collect();
        assert_eq!(passed, [0, 0, 0]);
        assert_eq!(pace.pass(now + EVERY), Some(997));
        assert_eq!(pace.pass(now + EVERY), None);
        assert_eq!(pace.pass(now + EVERY * 2), Some(1));
        // After a rest there is a whole burst again, and no more than that.
        let later = now + EVERY * 3600;
        assert_eq!((0..10).filter(|_| pace.pass(later).is_some()).count(), 3);
    }
}
