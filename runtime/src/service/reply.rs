//! Where the answer of a call goes: a value in this process, bytes to another one.
//!
//! A reply that is dropped unanswered says what is true: *not executed* if its handler never began, else *unknown*.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    thread,
};

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use prost::Message;
use qmesh_transport::{ChannelWriter, WriteError};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::{
    call_tree,
    channel::{HIGH_WATER, failure_code},
    codec::{Codec, EncodeError},
    failure::{Failure, Reason},
    layer::LayeredAnswer,
    service::Cancel,
    wire::{
        frame::{self, FrameError, kind, status},
        messages::WireFailure,
        outbox::{Outbox, OutboxClosed},
        unread::Unread,
    },
};

/// The error of a method that has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Never {}

/// An answer, or why there is none, and how many repeats the handler and all below it spent.
pub(crate) type Settled<T> = (Result<T, Failure>, u32);

/// What a local caller waits for.
pub(crate) type LocalAnswer<T, E> = Settled<Result<T, E>>;

/// Where the answer of one call goes.
#[derive(Debug)]
pub struct Reply<T, E> {
    to: Option<To<T, E>>,
    began: bool,
}

#[derive(Debug)]
enum To<T, E> {
    Local(oneshot::Sender<LocalAnswer<T, E>>),
    Wire(Responder, Codec),
}

/// One call's place on the channel that it came by.
#[derive(Debug)]
pub struct Responder(Target);

#[derive(Debug)]
enum Target {
    Call(Arc<Replies>, u32),
    /// A call whose answer does not go straight to a channel: it has none, or layers are in between.
    Single(oneshot::Sender<Settled<RawReply>>),
}

/// An answer that came, or would go, over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawReply {
    pub(crate) status: u8,
    pub(crate) body: Bytes,
}

impl RawReply {
    /// An answer as it came; a failure is decoded.
    ///
    /// # Errors
    /// It breaks the protocol.
    pub(crate) fn read(status: u8, body: Bytes) -> Result<Result<Self, Failure>, FrameError> {
        match status {
            status::VALUE | status::SERVICE_ERROR => Ok(Ok(Self { status, body })),
            status::FAILURE => {
                let wire =
                    WireFailure::decode(body).map_err(|_malformed| FrameError::Malformed(kind::REPLY))?;
                Ok(Err(failure_code::from_wire(wire)))
            }
            _ => Err(FrameError::Malformed(kind::REPLY)),
        }
    }

    /// Whether it is the service's own error.
    pub(crate) fn as_result(&self) -> Result<&Self, &Self> {
        if self.status == status::VALUE { Ok(self) } else { Err(self) }
    }

    /// The answer `value`.
    pub(crate) fn of(codec: Codec, value: &impl Serialize) -> Result<Self, Failure> {
        Ok(Self { status: status::VALUE, body: codec.encode(value)?.into() })
    }
}

impl LayeredAnswer for RawReply {
    fn is_service_error(&self) -> bool {
        self.status == status::SERVICE_ERROR
    }
}

/// The answering side of one channel.
#[derive(Debug)]
pub(crate) struct Replies {
    pub(crate) outbox: Outbox,
    /// The calls that are queued or running, to cancel them.
    running: Mutex<Running>,
    /// How long the service's calls wait in its queue, in microseconds, for the callers' balance.
    queue_age: Arc<AtomicU64>,
    body_bytes_max: usize,
    one_way: OneWayTally,
    /// What the peer has not read, on all channels of its session.
    pub(crate) unread: Arc<Unread>,
    /// What of it waits on this channel.
    waiting: AtomicUsize,
}

/// A place for each call id; ids are small, as callers use them anew.
#[derive(Debug, Default)]
struct Running {
    calls: Vec<Place>,
    count: usize,
}

#[derive(Clone, Debug, Default)]
struct Place {
    /// Of the call that has the place, or of the last one, to be used anew.
    cancel: Option<Arc<Cancel>>,
    is_taken: bool,
}

/// One-way sends whose end has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OneWays {
    pub(crate) handled: u64,
    pub(crate) refused: u64,
    pub(crate) unknown: u64,
}

/// One-way sends: taken in = handled + refused + unknown + outstanding.
#[derive(Debug, Default)]
struct OneWayTally {
    taken: AtomicU64,
    refused: AtomicU64,
    unknown: AtomicU64,
    /// Those two, and those that were handled.
    done: AtomicU64,
    /// What the sender was told last of how many are done.
    acknowledged: AtomicU64,
}

/// Places that are kept where no call is under way, with what they had to be used anew.
const PLACES_KEPT: usize = 256;
/// Acknowledge at the latest after so many one-way sends.
const ACKNOWLEDGE_EVERY: u64 = 256;

impl<T, E> Reply<T, E> {
    pub(crate) fn local(to: oneshot::Sender<LocalAnswer<T, E>>) -> Self {
        Self { to: Some(To::Local(to)), began: false }
    }
}

impl<T: Serialize, E: Serialize> Reply<T, E> {
    /// The reply to a call that came over the wire.
    #[must_use]
    pub fn wire(responder: Responder, codec: Codec) -> Self {
        Self { to: Some(To::Wire(responder, codec)), began: false }
    }

    /// The handler begins: dropped from here on, the reply says *unknown*.
    #[must_use]
    pub const fn begin(mut self) -> Self {
        self.began = true;
        self
    }

    /// Answers with what the handler returned.
    pub fn answer(mut self, answer: Result<T, E>) {
        call_tree::answered(answer.is_ok());
        let Some(To::Wire(_, codec)) = self.to else {
            if let Some(To::Local(to)) = self.to.take() {
                // The caller may be gone.
                drop(to.send((Ok(answer), call_tree::spent())));
            }
            return;
        };
        // Taken once it is encoded: an answer whose `Serialize` panics is still answered.
        let mut send = |status, body: &[u8]| {
            if let Some(To::Wire(responder, _)) = self.to.take() {
                responder.send(status, body);
            }
        };
        let sent = match &answer {
            Ok(value) => codec.encode_in_scratch(value, |body| send(status::VALUE, body)),
            Err(error) => codec.encode_in_scratch(error, |body| send(status::SERVICE_ERROR, body)),
        };
        if let Err(error) = sent {
            call_tree::failed(Reason::BadReply);
            self.fail(not_encodable(&error), call_tree::spent());
        }
    }
}

impl<T, E> Reply<T, E> {
    /// Answers that the call did not run.
    pub fn refuse(mut self, failure: Failure) {
        self.fail(failure, 0);
    }

    fn fail(&mut self, failure: Failure, spent: u32) {
        match self.to.take() {
            Some(To::Local(to)) => drop(to.send((Err(failure), spent))),
            Some(To::Wire(responder, _)) => responder.fail(failure, spent),
            None => {}
        }
    }
}

impl<T, E> Drop for Reply<T, E> {
    fn drop(&mut self) {
        if self.to.is_none() {
            return;
        }
        // Dropped within another handler's poll, one that never began has spent nothing of that.
        let spent = if self.began { call_tree::spent() } else { 0 };
        self.fail(unanswered(self.began), spent);
    }
}

/// What a reply says that is dropped: *not executed* if its handler never began, else *unknown*.
pub(super) fn unanswered(began: bool) -> Failure {
    match (began, thread::panicking()) {
        (true, true) => Failure::unknown(Reason::Panicked, "the handler panicked"),
        (true, false) => Failure::unknown(Reason::Cancelled, "the handler was dropped before it answered"),
        (false, _) => Failure::not_executed(Reason::Unavailable, "the service stopped before the call began"),
    }
}

/// The handler ran, but its answer has no form in the codec.
pub(super) fn not_encodable(error: &EncodeError) -> Failure {
    let detail = format!("the handler ran, but its answer cannot be encoded: {error}");
    Failure::unknown(Reason::BadReply, detail)
}

/// The handler ran, but its answer is larger than allowed.
pub(super) fn too_large(length: usize, limit: usize) -> Failure {
    let detail = format!("the handler ran, but its answer is {length} bytes; the limit is {limit}");
    Failure::unknown(Reason::TooLarge, detail)
}

// === impl Responder ===

impl Responder {
    pub(crate) const fn call(replies: Arc<Replies>, call: u32) -> Self {
        Self(Target::Call(replies, call))
    }

    pub(crate) const fn single(to: oneshot::Sender<Settled<RawReply>>) -> Self {
        Self(Target::Single(to))
    }

    fn send(self, status: u8, body: &[u8]) {
        let spent = call_tree::spent();
        match self.0 {
            Target::Call(replies, call) => replies.send_answer(call, (status, body), spent),
            // The asker may be gone.
            Target::Single(to) => {
                drop(to.send((Ok(RawReply { status, body: Bytes::copy_from_slice(body) }), spent)));
            }
        }
    }

    fn fail(self, failure: Failure, spent: u32) {
        match self.0 {
            Target::Call(replies, call) => replies.send_failure(call, &failure, spent),
            Target::Single(to) => drop(to.send((Err(failure), spent))),
        }
    }
}

// === impl Replies ===

impl Replies {
    pub(crate) fn new(queue_age: Arc<AtomicU64>, body_bytes_max: usize, unread: Arc<Unread>) -> Self {
        Self {
            outbox: Outbox::new(HIGH_WATER),
            running: Mutex::default(),
            queue_age,
            body_bytes_max,
            one_way: OneWayTally::default(),
            unread,
            waiting: AtomicUsize::new(0),
        }
    }

    /// Whether the peer does not read what it is answered, here or on the other channels of its session.
    pub(crate) fn is_crowded(&self) -> bool {
        self.outbox.is_full() || self.unread.is_full()
    }

    /// Waits until it has read enough of it.
    pub(crate) async fn room(&self) {
        self.outbox.room().await;
        self.unread.room().await;
    }

    /// Writes what gathers until everything is written after the outbox has ended, or the channel has.
    pub(crate) async fn write_to(&self, writer: &mut ChannelWriter) -> Result<(), WriteError> {
        while let Some(batch) = self.outbox.take().await {
            let length = batch.len();
            writer.write_all(batch).await?;
            self.waiting.fetch_sub(length, AcqRel);
            self.unread.remove(length);
        }
        Ok(())
    }

    /// The channel has ended: nothing waits on it any more, and everything that its caller asked for is cancelled.
    pub(crate) fn end(&self) {
        self.outbox.close();
        self.unread.remove(self.waiting.swap(0, AcqRel));
        self.cancel_all();
    }

    /// Appends a frame. It waits for the peer until it is written.
    fn push(&self, kind: u8, write: impl FnOnce(&mut BytesMut)) -> Result<(), OutboxClosed> {
        let pushed = self.outbox.push(|buffer| {
            let before = buffer.len();
            frame::put(buffer, kind, write);
            // Counted under the outbox's lock: before it can be written, and never once the channel has ended.
            let length = buffer.len() - before;
            self.waiting.fetch_add(length, AcqRel);
            self.unread.add(length);
        });
        pushed.map(drop)
    }

    /// Calls that are queued or running.
    pub(crate) fn in_flight(&self) -> usize {
        self.running.lock().count
    }

    /// Enters a call. `None` if its id is taken or not below `limit`, which breaks the protocol.
    pub(crate) fn enter(&self, call: u32, limit: usize) -> Option<Arc<Cancel>> {
        let at = usize::try_from(call).ok().filter(|at| *at < limit)?;
        let mut running = self.running.lock();
        if running.calls.len() <= at {
            running.calls.resize_with(at + 1, Place::default);
        }
        let place = running.calls.get_mut(at).filter(|place| !place.is_taken)?;
        place.is_taken = true;
        // The last call may still be at work on it, or have been cancelled.
        let is_free =
            |cancel: &mut Arc<Cancel>| Arc::get_mut(cancel).is_some_and(|cancel| !cancel.is_cancelled());
        if !place.cancel.as_mut().is_some_and(is_free) {
            place.cancel = None;
        }
        let cancel = Arc::clone(place.cancel.get_or_insert_default());
        running.count += 1;
        Some(cancel)
    }

    /// Enters so many one-way sends.
    pub(crate) fn enter_one_way(&self, count: u64) {
        self.one_way.taken.fetch_add(count, AcqRel);
    }

    /// One-way sends that were entered, and whose end the sender was not told.
    pub(crate) fn unacknowledged(&self) -> u64 {
        let acknowledged = self.one_way.acknowledged.load(Acquire);
        self.one_way.taken.load(Acquire).saturating_sub(acknowledged)
    }

    pub(crate) fn cancel(&self, call: u32) {
        if let Some(Place { cancel: Some(cancel), is_taken: true }) =
            self.running.lock().calls.get(call as usize)
        {
            cancel.cancel();
        }
    }

    fn cancel_all(&self) {
        let places = std::mem::take(&mut self.running.lock().calls);
        for cancel in places.into_iter().filter(|place| place.is_taken).filter_map(|place| place.cancel) {
            cancel.cancel();
        }
    }

    fn leave(&self, call: u32) {
        let mut running = self.running.lock();
        if let Some(place) = running.calls.get_mut(call as usize).filter(|place| place.is_taken) {
            place.is_taken = false;
            running.count -= 1;
            if running.count == 0 && running.calls.len() > PLACES_KEPT {
                running.calls = Vec::new();
            }
        }
    }

    /// Answers, unless the answer is larger than allowed or than what the caller has left to read.
    pub(crate) fn send_answer(&self, call: u32, (status, body): (u8, &[u8]), spent: u32) {
        if body.len() > self.body_bytes_max {
            return self.send_failure(call, &too_large(body.len(), self.body_bytes_max), spent);
        }
        if !self.unread.fits(body.len()) {
            return self.send_failure(call, &self.unread.not_kept(body.len()), spent);
        }
        self.send(call, (status, body), spent);
    }

    fn send(&self, call: u32, (status, body): (u8, &[u8]), spent: u32) {
        let age = queue_age_byte(self.queue_age.load(Relaxed));
        let pushed = self.push(kind::REPLY, |buffer| {
            frame::put_varint(buffer, call.into());
            put_reply_head(buffer, status, age, spent);
            buffer.put_slice(body);
            // The id is free for the caller once it reads this.
            self.leave(call);
        });
        if pushed.is_err() {
            self.leave(call);
            tracing::trace!(target: "qmesh::service", call, "the caller was gone before its answer");
        }
    }

    pub(crate) fn send_failure(&self, call: u32, failure: &Failure, spent: u32) {
        let body = failure_code::to_wire(failure).encode_to_vec();
        self.send(call, (status::FAILURE, &body), spent);
    }

    /// Counts one-way sends whose end has come, and tells the sender how far they have come: every so often, and when
    /// none is outstanding.
    pub(crate) fn finish_one_way(&self, ended: OneWays) {
        let OneWays { handled, refused, unknown } = ended;
        let count = handled + refused + unknown;
        if count == 0 {
            return;
        }
        let tally = &self.one_way;
        if refused + unknown > 0 {
            tally.refused.fetch_add(refused, Release);
            tally.unknown.fetch_add(unknown, Release);
        }
        let before = tally.done.fetch_add(count, AcqRel);
        let done = before + count;
        if before / ACKNOWLEDGE_EVERY == done / ACKNOWLEDGE_EVERY && done != tally.taken.load(Acquire) {
            return;
        }
        // Counted under the outbox's lock, so that acknowledgements never go backwards.
        let pushed = self.push(kind::ACKNOWLEDGE, |buffer| {
            let done = tally.done.load(Acquire);
            let (refused, unknown) = (tally.refused.load(Acquire), tally.unknown.load(Acquire));
            let became = [done.saturating_sub(refused + unknown), refused, unknown];
            for count in became {
                frame::put_varint(buffer, count);
            }
            tally.acknowledged.store(became.iter().sum(), Release);
        });
        if pushed.is_err() {
            tracing::trace!(target: "qmesh::service", done, "the sender was gone before its acknowledgement");
        }
    }
}

/// Appends what a reply begins with, after the call's number.
pub(crate) fn put_reply_head(buffer: &mut BytesMut, status: u8, age: u8, spent: u32) {
    let flag = if spent == 0 { 0 } else { status::SPENT };
    buffer.put_slice(&[status | flag, age]);
    if spent > 0 {
        frame::put_varint(buffer, spent.into());
    }
}

/// The floor of the binary logarithm, which is all that a balance needs.
fn queue_age_byte(microseconds: u64) -> u8 {
    u8::try_from((microseconds + 1).ilog2()).unwrap_or(u8::MAX)
}
