//! The server's process of a pair: runs one system's server and keeps the books of one-way messages.
//!
//! It talks with its driver over its standard streams, never over the connection that is measured: it prints its
//! port on one line, answers each line of input with a [`Tally`] as JSON, and ends when its input does, so that no
//! server survives its driver.

use std::{
    io::{self, BufRead, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use crate::{args::Serve, certificates::Certificates, load, systems::System};

/// What a system's server is given.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) certificates: Certificates,
    books: Arc<Books>,
}

/// Counts the messages of one flow, in the order in which it is given them.
#[derive(Debug)]
pub(crate) struct Counter {
    books: Arc<Books>,
    tally: Tally,
    expected: u64,
}

/// What has been received so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) received: u64,
    /// How often a message was not the successor of the one before: after a loss, a repetition or a swap.
    pub(crate) order_breaks: u64,
}

/// A tally that another thread may read.
#[derive(Debug, Default)]
struct Books {
    received: AtomicU64,
    order_breaks: AtomicU64,
}

/// Is the server of a pair until its input ends.
pub(crate) fn serve<S: System>(options: &Serve) -> Result<()> {
    let host = Host { certificates: Certificates::open(&options.certificates), books: Arc::default() };
    let books = host.books.clone();
    let runtime = S::THREADS.runtime()?;
    let outcome = runtime.block_on(async {
        tokio::select! {
            ended = S::serve(host) => ended,
            asked = spawn_blocking(move || answer(&books)) => asked?,
        }
    });
    // Whoever answers may still wait for a line.
    runtime.shutdown_background();
    outcome
}

fn answer(books: &Books) -> Result<()> {
    for line in io::stdin().lock().lines() {
        line?;
        print_line(&serde_json::to_string(&books.tally())?)?;
    }
    Ok(())
}

fn print_line(line: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

// === impl Host ===

impl Host {
    /// Tells the driver that the server listens on this port.
    pub(crate) fn ready(&self, port: u16) -> Result<()> {
        print_line(&port.to_string())
    }

    /// A counter for the one flow that this process will receive.
    pub(crate) fn counter(&self) -> Counter {
        Counter { books: self.books.clone(), tally: Tally::default(), expected: 0 }
    }
}

// === impl Counter ===

impl Counter {
    /// Counts one message, by the sequence number in its payload.
    #[inline]
    pub(crate) fn count(&mut self, payload: &[u8]) {
        let sequence = load::sequence(payload);
        if sequence != Some(self.expected) {
            self.tally.order_breaks += 1;
            self.books.order_breaks.store(self.tally.order_breaks, Relaxed);
        }
        self.expected = sequence.map_or(self.expected, |sequence| sequence + 1);
        self.tally.received += 1;
        // One writer, so a plain store is enough and costs less than an atomic addition.
        self.books.received.store(self.tally.received, Relaxed);
    }
}

// === impl Books ===

impl Books {
    fn tally(&self) -> Tally {
        Tally { received: self.received.load(Relaxed), order_breaks: self.order_breaks.load(Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally_of(sequences: &[u64]) -> Tally {
        let books = Arc::new(Books::default());
        let mut counter = Counter { books: books.clone(), tally: Tally::default(), expected: 0 };
        for sequence in sequences {
            counter.count(&sequence.to_le_bytes());
        }
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
        let books = Arc::new(Books::default());
        let mut counter = Counter { books: books.clone(), tally: Tally::default(), expected: 0 };
        counter.count(b"short");
        assert_eq!(books.tally(), Tally { received: 1, order_breaks: 1 });
    }
}
