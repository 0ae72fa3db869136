//! What a call may spend, and all calls made on its behalf: time, hops and repeats.
//!
//! A handler's own calls inherit what is left of the call that it serves, without being told: while a handler is
//! polled, its [`Inherited`] share stands in a thread-local, where [`Terms::begin`] finds it. Work that a handler
//! gives to another task begins a tree of its own.
//!
//! **Repeats are never multiplied.** A caller gives each attempt half of the repeats that it has left, and takes back
//! what the reply says was not spent. An attempt without a reply keeps what it was given. So however calls fail, all the
//! attempts of a tree beyond the first of each call are at most what its root began with.

use std::{cell::Cell, task::Poll};

use tokio::time::Instant;

use crate::{
    client::CallOptions,
    config::{Config, deadline_after},
    failure::{Failure, Reason},
    service::Method,
    telemetry::Handling,
};

/// What travels with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// How many calls may stand on top of each other below this one.
    pub(crate) hops: u32,
    /// How many repeats the handler and all below it may spend.
    pub(crate) retries: u32,
}

/// Calls that stand on top of each other at most, unless configured otherwise. Part of the protocol: see [`Allowance::USUAL`].
pub(crate) const HOPS: u32 = 32;
/// Repeats of a call tree, unless configured otherwise. Part of the protocol: see [`Allowance::USUAL`].
pub(crate) const RETRIES: u32 = 16;

impl Allowance {
    /// That of a first attempt by default, which is not spelt out on the wire.
    pub(crate) const USUAL: Self = Self { hops: HOPS, retries: RETRIES / 2 };

    /// That of a one-way send: no reply would say what was spent, so nothing is taken from the sender.
    pub(crate) const fn one_way(hops: u32) -> Self {
        Self { hops, ..Self::USUAL }
    }

    /// What calls of this node begin with, and calls of others may bring at most.
    pub(crate) const fn of(config: &Config) -> Self {
        Self { hops: config.call_hops, retries: config.call_retries }
    }

    pub(crate) fn at_most(self, limit: Self) -> Self {
        Self { hops: self.hops.min(limit.hops), retries: self.retries.min(limit.retries) }
    }
}

/// Who calls, where a handler does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handler {
    pub(crate) service: &'static str,
    pub(crate) method: &'static Method,
    /// Tells the handlers of a node apart that wait for calls; 0 until it is asked for.
    pub(crate) number: u64,
}

/// What a handler's calls share.
#[derive(Clone, Copy, Debug)]
struct Current {
    handler: Option<Handler>,
    deadline: Option<Instant>,
    hops: u32,
    retries: u32,
    spent: u32,
    traced: Traced,
    /// Telemetry wants to know how the handler ends.
    told: bool,
    ended: Ended,
}

/// What is known of a trace that a handler's calls belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traced {
    /// Nobody has decided.
    Undecided,
    /// There is none.
    Unsampled,
    /// OpenTelemetry's current context has it.
    Context,
}

/// What became of a handler, for telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was dropped before its end.
    Dropped,
    /// It answered with a value.
    Answered,
    /// It answered with the service's own error.
    ServiceError,
    Failed(Reason),
    /// It came to its end without an answer.
    Done,
}

thread_local! {
    static CURRENT: Cell<Option<Current>> = const { Cell::new(None) };
    /// When the handler had its answer that is being polled, where telemetry wants to know.
    static ANSWERED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// A handler's share of the call that it serves.
#[derive(Debug)]
pub(crate) struct Inherited {
    current: Current,
    /// Where the call belongs to a trace, or is measured.
    handling: Option<Box<Handling>>,
}

/// What one call may spend: its deadline, and where its repeats come from.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) deadline: Instant,
    /// When the call is over that the handler serves, if it has an end.
    pub(crate) inherited: Option<Instant>,
    hops: u32,
    /// Repeats of its own.
    retries: u32,
    /// Repeats come out of a handler's share too.
    is_nested: bool,
    /// What the attempt under way was given.
    granted: u32,
}

impl Inherited {
    pub(crate) const fn new(deadline: Option<Instant>, allowance: Allowance) -> Self {
        let Allowance { hops, retries } = allowance;
        let (traced, ended) = (Traced::Undecided, Ended::Dropped);
        let handler = None;
        let current = Current { handler, deadline, hops, retries, spent: 0, traced, told: false, ended };
        Self { current, handling: None }
    }

    /// The same for a handler of that method.
    #[inline]
    pub(crate) const fn of(mut self, service: &'static str, method: &'static Method) -> Self {
        self.current.handler = Some(Handler { service, method, number: 0 });
        self
    }

    /// The same for a call that belongs to a trace, or to none.
    pub(crate) fn traced(mut self, (traced, handling): (Traced, Option<Box<Handling>>)) -> Self {
        (self.current.traced, self.current.told) = (traced, handling.is_some());
        self.handling = handling;
        self
    }

    /// Runs one poll of the handler, which is over if that is ready: with an error if it panicked.
    pub(crate) fn poll<E>(&mut self, poll: impl FnOnce() -> Poll<Result<(), E>>) -> Poll<Result<(), E>> {
        let polled = self.enter(poll);
        if let Some(handling) = &mut self.handling {
            if let Some(answered) = ANSWERED.take() {
                handling.answered = Some(answered);
            }
            self.current.ended = match (&polled, self.current.ended) {
                (Poll::Ready(Err(_)), _) => Ended::Failed(Reason::Panicked),
                (Poll::Ready(Ok(())), Ended::Dropped) => Ended::Done,
                (_, ended) => ended,
            };
        }
        polled
    }

    /// Runs one poll of the handler.
    pub(crate) fn enter<T>(&mut self, poll: impl FnOnce() -> T) -> T {
        /// Also when the poll panics.
        struct Leave<'a>(&'a mut Current, Option<Current>);

        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                if let Some(left) = CURRENT.replace(self.1) {
                    *self.0 = left;
                }
            }
        }

        let _attached = self.handling.as_ref().and_then(|handling| handling.attach());
        let before = CURRENT.replace(Some(self.current));
        let _leave = Leave(&mut self.current, before);
        poll()
    }
}

/// How many repeats the handler that is being polled has spent, it and all below it.
pub(crate) fn spent() -> u32 {
    CURRENT.get().map_or(0, |current| current.spent)
}

/// The handler that is being polled.
#[inline]
pub(crate) fn handler() -> Option<Handler> {
    CURRENT.get().and_then(|current| current.handler)
}

/// The handler that is being polled, with a number: what `new` makes, if it had none.
pub(crate) fn numbered(handler: Handler, new: impl FnOnce() -> u64) -> Handler {
    if handler.number != 0 {
        return handler;
    }
    let numbered = Handler { number: new(), ..handler };
    with_current(|current| current.handler = Some(numbered));
    numbered
}

/// What is known of a trace by the handler that is being polled.
#[inline]
pub(crate) fn traced() -> Traced {
    CURRENT.get().map_or(Traced::Undecided, |current| current.traced)
}

/// The same, and none outside of a handler.
#[inline]
pub(crate) fn traced_within() -> Option<Traced> {
    CURRENT.get().map(|current| current.traced)
}

/// The handler that is being polled has its answer: a value, or the service's own error.
#[inline]
pub(crate) fn answered(is_value: bool) {
    ended(if is_value { Ended::Answered } else { Ended::ServiceError });
}

/// The answer of the handler that is being polled cannot be given.
#[cold]
pub(crate) fn failed(reason: Reason) {
    ended(Ended::Failed(reason));
}

#[inline]
fn ended(ended: Ended) {
    if CURRENT.get().is_some_and(|current| current.told) {
        with_current(|current| current.ended = ended);
        ANSWERED.set(Some(Instant::now()));
    }
}

impl Terms {
    /// The terms of a call that begins now.
    ///
    /// # Errors
    /// A handler's call whose share has no time or no hop left: *not sent*.
    pub(crate) fn begin(config: &Config, options: &CallOptions, now: Instant) -> Result<Self, Failure> {
        let deadline = deadline_after(now, options.timeout.unwrap_or(config.call_timeout));
        let Some(current) = CURRENT.get() else {
            let retries = options.retries.unwrap_or(config.call_retries);
            let (inherited, hops) = (None, config.call_hops);
            return Ok(Self { deadline, inherited, hops, retries, is_nested: false, granted: 0 });
        };
        let hops = hop(&current)?;
        let inherited = current.deadline;
        let deadline = inherited.map_or(deadline, |inherited| inherited.min(deadline));
        if deadline <= now {
            let detail = "the time of the call that the handler serves is over";
            return Err(Failure::not_sent(Reason::DeadlineExceeded, detail));
        }
        let retries = options.retries.unwrap_or(u32::MAX);
        Ok(Self { deadline, inherited, hops, retries, is_nested: true, granted: 0 })
    }

    /// What the next attempt is given: half of what is left.
    pub(crate) fn grant(&mut self) -> Allowance {
        self.granted = self.left() / 2;
        self.take(self.granted);
        Allowance { hops: self.hops, retries: self.granted }
    }

    /// The attempt under way has ended; its reply, if it had one, says how much was spent.
    pub(crate) fn settle(&mut self, spent: Option<u32>) {
        let granted = std::mem::take(&mut self.granted);
        let back = spent.map_or(0, |spent| granted.saturating_sub(spent));
        self.retries = self.retries.saturating_add(back);
        if self.is_nested {
            with_current(|current| {
                current.retries += back;
                current.spent = current.spent.saturating_sub(back);
            });
        }
    }

    /// Takes one repeat, if there is one.
    pub(crate) fn withdraw(&mut self) -> bool {
        let has = self.left() > 0;
        if has {
            self.take(1);
        }
        has
    }

    /// How many repeats are left beside those that the attempt under way was given.
    pub(crate) fn retries_left(&self) -> u32 {
        self.left()
    }

    fn left(&self) -> u32 {
        let inherited =
            if self.is_nested { CURRENT.get().map_or(0, |current| current.retries) } else { u32::MAX };
        self.retries.min(inherited)
    }

    fn take(&mut self, count: u32) {
        self.retries -= count;
        if self.is_nested {
            with_current(|current| {
                current.retries -= count;
                current.spent += count;
            });
        }
    }
}

/// The hops that a call has which begins now.
///
/// # Errors
/// The handler that makes it is too deep: *not sent*.
pub(crate) fn hops(config: &Config) -> Result<u32, Failure> {
    CURRENT.get().map_or(Ok(config.call_hops), |current| hop(&current))
}

fn hop(current: &Current) -> Result<u32, Failure> {
    current.hops.checked_sub(1).ok_or_else(|| {
        let detail = "the handler's call stands on too many others; do services call each other in a circle?";
        Failure::not_sent(Reason::TooManyHops, detail)
    })
}

fn with_current(change: impl FnOnce(&mut Current)) {
    if let Some(mut current) = CURRENT.get() {
        change(&mut current);
        CURRENT.set(Some(current));
    }
}

// === impl Inherited ===

impl Drop for Inherited {
    fn drop(&mut self) {
        if let Some(handling) = self.handling.take() {
            handling.end(self.current.ended);
        }
    }
}

#[cfg(test)]
mod tests;
