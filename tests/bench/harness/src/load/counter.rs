//! Who counts the messages of a flow, and whether they came in order.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::load::sequence;

/// A slow receiver rests after so many messages…
const MESSAGES_PER_REST: u64 = 200;
/// …for so long, and the rest of a timer's tick.
const REST: Duration = Duration::from_millis(1);

/// Counts the messages of one flow, in the order in which it is given them.
#[derive(Debug)]
pub struct Counter {
    books: Arc<Books>,
    tally: Tally,
    expected: u64,
    slow: bool,
}

/// What has been received so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many messages.
    pub received: u64,
    /// How often a message was not the successor of the one before: after a loss, a repetition or a swap.
    pub order_breaks: u64,
}

/// A tally that another thread may read.
#[derive(Debug, Default)]
pub(crate) struct Books {
    received: AtomicU64,
    order_breaks: AtomicU64,
}

// === impl Counter ===

impl Counter {
    pub(crate) const fn new(books: Arc<Books>, slow: bool) -> Self {
        Self { books, tally: Tally { received: 0, order_breaks: 0 }, expected: 0, slow }
    }

    /// Counts one message, by the sequence number in its payload.
    #[inline]
    pub fn count(&mut self, payload: &[u8]) {
        let sequence = sequence(payload);
        if sequence != Some(self.expected) {
            self.tally.order_breaks += 1;
            self.books.order_breaks.store(self.tally.order_breaks, Relaxed);
        }
        self.expected = sequence.map_or(self.expected, |sequence| sequence + 1);
        self.tally.received += 1;
        // One writer, so a plain store is enough and costs less than an atomic addition.
        self.books.received.store(self.tally.received, Relaxed);
    }

    /// Counts one message as its handler: one that is to be slow now and then takes its time.
    #[inline]
    pub async fn handle(&mut self, payload: &[u8]) {
        self.count(payload);
        if self.slow && self.tally.received.is_multiple_of(MESSAGES_PER_REST) {
            sleep(REST).await;
        }
    }

    /// How many messages there have been, by the number of the last.
    pub(crate) const fn sent(&self) -> u64 {
        self.expected
    }

    pub(crate) const fn tally(&self) -> Tally {
        self.tally
    }
}

// === impl Tally ===

impl std::iter::Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |a, b| Self {
            received: a.received + b.received,
            order_breaks: a.order_breaks + b.order_breaks,
        })
    }
}

// === impl Books ===

impl Books {
    pub(crate) fn tally(&self) -> Tally {
        Tally { received: self.received.load(Relaxed), order_breaks: self.order_breaks.load(Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn tally_of(sequences: &[u64]) -> Tally {
        let books = Arc::new(Books::default());
        let mut counter = Counter::new(books.clone(), false);
        for sequence in sequences {
            counter.count(&sequence.to_le_bytes());
        }
        assert_eq!(counter.tally(), books.tally());
        books.tally()
    }

    #[test]
    fn messages_in_order_break_nothing() {
        assert_eq!(tally_of(&[0, 1, 2]), Tally { received: 3, order_breaks: 0 });
    }

    #[test]
    fn a_gap_is_one_break_and_a_swap_is_three() {
        assert_eq!(tally_of(&[0, 3, 4]), Tally { received: 3, order_breaks: 1 });
        assert_eq!(tally_of(&[0, 2, 1, 3]), Tally { received: 4, order_breaks: 3 });
    }

    #[test]
    fn a_message_without_a_number_is_a_break() {
        let mut counter = Counter::new(Arc::default(), false);
        counter.count(b"short");
        assert_eq!(counter.tally(), Tally { received: 1, order_breaks: 1 });
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_counter_takes_its_time() {
        let begin = Instant::now();
        let mut counter = Counter::new(Arc::default(), true);
        for number in 0..10 * MESSAGES_PER_REST {
            counter.handle(&number.to_le_bytes()).await;
        }
        assert!(begin.elapsed() >= 10 * REST);
    }
}
