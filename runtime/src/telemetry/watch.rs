//! What is measured of a node's calls while somebody looks, and only then.
//!
//! A question for the node's traffic is a lease of [`LEASE`]: without one a call looks at one flag and nothing more. With one, up
//! to about [`EACH_MAX`] calls per second are measured each. Of more, about as many to twice as many are drawn, and each counts for
//! so many as there are for one drawn. Which is left to chance, so that a load which repeats itself does not always show the same side.
//! Calls that handlers wait for are all kept, as a deadlock may hang on any of them.

mod called;
mod flows;
mod taps;
mod waits;

use std::{
    cell::Cell,
    fmt,
    sync::{
        Arc,
        atomic::{
            AtomicU8, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

pub(crate) use called::{Called, Target, shown};
pub(crate) use flows::Served;
use flows::{Flows, Names, Side};
use taps::Taps;
use waits::Waits;

use crate::{
    control_api::{Tap, TapRequest, Traffic},
    duration::micros,
    failure::Failure,
    random::Random,
    task::{self, Tasks},
};

/// How long a node measures after it was asked last.
const LEASE: Duration = Duration::from_secs(10);
/// Calls per second that are measured each.
const EACH_MAX: u64 = 1000;
/// What a call stands for where there are more, until it is known how many there are; and at most.
const WEIGHT: u64 = 16;
const WEIGHT_MAX: u64 = 1024;
/// How often it is looked how many there are.
const WINDOW: Duration = Duration::from_millis(100);
/// The time without a measured call after which what was known of their number is forgotten.
const FORGET_AFTER: Duration = Duration::from_millis(500);

/// Flags of [`Watch::open`].
const MEASURES: u8 = 1;
const TAPS: u8 = 2;

/// Looks at the calls of one node.
pub(crate) struct Watch {
    node: String,
    /// What somebody looks at now.
    open: AtomicU8,
    lease: Mutex<Lease>,
    /// Where its clock begins.
    epoch: Instant,
    pace: Pace,
    flows: Flows,
    waits: Waits,
    taps: Taps,
    random: Random,
}

#[derive(Debug)]
struct Lease {
    /// Since when it is measured.
    since: Instant,
    /// Until when somebody looks, at what [`MEASURES`] and [`TAPS`] mean.
    until: [(u8, Instant); 2],
}

/// How many calls there are, as far as those that are measured show it.
#[derive(Debug)]
struct Pace {
    weight: AtomicU64,
    /// Calls in the window.
    calls: AtomicU64,
    /// When the window began, in microseconds.
    since: AtomicU64,
}

thread_local! {
    /// How many calls of this thread are passed over before the next one is measured, and the weight for which that was drawn.
    static PASSED_OVER: Cell<(usize, u64)> = const { Cell::new((0, 0)) };
}

impl Watch {
    /// For the node of that name.
    pub(crate) fn new(node: &str) -> Self {
        let now = Instant::now();
        Self {
            node: node.to_owned(),
            open: AtomicU8::new(0),
            lease: Mutex::new(Lease { since: now, until: [(MEASURES, now), (TAPS, now)] }),
            epoch: now,
            pace: Pace { weight: AtomicU64::new(1), calls: AtomicU64::new(0), since: AtomicU64::new(0) },
            flows: Flows::default(),
            waits: Waits::default(),
            taps: Taps::default(),
            random: Random::default(),
        }
    }

    /// Whether anybody looks.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Relaxed) != 0
    }

    /// What a call stands for that begins or ends now; none if it is not to be measured.
    #[cold]
    pub(crate) fn weigh(&self) -> Option<u64> {
        if self.open.load(Relaxed) & MEASURES == 0 {
            return None;
        }
        let weight = self.pace.weight.load(Relaxed);
        if weight > 1 {
            let (left, drawn_for) = PASSED_OVER.get();
            // A gap that was drawn for another weight says nothing: this call has its chance as any other.
            let left = if drawn_for == weight { left } else { self.random.below(gap(weight)) };
            if let Some(left) = left.checked_sub(1) {
                PASSED_OVER.set((left, weight));
                return None;
            }
            // As many as make one in so many of them on average.
            PASSED_OVER.set((self.random.below(2 * gap(weight) - 1), weight));
        }
        self.pace.counted(weight, self.clock_us(Instant::now()));
        Some(weight)
    }

    /// Measures from now on, or for longer. `tasks` are the node's.
    pub(crate) fn look(self: &Arc<Self>, tasks: &Tasks) {
        self.hold(MEASURES, tasks);
    }

    /// Somebody looks at that from now on, or for longer.
    fn hold(self: &Arc<Self>, what: u8, tasks: &Tasks) {
        let now = Instant::now();
        let mut lease = self.lease.lock();
        for (_, until) in lease.until.iter_mut().filter(|(kind, _)| *kind == what) {
            *until = now + LEASE;
        }
        let before = self.open.load(Acquire);
        if before & what != 0 {
            self.pace.forget(self.clock_us(now));
            return;
        }
        if what == MEASURES {
            lease.since = now;
            self.flows.clear();
            self.pace.restart(self.clock_us(now));
        }
        self.open.fetch_or(what, AcqRel);
        drop(lease);
        if before == 0 {
            let watch = Arc::clone(self);
            task::spawn_in(tasks, async move { watch.until_nobody_looks().await });
        }
    }

    /// Ends what nobody looks at any more.
    async fn until_nobody_looks(&self) {
        while let Some(next) = self.end_leases(Instant::now()) {
            sleep_until(next).await;
        }
    }

    /// When the next lease ends, if there is one.
    fn end_leases(&self, now: Instant) -> Option<Instant> {
        let lease = self.lease.lock();
        let mut next = None;
        for (kind, until) in lease.until {
            if self.open.load(Acquire) & kind == 0 {
                continue;
            }
            if until > now {
                next = Some(next.map_or(until, |next: Instant| next.min(until)));
                continue;
            }
            self.open.fetch_and(!kind, AcqRel);
            if kind == MEASURES { self.flows.clear() } else { self.taps.clear() }
        }
        next
    }

    fn clock_us(&self, at: Instant) -> u64 {
        micros(at.saturating_duration_since(self.epoch))
    }

    /// What was measured.
    pub(crate) fn read(&self) -> Traffic {
        let now = Instant::now();
        let since = self.lease.lock().since;
        let (waiting, waiting_left_out) = self.waits.read(now);
        Traffic {
            clock_us: self.clock_us(now),
            since_us: self.clock_us(since),
            flows: self.flows.read(Side::Calls),
            served: self.flows.read(Side::Serves),
            waiting,
            waiting_left_out,
            ..Traffic::default()
        }
    }

    /// The calls that pass from now on, or have passed since.
    ///
    /// # Errors
    /// Too many different things are looked at.
    pub(crate) async fn tap(self: &Arc<Self>, asked: &TapRequest, tasks: &Tasks) -> Result<Tap, Failure> {
        self.hold(TAPS, tasks);
        self.taps.wait(asked).await
    }

    /// A call comes to a service of the node, from `from` on the node of that name. It stands for so many.
    pub(crate) fn serve(&self, (from, node): (String, String), target: (&str, &str), weight: u64) -> Served {
        let (service, method) = (target.0.to_owned(), target.1.to_owned());
        self.flows.begin(Side::Serves, Names { from, node, service, method }, weight)
    }
}

impl Pace {
    fn restart(&self, now_us: u64) {
        self.weight.store(1, Relaxed);
        self.calls.store(0, Relaxed);
        self.since.store(now_us, Relaxed);
    }

    /// Where no call was measured for long, those that come are few.
    fn forget(&self, now_us: u64) {
        if now_us.saturating_sub(self.since.load(Relaxed)) > micros(FORGET_AFTER) {
            self.restart(now_us);
        }
    }

    /// A call was measured that stands for so many.
    fn counted(&self, weight: u64, now_us: u64) {
        let window = micros(WINDOW);
        let calls = self.calls.fetch_add(weight, Relaxed) + weight;
        let allowed = EACH_MAX * window / 1_000_000;
        if weight == 1 && calls > allowed {
            self.weight.store(WEIGHT, Relaxed);
        }
        let since = self.since.load(Relaxed);
        let passed = now_us.saturating_sub(since);
        // Of those who see that the window is over, one begins the next.
        if passed >= window && self.since.compare_exchange(since, now_us, Relaxed, Relaxed).is_ok() {
            self.calls.store(0, Relaxed);
            self.weight.store(weight_of(calls * window / passed, allowed), Relaxed);
        }
    }
}

/// A power of two, so that of `calls` about `allowed` are drawn, or up to twice as many; at the least weight half of them.
fn weight_of(calls: u64, allowed: u64) -> u64 {
    match calls / allowed {
        0 => 1,
        times => (1 << times.ilog2()).clamp(2, WEIGHT_MAX),
    }
}

fn gap(weight: u64) -> usize {
    usize::try_from(weight).unwrap_or(usize::MAX)
}

// === impl Watch ===

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("open", &self.open).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
