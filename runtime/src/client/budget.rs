//! How many retries the calls of one route may cost: a share of them, and some each second beside.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

/// The calls that are paid in with one deposit, which looks at the clock and takes a lock: more than a call has to spare.
const CALLS_PER_DEPOSIT: u32 = 8;
/// How long a call, or a retry, counts.
const MEMORY: Duration = Duration::from_secs(10);
/// What is counted together is forgotten together.
const SLOTS: usize = 10;
const SLOT: Duration = Duration::from_secs(1);
/// A retry in the unit that is counted in.
const RETRY: i64 = 1_000_000;

/// The retries of one route.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    /// What is there without calls.
    reserve: i64,
    /// What a deposit is worth.
    deposit: i64,
    calls: AtomicU32,
    recent: Mutex<Recent>,
}

/// What was paid in less what was taken, a slot for each second.
#[derive(Debug)]
struct Recent {
    slots: [i64; SLOTS],
    newest: usize,
    /// When the newest slot began.
    since: Instant,
}

impl RetryBudget {
    /// So many retries each second, and that share of the calls. The first of several calls pays in for all of them.
    pub(crate) fn new(per_second: u32, share: f32) -> Self {
        let reserve = i64::from(per_second) * RETRY * MEMORY.as_secs().cast_signed();
        let deposit = f64::from(share) * f64::from(CALLS_PER_DEPOSIT) * RETRY as f64;
        #[expect(clippy::cast_possible_truncation, reason = "a millionth of a retry is nothing")]
        let deposit = deposit as i64;
        let recent = Recent { slots: [0; SLOTS], newest: 0, since: Instant::now() };
        Self { reserve, deposit, calls: AtomicU32::new(0), recent: Mutex::new(recent) }
    }

    /// A call has begun.
    #[inline]
    pub(crate) fn deposit(&self) {
        if self.calls.fetch_add(1, Relaxed).is_multiple_of(CALLS_PER_DEPOSIT) {
            *self.recent.lock().slot(Instant::now()) += self.deposit;
        }
    }

    /// Takes a retry, if there is one.
    pub(crate) fn withdraw(&self) -> bool {
        let mut recent = self.recent.lock();
        let slot = recent.slot(Instant::now());
        *slot -= RETRY;
        if self.reserve.saturating_add(recent.sum()) >= 0 {
            return true;
        }
        *recent.slot(Instant::now()) += RETRY;
        false
    }

    /// How many retries are left.
    pub(crate) fn left(&self) -> u64 {
        let mut recent = self.recent.lock();
        recent.slot(Instant::now());
        u64::try_from(self.reserve.saturating_add(recent.sum()) / RETRY).unwrap_or(0)
    }
}

impl Recent {
    /// That of `now`; those that are too old are forgotten.
    fn slot(&mut self, now: Instant) -> &mut i64 {
        let age = now.saturating_duration_since(self.since);
        if age >= MEMORY + SLOT {
            (self.slots, self.since) = ([0; SLOTS], now);
        }
        while now.saturating_duration_since(self.since) >= SLOT {
            self.newest = (self.newest + 1) % SLOTS;
            self.slots[self.newest] = 0;
            self.since += SLOT;
        }
        &mut self.slots[self.newest]
    }

    fn sum(&self) -> i64 {
        self.slots.iter().fold(0, |sum, slot| sum.saturating_add(*slot))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn retries_of(budget: &RetryBudget, calls: usize) -> usize {
        (0..calls).for_each(|_| budget.deposit());
        let left = budget.left();
        let granted = std::iter::repeat_with(|| budget.withdraw()).take_while(|granted| *granted).count();
        assert_eq!(granted as u64, left);
        granted
    }

    #[tokio::test(start_paused = true)]
    async fn calls_earn_their_share_whatever_it_is() {
        for share in [0.0, 0.001, 0.05, 0.1, 0.2, 0.7, 1.0, 3.0, 500.0] {
            let (earned, due) = (retries_of(&RetryBudget::new(0, share), 8192) as f32, share * 8192.0);
            assert!((earned - due).abs() <= due * 0.0001 + 1.0, "{earned} for {share}, which is {due}");
        }
        let budget = RetryBudget::new(0, 0.5);
        assert_eq!(retries_of(&budget, 800), 400);
        assert_eq!(retries_of(&budget, 80), 40, "and no more than that");
    }

    #[tokio::test(start_paused = true)]
    async fn some_are_there_without_calls() {
        for share in [0.0, 0.2, 500.0] {
            assert_eq!(retries_of(&RetryBudget::new(3, share), 0), 30, "{share}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_and_retries_are_forgotten_after_ten_seconds() {
        let budget = RetryBudget::new(1, 0.5);
        assert_eq!(retries_of(&budget, 8), 14);
        advance(Duration::from_secs(9)).await;
        assert_eq!(budget.left(), 0);
        advance(Duration::from_secs(1)).await;
        assert_eq!(budget.left(), 10, "the retries of then, and the calls of then");
        (0..8).for_each(|_| budget.deposit());
        assert_eq!(budget.left(), 14);
        advance(Duration::from_secs(60)).await;
        assert_eq!(budget.left(), 10);
    }
}
