//! The books of a run: who began which batch, who answered it, and what the answers add up to.

use std::collections::{BTreeMap, BTreeSet};

use crate::demo::words::{Counted, Counts};

/// The books of a run.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    workers: BTreeMap<String, Worker>,
    answered: BTreeSet<u64>,
    failures: BTreeMap<u64, String>,
    sum: Counts,
}

/// One service process in the books.
#[derive(Debug, Default)]
struct Worker {
    /// Begun here and not answered from here.
    in_flight: BTreeSet<u64>,
    answered: BTreeSet<u64>,
}

impl Ledger {
    /// A process has a batch in hand. This may become known after its answer.
    pub(crate) fn begins(&mut self, worker: String, batch: u64) {
        let worker = self.workers.entry(worker).or_default();
        if !worker.answered.contains(&batch) {
            worker.in_flight.insert(batch);
        }
    }

    /// A call came back with an answer. Whoever answers twice is not added twice: the second time is `false`.
    pub(crate) fn answers(&mut self, batch: u64, counted: Counted) -> bool {
        if !self.answered.insert(batch) {
            return false;
        }
        let worker = self.workers.entry(counted.by).or_default();
        worker.answered.insert(batch);
        worker.in_flight.remove(&batch);
        self.sum.add(counted.counts);
        true
    }

    /// A call failed for good.
    pub(crate) fn fails(&mut self, batch: u64, why: String) {
        self.failures.insert(batch, why);
    }

    /// The calls that are over, one way or the other.
    pub(crate) fn settled(&self) -> usize {
        self.answered.len() + self.failures.len()
    }

    /// The calls that failed, and why.
    pub(crate) const fn failures(&self) -> &BTreeMap<u64, String> {
        &self.failures
    }

    /// What all answers add up to.
    pub(crate) const fn sum(&self) -> &Counts {
        &self.sum
    }

    /// The batches that a process answered.
    pub(crate) fn answered_by(&self, worker: &str) -> impl ExactSizeIterator<Item = u64> {
        static NONE: BTreeSet<u64> = BTreeSet::new();
        self.workers.get(worker).map_or(&NONE, |worker| &worker.answered).iter().copied()
    }

    /// How many batches a process began and has not answered, as far as is known.
    pub(crate) fn in_flight_at(&self, worker: &str) -> usize {
        self.workers.get(worker).map_or(0, |worker| worker.in_flight.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(by: &str) -> Counted {
        Counted { by: by.to_owned(), counts: Counts { lines: 1, ..Counts::default() } }
    }

    #[test]
    fn what_was_begun_and_not_answered_is_in_flight_whatever_is_heard_first() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.in_flight_at("a"), 0);
        ledger.begins("a".into(), 1);
        ledger.begins("a".into(), 2);
        assert!(ledger.answers(1, counted("a")));
        assert!(ledger.answers(3, counted("a")));
        ledger.begins("a".into(), 3);
        assert_eq!(ledger.in_flight_at("a"), 1);
        assert!(ledger.answers(2, counted("b")));
        assert_eq!(ledger.in_flight_at("a"), 1, "another process answered it: it was lost here");
        assert_eq!(ledger.answered_by("a").collect::<Vec<_>>(), [1, 3]);
        assert_eq!(ledger.answered_by("nobody").len(), 0);
    }

    #[test]
    fn an_answer_counts_once() {
        let mut ledger = Ledger::default();
        assert!(ledger.answers(1, counted("a")));
        assert!(!ledger.answers(1, counted("b")));
        ledger.fails(2, "no".into());
        assert_eq!((ledger.sum().lines, ledger.settled()), (1, 2));
    }
}
