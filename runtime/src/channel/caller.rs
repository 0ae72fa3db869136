//! The calling end of a call channel.
//!
//! Calls are encoded on the caller's task and appended to the outbox; the channel's loop writes what has gathered, and
//! hands each reply to the caller that waits for it. No timer per call: the loop looks at the deadlines every
//! [`TICK`] while calls are under way.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use qmesh_transport::ChannelWriter;
use slab::Slab;
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep},
};

use crate::{
    channel::{HIGH_WATER, head::Head, lost, open},
    counters::{OneWayCounts, OneWayTally},
    failure::{Failure, Reason},
    service::RawReply,
    wire::{
        frame::{self, Chunk, FrameError, Frames, kind, status},
        messages::Opened,
        outbox::Outbox,
    },
};

/// How late a call may learn that its time is over.
const TICK: Duration = Duration::from_millis(5);

/// Halve what is believed of an endpoint's queue each time that it was passed over so often.
const PASSED_OVER_MAX: u32 = 8;
/// Bytes of calls that may be queued towards a peer that does not read.
const QUEUED_MAX: usize = 32 << 20;

/// The calling end of one channel.
#[derive(Debug)]
pub(crate) struct ChannelCaller {
    outbox: Outbox,
    pending: Mutex<Pending>,
    /// Wakes the loop's watch over the deadlines.
    timed: Notify,
    credit: Credit,
    opened: Opened,
    load: Arc<Load>,
    ended: AtomicBool,
    /// The session is replaced: finish what runs, begin nothing.
    retired: AtomicBool,
    /// It ended otherwise than by being retired and having finished.
    lost: AtomicBool,
}

#[derive(Debug, Default)]
struct Pending {
    calls: Slab<Slot>,
    /// The loop watches the deadlines.
    watched: bool,
    ended: Option<String>,
}

#[derive(Debug)]
enum Slot {
    Waiting {
        to: oneshot::Sender<Answer>,
        deadline: Instant,
        /// Where the call begins in the outbox's stream of bytes.
        at: u64,
    },
    /// Nobody waits any more, but the id is taken until the reply has come.
    Abandoned,
}

/// One-way sends: how many went out, and how many the service has acknowledged.
#[derive(Debug, Default)]
struct Credit {
    sent: AtomicU64,
    acknowledged: AtomicU64,
    /// The last acknowledgement: handled, refused, unknown.
    became: Mutex<[u64; 3]>,
    granted: Notify,
    /// Where the sums go when the channel has ended.
    tally: Arc<OneWayTally>,
}

/// What an endpoint has to do, as far as this node knows: the calls of ours that it has not answered, times how long
/// calls wait in its queue.
#[derive(Debug, Default)]
pub(crate) struct Load {
    in_flight: AtomicU32,
    /// log2 of the microseconds that a call waited, from the last reply.
    queue_age: AtomicU32,
    /// How often this endpoint was passed over since.
    passed_over: AtomicU32,
}

/// A call under way. Dropping it cancels the call on the far node.
#[derive(Debug)]
pub(crate) struct InFlight {
    caller: Arc<ChannelCaller>,
    id: usize,
    /// Tells this call from a later one of the same id.
    at: u64,
    reply: oneshot::Receiver<Answer>,
    done: bool,
}

/// A call that is to begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outbound<'a> {
    pub(crate) method: usize,
    pub(crate) head: &'a Head,
    pub(crate) arguments: &'a [u8],
    pub(crate) deadline: Instant,
}

/// What came of an attempt.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) result: Result<RawReply, Failure>,
    /// How many repeats the service and all below it spent; none if it did not say.
    pub(crate) spent: Option<u32>,
}

/// What came of trying to send one way without waiting.
#[derive(Debug)]
pub(crate) enum TrySend {
    Sent,
    /// Wait for credit or room, then try again.
    Full,
    Failed(Failure),
}

impl ChannelCaller {
    pub(crate) fn new(opened: Opened, load: Arc<Load>, tally: Arc<OneWayTally>) -> Self {
        Self {
            outbox: Outbox::new(HIGH_WATER),
            pending: Mutex::default(),
            timed: Notify::new(),
            credit: Credit { tally, ..Credit::default() },
            opened,
            load,
            ended: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            lost: AtomicBool::new(false),
        }
    }

    /// Whether new calls may begin here.
    pub(crate) fn is_live(&self) -> bool {
        !self.ended.load(Acquire) && !self.retired.load(Relaxed)
    }

    /// Whether it ended before everything on it had an answer, or without being retired.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Acquire)
    }

    /// Begins no further call; the channel ends when those under way have their replies.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Relaxed);
        self.timed.notify_one();
    }

    /// Whether calls are unanswered, or one-way sends unacknowledged.
    pub(crate) fn is_busy(&self) -> bool {
        self.is_sending() || (!self.ended.load(Relaxed) && !self.pending.lock().calls.is_empty())
    }

    /// Whether one-way sends are unacknowledged.
    pub(crate) fn is_sending(&self) -> bool {
        !self.ended.load(Relaxed) && self.credit.outstanding() > 0
    }

    /// Whether the service has no answer to this method.
    pub(crate) fn is_one_way(&self, method: usize) -> bool {
        self.opened.methods.get(method).is_some_and(|method| method.one_way)
    }

    /// Whether the service, too, says that its method may run twice.
    pub(crate) fn is_idempotent(&self, method: usize) -> bool {
        self.opened.methods.get(method).is_some_and(|method| method.idempotent)
    }

    /// Why this node may not send one way, if it may not.
    fn forbidden(&self, method: usize) -> Option<&str> {
        let forbidden = &self.opened.methods.get(method)?.forbidden;
        (!forbidden.is_empty()).then_some(forbidden)
    }

    /// Why the service refuses calls of this method, if it does.
    #[inline]
    fn check(&self, method: usize, head: &Head, length: usize) -> Result<(), Failure> {
        open::check(&self.opened, method)?;
        open::check_size(&self.opened, head, length).map(drop)
    }

    /// Begins a call. It is queued when this returns.
    pub(crate) fn start(self: &Arc<Self>, call: Outbound<'_>, now: Instant) -> Result<InFlight, Failure> {
        let Outbound { method, head, arguments, deadline } = call;
        self.check(method, head, arguments.len())?;
        let remaining = deadline.saturating_duration_since(now).as_millis().clamp(1, u64::MAX.into());
        let remaining = u64::try_from(remaining).unwrap_or(u64::MAX);
        let (to, reply) = oneshot::channel();
        let mut pending = self.pending.lock();
        if let Some(why) = &pending.ended {
            return Err(Failure::not_sent(Reason::ConnectionLost, why.clone()));
        }
        if pending.calls.len() as u64 >= self.opened.calls_max {
            let detail = format!("{} calls are unanswered on this channel, its limit", self.opened.calls_max);
            return Err(Failure::not_sent(Reason::Overloaded, detail));
        }
        let entry = pending.calls.vacant_entry();
        let id = entry.key();
        let mut room = true;
        let pushed = self.outbox.push_below(QUEUED_MAX, &mut room, |buffer| {
            frame::put(buffer, kind::CALL, |buffer| {
                frame::put_varint(buffer, id as u64);
                head.put(buffer, method);
                frame::put_varint(buffer, remaining);
                buffer.extend_from_slice(arguments);
            });
        });
        let Ok(at) = pushed else {
            return Err(Failure::not_sent(Reason::ConnectionLost, "the channel has ended"));
        };
        if !room {
            return Err(Failure::not_sent(Reason::Overloaded, "the peer reads too slowly"));
        }
        entry.insert(Slot::Waiting { to, deadline, at });
        let watched = std::mem::replace(&mut pending.watched, true);
        drop(pending);
        if !watched {
            self.timed.notify_one();
        }
        self.load.in_flight.fetch_add(1, Relaxed);
        Ok(InFlight { caller: Arc::clone(self), id, at, reply, done: false })
    }

    /// Sends one way if the service's credit and the outbox have room now.
    pub(crate) fn try_send(&self, method: usize, head: &Head, arguments: &[u8]) -> TrySend {
        if let Err(failure) = self.check(method, head, arguments.len()) {
            return TrySend::Failed(failure);
        }
        let limit = self.credit.acknowledged.load(Relaxed).saturating_add(self.opened.one_way_window);
        let mut sent = false;
        let pushed = self.outbox.push(|buffer| {
            // Counted under the outbox's lock alone.
            let before = self.credit.sent.load(Relaxed);
            if before >= limit || buffer.len() > self.outbox.high_water() {
                return;
            }
            self.credit.sent.store(before + 1, Relaxed);
            sent = true;
            frame::put(buffer, kind::ONE_WAY, |buffer| {
                head.put(buffer, method);
                buffer.extend_from_slice(arguments);
            });
        });
        match pushed {
            // It went out all the same, for the service to count.
            Ok(_) if sent => match self.forbidden(method) {
                Some(why) => TrySend::Failed(Failure::not_executed(Reason::Refused, why)),
                None => TrySend::Sent,
            },
            Ok(_) => TrySend::Full,
            Err(_) => TrySend::Failed(Failure::not_sent(Reason::ConnectionLost, "the channel has ended")),
        }
    }

    /// Waits until a one-way send may have room, or the channel has ended.
    pub(crate) async fn send_room(&self) {
        loop {
            let granted = self.credit.granted.notified();
            tokio::pin!(granted);
            granted.as_mut().enable();
            if self.ended.load(Relaxed) || self.credit.has(self.opened.one_way_window) {
                break;
            }
            granted.await;
        }
        self.outbox.room().await;
    }

    /// Only while the pending calls are locked: once the reply has come, the id may be another call's.
    fn cancel(&self, id: usize) {
        // Without the channel there is nothing left to cancel.
        let _ended = self.outbox.push(|buffer| {
            frame::put(buffer, kind::CANCEL, |buffer| frame::put_varint(buffer, id as u64));
        });
    }

    /// Ends the channel: calls that the writer never took are *not sent*, all others *unknown* for the reason of `why`.
    pub(crate) fn end(&self, why: &Failure) {
        let taken = self.outbox.close();
        let in_order = self.ended.load(Relaxed) || (self.retired.load(Relaxed) && !self.is_busy());
        self.lost.fetch_or(!in_order, Release);
        if !self.ended.swap(true, AcqRel) {
            self.credit.close();
        }
        let mut pending = self.pending.lock();
        pending.ended.get_or_insert_with(|| why.detail().to_owned());
        let calls = std::mem::take(&mut pending.calls);
        drop(pending);
        self.credit.granted.notify_waiters();
        self.timed.notify_one();
        for (_, slot) in calls {
            let Slot::Waiting { to, at, .. } = slot else { continue };
            let failure = if at >= taken {
                Failure::not_sent(Reason::ConnectionLost, why.detail())
            } else {
                why.clone()
            };
            drop(to.send(Answer::none(failure)));
        }
    }

    /// Runs the channel until it ends; returns why, as the failure of calls that the service may have got.
    pub(crate) async fn run(self: Arc<Self>, mut frames: Frames, mut writer: ChannelWriter) -> Failure {
        let why = {
            tokio::select! {
                biased;
                ended = self.read(&mut frames) => match ended {
                    Ok(()) => lost::lost("the service closed the channel"),
                    Err(error) => lost::unread(&error),
                },
                ended = self.outbox.write_to(&mut writer) => match ended {
                    Ok(()) => lost::lost("the channel was closed here"),
                    Err(error) => lost::unwritten(&error),
                },
                () = self.watch_deadlines() => lost::lost("the channel was retired"),
            }
        };
        // A channel that was retired ends in order; one that is broken cannot.
        drop(writer.finish());
        why
    }

    async fn read(&self, frames: &mut Frames) -> Result<(), FrameError> {
        let ended = self.read_all(frames).await;
        ended.inspect_err(|error| frames.stop(error.reset_code()))
    }

    async fn read_all(&self, frames: &mut Frames) -> Result<(), FrameError> {
        while let Some(mut chunk) = frames.next().await? {
            while let Some((kind, payload)) = chunk.next() {
                self.receive(kind, &chunk, payload)?;
            }
        }
        Ok(())
    }

    pub(crate) fn receive(
        &self,
        kind: u8,
        chunk: &Chunk,
        payload: std::ops::Range<usize>,
    ) -> Result<(), FrameError> {
        let end = payload.end;
        let mut bytes = &chunk.bytes[payload];
        match kind {
            kind::REPLY => {
                let id = frame::take_varint(&mut bytes, kind)?;
                let status = frame::take_u8(&mut bytes, kind)?;
                let age = frame::take_u8(&mut bytes, kind)?;
                self.load.replied(age);
                let (status, spent) = take_spent(status, &mut bytes)?;
                let body = chunk.bytes.slice(end - bytes.len()..end);
                self.reply(id, (status, body), spent)
            }
            kind::ACKNOWLEDGE => {
                let mut became = [0; 3];
                for count in &mut became {
                    *count = frame::take_varint(&mut bytes, kind)?;
                }
                self.credit.acknowledge(became).ok_or(FrameError::Malformed(kind))
            }
            other => Err(FrameError::Unexpected(other)),
        }
    }

    /// A reply to a call that nobody made breaks the protocol.
    fn reply(&self, id: u64, (status, body): (u8, Bytes), spent: u32) -> Result<(), FrameError> {
        let slot = usize::try_from(id).ok().and_then(|id| self.pending.lock().calls.try_remove(id));
        let Some(slot) = slot else { return Err(FrameError::Malformed(kind::REPLY)) };
        let Slot::Waiting { to, .. } = slot else { return Ok(()) };
        let result = RawReply::read(status, body)?;
        // Its caller may have gone this very moment.
        drop(to.send(Answer { result, spent: Some(spent) }));
        Ok(())
    }

    /// Ends calls whose time is over. Returns when a retired channel has nothing left to wait for.
    async fn watch_deadlines(&self) {
        loop {
            let idle = {
                let mut pending = self.pending.lock();
                pending.watched = !pending.calls.is_empty();
                !pending.watched
            };
            if idle {
                if !self.retired.load(Relaxed) {
                    self.timed.notified().await;
                } else if self.is_busy() {
                    // The last acknowledgement is still to come.
                    sleep(TICK).await;
                } else {
                    return;
                }
                continue;
            }
            sleep(TICK).await;
            self.expire(Instant::now());
        }
    }

    fn expire(&self, now: Instant) {
        let mut expired = Vec::new();
        {
            let mut pending = self.pending.lock();
            for (id, slot) in &mut pending.calls {
                if matches!(slot, Slot::Waiting { deadline, .. } if *deadline <= now) {
                    self.cancel(id);
                    expired.push(std::mem::replace(slot, Slot::Abandoned));
                }
            }
        }
        for slot in expired {
            if let Slot::Waiting { to, .. } = slot {
                drop(to.send(Answer::none(Failure::unanswered_in_time())));
            }
        }
    }
}

/// The status without its flag, and the repeats that were spent.
pub(crate) fn take_spent(with_flag: u8, payload: &mut &[u8]) -> Result<(u8, u32), FrameError> {
    if with_flag & status::SPENT == 0 {
        return Ok((with_flag, 0));
    }
    let spent = frame::take_varint(payload, kind::REPLY)?;
    Ok((with_flag & !status::SPENT, u32::try_from(spent).unwrap_or(u32::MAX)))
}

impl Slot {
    const fn is_at(&self, place: u64) -> bool {
        matches!(self, Self::Waiting { at, .. } if *at == place)
    }
}

// === impl Answer ===

impl Answer {
    /// The channel ended, and its loop told nobody why.
    pub(crate) fn without_a_word() -> Self {
        Self::none(Failure::unknown(Reason::ConnectionLost, "the channel ended without a word"))
    }

    /// No reply came.
    const fn none(failure: Failure) -> Self {
        Self { result: Err(failure), spent: None }
    }
}

// === impl InFlight ===

impl Future for InFlight {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = std::task::ready!(Pin::new(&mut self.reply).poll(cx));
        self.done = true;
        Poll::Ready(answer.unwrap_or_else(|_| Answer::without_a_word()))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.caller.load.in_flight.fetch_sub(1, Relaxed);
        if self.done {
            return;
        }
        let mut pending = self.caller.pending.lock();
        let own = pending.calls.get_mut(self.id).filter(|slot| slot.is_at(self.at));
        if let Some(slot) = own {
            self.caller.cancel(self.id);
            *slot = Slot::Abandoned;
        }
    }
}

// === impl Credit ===

impl Credit {
    fn has(&self, window: u64) -> bool {
        self.outstanding() < window
    }

    fn outstanding(&self) -> u64 {
        self.sent.load(Relaxed).saturating_sub(self.acknowledged.load(Relaxed))
    }

    /// The channel has ended: nothing more is sent, and nothing more is heard.
    fn close(&self) {
        let (accepted, lost) = (self.sent.load(Relaxed), self.outstanding());
        let [handled, refused, unknown] = *self.became.lock();
        self.tally.add(OneWayCounts { accepted, handled, refused, unknown, lost });
    }

    /// `None` when more is acknowledged than was sent, or less than before.
    fn acknowledge(&self, became: [u64; 3]) -> Option<()> {
        let done = became.iter().fold(0, |sum: u64, count| sum.saturating_add(*count));
        if done > self.sent.load(Relaxed) || done < self.acknowledged.load(Relaxed) {
            return None;
        }
        self.acknowledged.store(done, Relaxed);
        *self.became.lock() = became;
        self.granted.notify_waiters();
        Some(())
    }
}

// === impl Load ===

impl Load {
    fn replied(&self, age: u8) {
        self.queue_age.store(age.into(), Relaxed);
    }

    /// Another endpoint was taken. One that is never taken has no replies, so what its last one said must fade, or
    /// one slow moment would shut it out for ever.
    pub(crate) fn passed_over(&self) {
        if self.passed_over.fetch_add(1, Relaxed) % PASSED_OVER_MAX == PASSED_OVER_MAX - 1 {
            // A reply that comes this very moment says more; losing this step to it is right.
            self.queue_age.store(self.queue_age.load(Relaxed).saturating_sub(1), Relaxed);
        }
    }

    /// Smaller is better.
    #[inline]
    pub(crate) fn score(&self) -> u64 {
        let age = self.queue_age.load(Relaxed).min(40);
        u64::from(self.in_flight.load(Relaxed) + 1) << age
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::{failure::Outcome, wire::messages::OpenedMethod};

    impl ChannelCaller {
        /// Takes the frames that were queued.
        pub(crate) async fn written(&self) -> Bytes {
            self.outbox.take().await.expect("something was queued")
        }

        /// Takes in frames of the service.
        pub(crate) fn told(&self, mut chunk: Chunk) -> Result<(), FrameError> {
            while let Some((kind, payload)) = chunk.next() {
                self.receive(kind, &chunk, payload)?;
            }
            Ok(())
        }
    }

    fn caller() -> Arc<ChannelCaller> {
        let methods = vec![OpenedMethod::default(); 2];
        let opened =
            Opened { methods, one_way_window: 2, calls_max: 2, message_bytes_max: 8, metadata_bytes_max: 8 };
        Arc::new(ChannelCaller::new(opened, Arc::default(), Arc::default()))
    }

    const USUAL: &Head = &Head::USUAL;

    fn begin(caller: &Arc<ChannelCaller>, arguments: &[u8]) -> Result<InFlight, Failure> {
        let now = Instant::now();
        let deadline = now + Duration::from_secs(1);
        caller.start(Outbound { method: 0, head: USUAL, arguments, deadline }, now)
    }

    fn start(caller: &Arc<ChannelCaller>) -> Result<InFlight, Failure> {
        begin(caller, b"args")
    }

    fn answer(caller: &ChannelCaller, id: u64) -> Result<(), FrameError> {
        caller.reply(id, (status::VALUE, Bytes::from_static(b"answer")), 0)
    }

    #[tokio::test(start_paused = true)]
    async fn replies_find_their_calls_in_any_order() {
        let caller = caller();
        let (first, second) = (start(&caller).unwrap(), start(&caller).unwrap());
        answer(&caller, 1).unwrap();
        answer(&caller, 0).unwrap();
        assert_eq!(second.await.result.unwrap().body, "answer");
        assert_eq!(first.await.result.unwrap().body, "answer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_to_a_call_that_nobody_made_breaks_the_protocol() {
        let caller = caller();
        assert_eq!(answer(&caller, 0), Err(FrameError::Malformed(kind::REPLY)));
        let call = start(&caller).unwrap();
        answer(&caller, 0).unwrap();
        assert_eq!(answer(&caller, 0), Err(FrameError::Malformed(kind::REPLY)), "answered twice");
        call.await.result.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_id_is_not_used_anew_before_its_reply_has_come() {
        let caller = caller();
        drop(start(&caller).unwrap());
        let second = start(&caller).unwrap();
        assert_eq!(second.id, 1, "0 is abandoned, not free");
        answer(&caller, 0).unwrap();
        assert_eq!(start(&caller).unwrap().id, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_past_a_bound_are_not_sent() {
        let caller = caller();
        let _held = (start(&caller).unwrap(), start(&caller).unwrap());
        let full = start(&caller).unwrap_err();
        assert_eq!((full.outcome(), full.reason()), (Outcome::NotSent, Reason::Overloaded));
        let large = begin(&caller, b"too large").unwrap_err();
        assert_eq!((large.outcome(), large.reason()), (Outcome::NotSent, Reason::TooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_tells_what_was_sent_from_what_was_not() {
        let caller = caller();
        let sent = start(&caller).unwrap();
        caller.outbox.take().await.unwrap();
        let queued = start(&caller).unwrap();
        caller.end(&lost::lost("the peer fell silent"));
        assert_eq!(sent.await.result.unwrap_err().outcome(), Outcome::Unknown);
        assert_eq!(queued.await.result.unwrap_err().outcome(), Outcome::NotSent);
        assert_eq!(start(&caller).unwrap_err().outcome(), Outcome::NotSent);
    }

    #[tokio::test(start_paused = true)]
    async fn one_way_sends_wait_for_the_acknowledgement() {
        let caller = caller();
        assert!(matches!(caller.try_send(1, USUAL, b"one"), TrySend::Sent));
        assert!(matches!(caller.try_send(1, USUAL, b"two"), TrySend::Sent));
        assert!(matches!(caller.try_send(1, USUAL, b"three"), TrySend::Full));
        assert_eq!(caller.credit.acknowledge([1, 0, 0]), Some(()));
        assert!(matches!(caller.try_send(1, USUAL, b"three"), TrySend::Sent));
        assert_eq!(caller.credit.acknowledge([1, 2, 1]), None, "more than was sent");
        assert_eq!(caller.credit.acknowledge([0, 0, 0]), None, "less than before");
    }

    #[test]
    fn a_frame_of_another_kind_is_unexpected() {
        let mut bytes = BytesMut::new();
        frame::put(&mut bytes, kind::GOSSIP, |_| {});
        let caller = caller();
        let mut chunk = Chunk::of(bytes.freeze());
        let (kind, payload) = chunk.next().unwrap();
        assert_eq!(caller.receive(kind, &chunk, payload), Err(FrameError::Unexpected(kind::GOSSIP)));
    }
}
