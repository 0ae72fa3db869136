//! What became of each call: who started it, whether its handler began, and how it ended. The books must balance.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::Log;
use crate::failure::{Failure, Outcome};

/// How late a call may learn of its end: a channel looks at its deadlines every 5 ms.
const LATE_MAX: Duration = Duration::from_millis(50);
/// Broken rules that are told one by one.
const TOLD_MAX: usize = 20;

/// Books of calls. Callers enter what they start and how it ends, handlers enter that they began, both by the number
/// that travels as an argument; [`violations`](Self::violations) says where the two do not fit. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<Books>>);

#[derive(Debug, Default)]
struct Books {
    entries: BTreeMap<u64, Entry>,
    violations: Vec<String>,
    /// The last number that was handled, by sender.
    last: BTreeMap<String, u64>,
    /// Where all of this is told, too.
    log: Option<Log>,
}

/// What kind of call an entry is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// It runs once at most.
    Once,
    /// It may be repeated.
    Idempotent,
    /// It has no answer.
    OneWay,
}

#[derive(Debug)]
struct Entry {
    kind: CallKind,
    started: Instant,
    limit: Duration,
    began: u32,
    end: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Answered,
    Failed(Outcome),
    Cancelled,
}

/// A call under way. Dropped before its end, the call counts as cancelled.
#[derive(Debug)]
pub struct Ticket {
    ledger: Ledger,
    id: u64,
}

/// The sums of a [`Ledger`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sums {
    /// Calls that were started, without one-way sends.
    pub calls: u64,
    /// Calls that were answered.
    pub answered: u64,
    /// Calls that failed: *not sent*, *not executed*, *unknown*.
    pub failed: [u64; 3],
    /// Calls that their callers dropped.
    pub cancelled: u64,
    /// One-way sends that were accepted.
    pub one_way: u64,
    /// One-way sends whose handlers began.
    pub one_way_handled: u64,
    /// Calls and sends without an end: none, once everybody has stopped.
    pub unaccounted: u64,
}

impl Ledger {
    /// Tells a log what it is told.
    pub(super) fn tell(&self, log: &Log) {
        self.0.lock().log = Some(log.clone());
    }

    /// Enters a call that starts now and is to end within `limit`. Its number is unique in this ledger.
    #[must_use]
    pub fn start(&self, kind: CallKind, limit: Duration) -> Ticket {
        let mut books = self.0.lock();
        let id = books.entries.len() as u64;
        let entry = Entry { kind, started: Instant::now(), limit, began: 0, end: None };
        books.entries.insert(id, entry);
        books.tell(|| format!("call {id} {kind:?}"));
        Ticket { ledger: self.clone(), id }
    }

    /// Enters a call, makes it with its number, and enters its end.
    ///
    /// # Errors
    /// The call's own failure.
    ///
    /// # Cancel safety
    /// Dropped before it resolves, the call counts as cancelled.
    pub async fn call<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        kind: CallKind,
        limit: Duration,
        make: impl FnOnce(u64) -> F,
    ) -> Result<T, Failure> {
        let ticket = self.start(kind, limit);
        let answer = make(ticket.id).await;
        ticket.end(answer.as_ref().map(drop));
        answer
    }

    /// A handler says that it began with the call of that number.
    pub fn began(&self, id: u64) {
        let mut books = self.0.lock();
        books.tell(|| format!("call {id} is handled"));
        match books.entries.get_mut(&id) {
            Some(entry) => entry.began += 1,
            None => books.violations.push(format!("call {id} was handled and never started")),
        }
    }

    /// A handler says that it handles the `number`th thing that `sender` sent in order: on one channel, or by a handle
    /// that is fixed to one endpoint. A number that is not above the last is a violation.
    pub fn in_order(&self, sender: &str, number: u64) {
        let mut books = self.0.lock();
        let last = books.last.insert(sender.to_owned(), number);
        if let Some(last) = last.filter(|last| *last >= number) {
            books.violations.push(format!("{sender}: {number} was handled after {last}"));
        }
    }

    /// A rule of your own was broken.
    pub fn violate(&self, what: impl Into<String>) {
        self.0.lock().violations.push(what.into());
    }

    /// What was started and what became of it.
    #[must_use]
    pub fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for entry in self.0.lock().entries.values() {
            let one_way = entry.kind == CallKind::OneWay;
            sums.calls += u64::from(!one_way);
            sums.one_way_handled += u64::from(one_way && entry.began > 0);
            match entry.end {
                None => sums.unaccounted += 1,
                Some(End::Answered) if one_way => sums.one_way += 1,
                Some(End::Answered) => sums.answered += 1,
                Some(_) if one_way => {}
                Some(End::Failed(outcome)) => sums.failed[outcome as usize] += 1,
                Some(End::Cancelled) => sums.cancelled += 1,
            }
        }
        sums
    }

    /// Which rules are broken, once all callers have stopped; the first 20.
    ///
    /// Every call has ended, once, and in time. What was answered was handled. What is *not sent* or *not executed* was
    /// not handled. What may not be repeated was handled once at most.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        let books = self.0.lock();
        let broken = books.entries.iter().filter_map(|(id, entry)| {
            let rule = entry.broken_rule()?;
            Some(format!(
                "call {id} ({:?}, {:?}, began {} times): {rule}",
                entry.kind, entry.end, entry.began
            ))
        });
        books.violations.iter().cloned().chain(broken).take(TOLD_MAX).collect()
    }

    fn end(&self, id: u64, end: End) {
        let now = Instant::now();
        let mut books = self.0.lock();
        books.tell(|| format!("call {id} ends: {end:?}"));
        let Some(entry) = books.entries.get_mut(&id) else { return };
        entry.end = Some(end);
        let took = now - entry.started;
        if took > entry.limit + LATE_MAX {
            let told = format!("call {id} ended {end:?} after {took:?}, and had {:?}", entry.limit);
            books.violations.push(told);
        }
    }
}

impl Books {
    fn tell(&self, what: impl FnOnce() -> String) {
        if let Some(log) = &self.log {
            log.note(what());
        }
    }
}

impl Entry {
    fn broken_rule(&self) -> Option<&'static str> {
        let never_began = [Outcome::NotSent, Outcome::NotExecuted].map(End::Failed);
        match self.end {
            None => Some("it has no end"),
            Some(End::Answered) if self.began == 0 && self.kind != CallKind::OneWay => {
                Some("it was answered and not handled")
            }
            Some(end) if self.began > 0 && never_began.contains(&end) => {
                Some("it was handled, and its caller was told that it was not")
            }
            Some(_) if self.began > 1 && self.kind != CallKind::Idempotent => Some("it was handled twice"),
            Some(_) => None,
        }
    }
}

impl Ticket {
    /// The call's number, to travel as an argument.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The call has ended.
    pub fn end(self, answer: Result<(), &Failure>) {
        let end = answer.map_or_else(|failure| End::Failed(failure.outcome()), |()| End::Answered);
        self.ledger.end(self.id, end);
    }
}

// === impl Ticket ===

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut books = self.ledger.0.lock();
        let open = books.entries.get_mut(&self.id).filter(|entry| entry.end.is_none());
        if let Some(entry) = open {
            entry.end = Some(End::Cancelled);
            books.tell(|| format!("call {} is given up", self.id));
        }
    }
}

#[cfg(test)]
mod tests;
