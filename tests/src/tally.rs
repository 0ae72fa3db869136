//! What became of calls.

use std::{collections::BTreeMap, fmt};

use parking_lot::Mutex;
use qmesh::{Failure, Outcome};

/// Counts calls by what became of them. Every call that was started is in one of the counts.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Counts>);

#[derive(Clone, Debug, Default)]
struct Counts {
    answered: u64,
    failed: BTreeMap<Outcome, u64>,
    reasons: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts one call, and hands its answer on.
    ///
    /// # Errors
    /// The failure that was counted.
    pub fn count<T>(&self, answer: Result<T, Failure>) -> Result<T, Failure> {
        let mut counts = self.0.lock();
        match &answer {
            Ok(_) => counts.answered += 1,
            Err(failure) => {
                *counts.failed.entry(failure.outcome()).or_default() += 1;
                let reason = format!("{failure} ({:?})", failure.reason());
                *counts.reasons.entry(reason).or_default() += 1;
            }
        }
        answer
    }

    /// Calls that were answered.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.0.lock().answered
    }

    /// Calls that failed in that way.
    #[must_use]
    pub fn failed(&self, outcome: Outcome) -> u64 {
        self.0.lock().failed.get(&outcome).copied().unwrap_or(0)
    }

    /// Answered and failed together.
    #[must_use]
    pub fn total(&self) -> u64 {
        let counts = self.0.lock();
        counts.answered + counts.failed.values().sum::<u64>()
    }

    /// Checks that no call failed.
    ///
    /// # Panics
    /// If one did; the message lists all failures.
    pub fn assert_no_failure(&self) {
        let counts = self.0.lock();
        assert!(
            counts.failed.is_empty(),
            "failed calls beside {} answered ones: {:#?}",
            counts.answered,
            counts.reasons
        );
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0.lock();
        write!(f, "{} answered, {:?}, {:#?}", counts.answered, counts.failed, counts.reasons)
    }
}
