//! How many retries the calls of one route may cost: a share of them, and some each second beside.

use std::{
    fmt,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use tower::retry::budget::{Budget, TpsBudget};

/// The least calls that are paid in with one deposit, which looks at the clock and takes a lock: more than a call has to
/// spare.
const CALLS_PER_DEPOSIT: u32 = 8;
/// The most.
const CALLS_PER_DEPOSIT_MAX: u32 = 1 << 16;
/// How long a call counts.
const MEMORY: Duration = Duration::from_secs(10);

/// The retries of one route.
pub(crate) struct RetryBudget {
    bucket: TpsBudget,
    calls: AtomicU32,
    calls_per_deposit: u32,
}

impl RetryBudget {
    /// So many retries each second, and that share of the calls. The first of several calls pays in for all of them.
    pub(crate) fn new(per_second: u32, share: f32) -> Self {
        let calls_per_deposit = calls_per_deposit(share);
        let bucket = TpsBudget::new(MEMORY, per_second, share * calls_per_deposit as f32);
        Self { bucket, calls: AtomicU32::new(0), calls_per_deposit }
    }

    /// A call has begun.
    #[inline]
    pub(crate) fn deposit(&self) {
        if self.calls.fetch_add(1, Relaxed).is_multiple_of(self.calls_per_deposit) {
            self.bucket.deposit();
        }
    }

    /// Takes a retry, if there is one.
    pub(crate) fn withdraw(&self) -> bool {
        self.bucket.withdraw()
    }
}

/// So many that a deposit is worth more than one retry: `TpsBudget` is exact to a hundredth then, and to a half below.
fn calls_per_deposit(share: f32) -> u32 {
    if share > 1.0 {
        return 1;
    }
    let enough = |calls: &u32| *calls >= CALLS_PER_DEPOSIT_MAX || *calls as f32 * share > 1.0;
    let mut doubling = std::iter::successors(Some(CALLS_PER_DEPOSIT), |calls| Some(calls * 2));
    doubling.find(enough).unwrap_or(CALLS_PER_DEPOSIT_MAX)
}

// === impl RetryBudget ===

impl fmt::Debug for RetryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RetryBudget").field(&self.bucket).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retries_of(budget: &RetryBudget, calls: usize) -> usize {
        (0..calls).for_each(|_| budget.deposit());
        std::iter::repeat_with(|| budget.withdraw()).take_while(|granted| *granted).count()
    }

    #[tokio::test(start_paused = true)]
    async fn calls_earn_their_share_whatever_it_is() {
        for share in [0.0, 0.001, 0.05, 0.1, 0.2, 0.7, 1.0, 3.0, 500.0] {
            let (earned, due) = (retries_of(&RetryBudget::new(0, share), 8192) as f32, share * 8192.0);
            assert!((earned - due).abs() <= due * 0.01 + 2.0, "{earned} for {share}, which is {due}");
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
}
