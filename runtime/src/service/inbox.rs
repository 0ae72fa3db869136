//! The bounded queue in front of a service's actor.
//!
//! ractor's own queues have no bound, so nothing is sent to an actor without a permit. The calls themselves wait here:
//! the actor is only told that there is work, and takes up to [`BATCH`] of them for one message. The queue outlives
//! the actor, so a restart loses nothing that has not begun.
//!
//! Under overload a full queue of calls that are late by the time it is their turn would leave nothing done. So the inbox
//! reckons how long a call would wait (the calls before it times what a call took of late), and refuses one at once that
//! would wait for most of its time.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use ractor::ActorRef;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use crate::{
    call_tree::Inherited,
    duration::millis,
    events::{Chronicle, MeshEvent},
    failure::{Failure, Reason},
    pace,
    service::reply::unanswered,
    service::{CallScope, Conditions, Contract, Method, OneWays, actor::ServiceMessage},
    telemetry::{Arrived, Handling},
};

/// Calls that an actor takes for one message at most.
pub(crate) const BATCH: usize = 64;
/// Buffers of done batches that are kept while there is work.
const SPARE: usize = 16;
/// The share of a call's time that it may have to wait, as far as is known when it comes.
const WAIT_SHARE_MAX: f32 = 0.75;
/// How many turns of the actor its pace is smoothed over.
const PACE_OVER: u64 = 64;
/// With no slot free, calls are refused once the oldest in the queue waits longer than this. A shorter wait is never
/// reckoned with.
pub(crate) const OLDEST_MAX: Duration = Duration::from_millis(100);

/// The log hears of one refusal in this time, and of how many there were.
const OVERLOAD_EVERY: Duration = Duration::from_secs(1);

/// A call with its permit: one of the inbox's slots is its own until it is done.
pub(crate) struct Envelope<C: Contract> {
    pub(crate) call: C::Call,
    method: u16,
    pub(crate) conditions: Conditions,
}

/// Calls that came together from one caller. They move from the channel to the actor as one.
pub(crate) struct Batch<C: Contract> {
    pub(crate) scope: Arc<CallScope>,
    pub(crate) calls: VecDeque<Envelope<C>>,
    queued_at: Instant,
}

pub(crate) struct Inbox<C: Contract> {
    slots: Semaphore,
    capacity: usize,
    queue: Mutex<Queue<C>>,
    pace: Pace,
    /// How long the call that was taken last had waited, in microseconds.
    pub(crate) age: Arc<AtomicU64>,
    events: Arc<Chronicle>,
    /// How often it tells that it refuses calls.
    refusals: pace::Pace,
}

/// How fast the service works: read without a lock, written under the queue's.
#[derive(Debug, Default)]
struct Pace {
    /// Calls in the queue.
    waiting: AtomicUsize,
    /// What a call takes of the actor's time, in nanoseconds.
    cost: AtomicU64,
}

/// What the actor did of late: both fade alike, so that their quotient is a moving average over calls. One long pause among
/// many calls says little.
#[derive(Clone, Copy, Debug, Default)]
struct Recent {
    nanos: u64,
    /// In thousandths.
    calls: u64,
}

/// What the actor took last.
#[derive(Clone, Copy, Debug)]
struct Taken {
    at: Instant,
    calls: usize,
}

struct Queue<C: Contract> {
    waiting: VecDeque<Batch<C>>,
    /// None when the actor has nothing to do.
    taken: Option<Taken>,
    recent: Recent,
    /// Buffers of batches that are done, for those to come; given back when the service has nothing to do.
    spare: Vec<VecDeque<Envelope<C>>>,
    /// When the calls that the actor has in hand came.
    working: Option<Instant>,
    actor: Option<ActorRef<ServiceMessage>>,
    /// The actor has been told, and has not yet found the queue empty.
    told: bool,
    closed: Option<Failure>,
}

impl<C: Contract> Envelope<C> {
    pub(crate) fn new(call: C::Call, method: usize, conditions: Conditions) -> Self {
        // A contract has 256 methods at most.
        Self { call, method: u16::try_from(method).unwrap_or(u16::MAX), conditions }
    }

    pub(crate) fn is_exclusive(&self) -> bool {
        self.method().is_none_or(|method| method.exclusive)
    }

    pub(crate) fn is_one_way(&self) -> bool {
        self.method().is_some_and(|method| method.one_way)
    }

    pub(crate) fn method_name(&self) -> &'static str {
        self.method().map_or("", |method| method.name)
    }

    fn method(&self) -> Option<&'static Method> {
        C::METHODS.get(usize::from(self.method))
    }
}

impl<C: Contract> Batch<C> {
    pub(crate) fn new(scope: Arc<CallScope>, calls: VecDeque<Envelope<C>>, queued_at: Instant) -> Self {
        Self { scope, calls, queued_at }
    }

    /// What the handler of a call of the batch inherits, now that it begins.
    #[inline]
    pub(crate) fn begins(&self, envelope: &Envelope<C>) -> Inherited {
        let mut inherited = envelope.conditions.inherited();
        if let Some(method) = envelope.method() {
            inherited = inherited.of(C::NAME, method);
        }
        let telemetry = &self.scope.core.telemetry;
        match self.told_of(envelope, telemetry.is_on()) {
            None => inherited,
            Some(call) => inherited.traced(Handling::begin(call)),
        }
    }

    /// A call of the batch will not run.
    pub(crate) fn refuse_one(&self, envelope: Envelope<C>, failure: Failure) {
        if let Some(call) = self.told_of(&envelope, self.scope.core.telemetry.hears_of_failures()) {
            call.refused(&failure);
        }
        C::refuse(envelope.call, failure);
    }

    /// The call for telemetry, where it belongs to a trace, or where that hears of others too.
    #[inline]
    fn told_of<'a>(&'a self, envelope: &'a Envelope<C>, hears_of_all: bool) -> Option<Arrived<'a>> {
        let (trace, scope) = (&envelope.conditions.head.trace, &*self.scope);
        let weight = scope.core.telemetry.watched().and_then(|watch| watch.weigh());
        if trace.is_undecided() && !hears_of_all && weight.is_none() {
            return None;
        }
        let method = (usize::from(envelope.method), envelope.method()?);
        Some(Arrived { scope, method, trace, queued_at: self.queued_at, weight })
    }

    /// Takes what is left of it.
    pub(crate) fn split_off(&mut self) -> Self {
        Self::new(Arc::clone(&self.scope), std::mem::take(&mut self.calls), self.queued_at)
    }

    /// Whether so many calls of `scope` can join these.
    fn takes(&self, scope: &Arc<CallScope>, count: usize) -> bool {
        self.calls.len() + count <= BATCH && Arc::ptr_eq(&self.scope, scope)
    }

    /// Answers all calls: they will not run.
    pub(crate) fn refuse(mut self, failure: &Failure) {
        self.count_refused();
        for envelope in std::mem::take(&mut self.calls) {
            self.refuse_one(envelope, failure.clone());
        }
    }

    fn count_refused(&self) {
        let one_way = self.calls.iter().filter(|envelope| envelope.is_one_way()).count();
        self.scope.finish_one_way(OneWays { refused: one_way as u64, ..OneWays::default() });
    }
}

impl<C: Contract> Drop for Batch<C> {
    /// Replies answer for themselves when they are dropped; one-way sends have none.
    fn drop(&mut self) {
        self.count_refused();
        let hears_of_all = self.scope.core.telemetry.hears_of_failures();
        for call in self.calls.iter().filter_map(|envelope| self.told_of(envelope, hears_of_all)) {
            call.refused(&unanswered(false));
        }
    }
}

impl<C: Contract> Inbox<C> {
    /// So many places; `events` hears of refusals for want of one.
    pub(crate) fn new(capacity: usize, events: Arc<Chronicle>) -> Self {
        let queue = Queue {
            waiting: VecDeque::new(),
            taken: None,
            recent: Recent::default(),
            spare: Vec::new(),
            working: None,
            actor: None,
            told: false,
            closed: None,
        };
        Self {
            slots: Semaphore::new(capacity),
            capacity,
            queue: Mutex::new(queue),
            pace: Pace::default(),
            age: Arc::default(),
            events,
            refusals: pace::Pace::new(1, OVERLOAD_EVERY),
        }
    }

    /// How many calls hold a slot: waiting or running.
    pub(crate) fn occupied(&self) -> usize {
        self.capacity.saturating_sub(self.slots.available_permits())
    }

    pub(crate) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// How long the oldest call that waits has waited; those in the actor's hand count, as they wait for each other.
    pub(crate) fn oldest(&self, now: Instant) -> Duration {
        let queue = self.queue.lock();
        let oldest = queue.working.or_else(|| queue.waiting.front().map(|batch| batch.queued_at));
        oldest.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Takes slots for calls that come with so little waiting before them that none can be late for it, if the slots are
    /// free now.
    pub(crate) fn admit_at_once(&self, count: usize) -> bool {
        self.pace.wait() < OLDEST_MAX && self.try_admit(count)
    }

    /// Takes `count` slots if they are free now.
    pub(crate) fn try_admit(&self, count: usize) -> bool {
        let Ok(count) = u32::try_from(count) else { return false };
        self.slots.try_acquire_many(count).map(tokio::sync::SemaphorePermit::forget).is_ok()
    }

    /// Takes a slot for a call that came at `since`: waits for one until `deadline`, but not past [`OLDEST_MAX`], and
    /// not at all if the queue is already too old.
    pub(crate) async fn admit(&self, deadline: Instant, since: Instant) -> Result<(), Failure> {
        let (wait, now) = (self.pace.wait(), Instant::now());
        if wait >= OLDEST_MAX && wait > deadline.saturating_duration_since(now).mul_f32(WAIT_SHARE_MAX) {
            return Err(self.hopeless(wait));
        }
        if self.try_admit(1) {
            return Ok(());
        }
        let oldest = self.oldest(now);
        if oldest > OLDEST_MAX {
            return Err(self.overloaded(oldest));
        }
        match timeout_at(deadline.min(since + OLDEST_MAX), self.slots.acquire()).await {
            Ok(Ok(permit)) => {
                permit.forget();
                Ok(())
            }
            Ok(Err(_)) => Err(self.closed_failure()),
            Err(_) => Err(self.overloaded(self.oldest(Instant::now()))),
        }
    }

    /// Takes a slot for a one-way send, which waits as long as it takes.
    pub(crate) async fn admit_patiently(&self) -> Result<(), Failure> {
        match self.slots.acquire().await {
            Ok(permit) => {
                permit.forget();
                Ok(())
            }
            Err(_) => Err(self.closed_failure()),
        }
    }

    /// Gives slots back.
    pub(crate) fn release(&self, count: usize) {
        self.slots.add_permits(count);
    }

    /// Queues calls whose slots are taken, which empties `calls`. If the service has stopped, they are refused.
    pub(crate) fn push(&self, scope: &Arc<CallScope>, calls: &mut VecDeque<Envelope<C>>, now: Instant) {
        let mut queue = self.queue.lock();
        if let Some(failure) = queue.closed.clone() {
            drop(queue);
            self.release(calls.len());
            Batch::new(Arc::clone(scope), std::mem::take(calls), now).refuse(&failure);
            return;
        }
        self.pace.waiting.fetch_add(calls.len(), Relaxed);
        match queue.waiting.back_mut() {
            Some(last) if last.takes(scope, calls.len()) => last.calls.append(calls),
            _ => {
                let room = queue.spare.pop().unwrap_or_default();
                let calls = std::mem::replace(calls, room);
                queue.waiting.push_back(Batch::new(Arc::clone(scope), calls, now));
            }
        }
        queue.tell();
    }

    /// Queues one call whose slot is taken.
    pub(crate) fn push_one(&self, scope: &Arc<CallScope>, envelope: Envelope<C>, now: Instant) {
        self.push(scope, &mut VecDeque::from([envelope]), now);
    }

    /// A new life of the actor takes over the queue.
    pub(crate) fn attach(&self, actor: ActorRef<ServiceMessage>) {
        let mut queue = self.queue.lock();
        queue.actor = Some(actor);
        queue.told = false;
        // What a former life had in hand has been put back, or has ended.
        queue.working = None;
        queue.taken = None;
        if !queue.waiting.is_empty() {
            queue.tell();
        }
    }

    /// The next calls, in order; none when the queue is empty.
    pub(crate) fn take(&self, now: Instant) -> Option<Batch<C>> {
        let mut queue = self.queue.lock();
        let Some(batch) = queue.waiting.pop_front() else {
            self.rest(queue);
            return None;
        };
        self.pace.waiting.fetch_sub(batch.calls.len(), Relaxed);
        queue.taken = Some(Taken { at: now, calls: batch.calls.len() });
        queue.working = Some(batch.queued_at);
        drop(queue);
        let waited = now.saturating_duration_since(batch.queued_at).as_micros();
        self.age.store(u64::try_from(waited).unwrap_or(u64::MAX), Relaxed);
        Some(batch)
    }

    /// The calls that were taken are done, and this is their empty buffer. Whether there are more; if not, the actor is told
    /// anew of the next one.
    pub(crate) fn done(&self, buffer: VecDeque<Envelope<C>>, now: Instant) -> bool {
        let mut queue = self.queue.lock();
        if let Some(taken) = queue.taken.take() {
            queue.recent.took(now.saturating_duration_since(taken.at), taken.calls);
            self.pace.cost.store(queue.recent.cost(), Relaxed);
        }
        if queue.waiting.is_empty() {
            self.rest(queue);
            return false;
        }
        if queue.spare.len() < SPARE && buffer.capacity() > 0 {
            queue.spare.push(buffer);
        }
        true
    }

    /// There is nothing to do.
    fn rest(&self, mut queue: MutexGuard<'_, Queue<C>>) {
        queue.told = false;
        queue.working = None;
        queue.spare = Vec::new();
        drop(queue);
        self.age.store(0, Relaxed);
    }

    /// Puts back what was taken and has not begun, in its old order.
    pub(crate) fn put_back(&self, batch: Batch<C>) {
        let mut queue = self.queue.lock();
        let Some(failure) = queue.closed.clone() else {
            queue.working = None;
            self.pace.waiting.fetch_add(batch.calls.len(), Relaxed);
            if let Some(taken) = &mut queue.taken {
                taken.calls = taken.calls.saturating_sub(batch.calls.len());
            }
            queue.waiting.push_front(batch);
            return;
        };
        drop(queue);
        self.release(batch.calls.len());
        batch.refuse(&failure);
    }

    /// Refuses everything that waits, and all that comes, with `failure`.
    pub(crate) fn close(&self, failure: Failure) {
        let mut queue = self.queue.lock();
        queue.closed = Some(failure.clone());
        queue.actor = None;
        let waiting = std::mem::take(&mut queue.waiting);
        self.pace.waiting.store(0, Relaxed);
        drop(queue);
        self.slots.close();
        for batch in waiting {
            self.release(batch.calls.len());
            batch.refuse(&failure);
        }
    }

    /// Whether it takes no call any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.slots.is_closed()
    }

    fn closed_failure(&self) -> Failure {
        let closed = self.queue.lock().closed.clone();
        closed.unwrap_or_else(|| Failure::not_executed(Reason::Unavailable, "the service has stopped"))
    }

    #[cold]
    fn hopeless(&self, wait: Duration) -> Failure {
        self.tell_overload(wait);
        let detail = format!(
            "{} would begin the call after about {} ms, too late for its deadline",
            C::NAME,
            wait.as_millis()
        );
        Failure::not_executed(Reason::Overloaded, detail)
    }

    #[cold]
    fn overloaded(&self, oldest: Duration) -> Failure {
        self.tell_overload(oldest);
        let detail = format!(
            "the queue of {} is full: {} calls, the oldest waits for {} ms",
            C::NAME,
            self.capacity,
            oldest.as_millis()
        );
        Failure::not_executed(Reason::Overloaded, detail)
    }

    fn tell_overload(&self, wait: Duration) {
        self.events.tell_at(&self.refusals, || MeshEvent::ServiceOverloaded {
            service: C::NAME.to_owned(),
            depth: self.occupied() as u64,
            capacity: self.capacity as u64,
            wait_ms: millis(wait),
        });
    }
}

impl Pace {
    /// How long a call would wait that is queued now.
    #[inline]
    fn wait(&self) -> Duration {
        let calls = self.waiting.load(Relaxed) as u64;
        Duration::from_nanos(calls.saturating_mul(self.cost.load(Relaxed)))
    }
}

impl Recent {
    /// So many calls took the actor so long.
    fn took(&mut self, time: Duration, calls: usize) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / PACE_OVER);
        self.nanos = (self.nanos - self.nanos / PACE_OVER).saturating_add(nanos);
        self.calls = (self.calls - self.calls / PACE_OVER).saturating_add(calls as u64 * 1000);
    }

    /// What a call took, in nanoseconds; 0 if that is not known.
    fn cost(&self) -> u64 {
        self.nanos.saturating_mul(1000).checked_div(self.calls).unwrap_or(0)
    }
}

impl<C: Contract> Queue<C> {
    /// Sends the actor its one message, unless it is on its way already.
    fn tell(&mut self) {
        if self.told {
            return;
        }
        if let Some(actor) = &self.actor {
            // A dead actor's successor is told when it attaches.
            self.told = actor.cast(ServiceMessage::Work).is_ok();
        }
    }
}

// === impl Inbox ===

impl<C: Contract> fmt::Debug for Inbox<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("occupied", &self.occupied()).field("capacity", &self.capacity).finish()
    }
}
