//! The items of a stream on a channel: encoded where they are sent, decoded where they are received.
//!
//! All items that are ready go out in one write. Whoever does not receive stops the sender by the channel's window, and
//! holds at most that window, 64 small items or a large one. Items of many bytes are encoded and decoded on threads
//! of the runtime's blocking pool, so that the calls beside them need not wait for it.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{Sink, future::BoxFuture};
use prost::Message;
use qmesh_transport::{ChannelWriter, ResetCode, WriteError};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

use crate::{
    channel::{failure_code, lost},
    codec::{Codec, EncodeError},
    failure::{Failure, Outcome, Reason},
    stream::{Receiver, Sender, stream},
    task::{self, Apart},
    wire::{
        frame::{self, Chunk, FrameError, Frames, kind},
        messages::WireFailure,
    },
};

/// Bytes of items that go out in one write, beyond which no further one joins.
const WRITE: usize = 64 * 1024;
/// Items that were decoded and are not received yet.
const RECEIVED_MAX: usize = 64;
/// An item of more bytes waits until those before it are received: many of them would fill the memory.
const LARGE: usize = 64 * 1024;
/// How long a stream that is cut may take to say so: less than a node that drains gives it.
const CUT_MAX: Duration = Duration::from_millis(400);
/// An item of more bytes is encoded and decoded apart: a copy of it takes about as long as a hundred calls.
const APART: usize = 256 * 1024;

/// A stream that leaves on a channel.
pub(crate) trait Outgoing: Send {
    /// Appends the frames of all items that are ready; whether more may come.
    fn poll_fill(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<bool>;
    /// The other side receives no more.
    fn give_up(self: Box<Self>, why: Failure);
}

/// A stream that comes on a channel.
pub(crate) trait Incoming: Send + Sync {
    /// Room for one item; `false` if nobody receives any more.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<bool>;
    /// Resolves when all that was pushed is received, or nobody receives any more.
    fn emptied(&self) -> BoxFuture<'_, ()>;
    /// Takes in an item for which there is room; `false` if nobody receives any more.
    ///
    /// # Errors
    /// It cannot be read.
    fn push(&mut self, item: &[u8]) -> Result<bool, Failure>;
    /// As [`push`](Self::push), for an item of many bytes.
    fn push_apart(&mut self, item: Bytes) -> BoxFuture<'_, Result<bool, Failure>>;
    /// Resolves when nobody receives any more.
    fn closed(&self) -> BoxFuture<'_, ()>;
    fn finish(self: Box<Self>);
    fn fail(self: Box<Self>, failure: Failure);
}

/// Encodes the items of `receiver`, each of at most `limit` bytes.
pub(crate) fn outgoing<T: Serialize + Send + 'static>(
    receiver: Receiver<T>,
    codec: Codec,
    limit: usize,
) -> Box<dyn Outgoing> {
    Box::new(Encoded { receiver, codec, limit, large: None, apart: None })
}

/// A stream whose items are decoded as they come.
pub(crate) fn incoming<T: DeserializeOwned + Send + 'static>(
    codec: Codec,
) -> (Box<dyn Incoming>, Receiver<T>) {
    let (sender, receiver) = stream(RECEIVED_MAX);
    (Box::new(Decoded { sender, has_waited: false, codec }), receiver)
}

struct Encoded<T> {
    receiver: Receiver<T>,
    codec: Codec,
    limit: usize,
    /// Bytes of the last item, if it was a large one. The next is taken to be as large: what it is shows when it is encoded.
    large: Option<usize>,
    /// The frame of an item that is encoded elsewhere.
    apart: Option<Apart<Result<BytesMut, Failure>>>,
}

struct Decoded<T> {
    sender: Sender<T>,
    /// There was no room, and some was waited for.
    has_waited: bool,
    codec: Codec,
}

/// Sends a stream to its end, or until `cut` says why it has none; says so to the stream if the other side receives no more.
pub(crate) async fn send(
    mut items: Box<dyn Outgoing>,
    writer: &mut ChannelWriter,
    cut: impl Future<Output = Failure>,
) -> Result<(), WriteError> {
    let mut buffer = BytesMut::new();
    tokio::pin!(cut);
    loop {
        let filled = poll_fn(|cx| items.poll_fill(cx, &mut buffer));
        let filled = tokio::select! {
            biased;
            why = &mut cut => Err(Unsent::Cut(why)),
            more = filled => Ok(more),
            why = writer.stopped() => Err(Unsent::Stopped(why)),
        };
        let mut bytes = taken(&mut buffer);
        let sent = match filled {
            Ok(more) => tokio::select! {
                biased;
                written = writer.write(&mut bytes) => written.map(|()| more).map_err(Unsent::Stopped),
                why = &mut cut => Err(Unsent::Cut(why)),
            },
            Err(why) => Err(why),
        };
        match sent {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(Unsent::Cut(why)) => {
                let mut cut = BytesMut::new();
                put_cut(&mut cut, &why);
                items.give_up(why);
                return say_last(writer, bytes, cut.freeze()).await;
            }
            Err(Unsent::Stopped(why)) => {
                let no_more =
                    || Failure::unknown(Reason::Cancelled, "the other side receives this stream no more");
                let failure = match &why {
                    WriteError::Stopped(code) => lost::given_up(*code).unwrap_or_else(no_more),
                    WriteError::Ended => no_more(),
                    other => lost::lost(other),
                };
                items.give_up(failure);
                return Err(why);
            }
        }
    }
}

/// Why a stream is not sent to its end.
enum Unsent {
    Cut(Failure),
    Stopped(WriteError),
}

/// Ends a stream with what is left of its last frames, and `cut`; with a reset if the peer does not read them in time.
async fn say_last(writer: &mut ChannelWriter, rest: Bytes, cut: Bytes) -> Result<(), WriteError> {
    let saying = async {
        writer.write_all(rest).await?;
        writer.write_all(cut).await
    };
    if let Ok(said) = timeout(CUT_MAX, saying).await {
        return said;
    }
    writer.reset(ResetCode::DRAINED);
    Err(WriteError::Ended)
}

/// All that was filled in. What a large item took goes with it.
fn taken(buffer: &mut BytesMut) -> Bytes {
    let all = if buffer.len() > WRITE { std::mem::take(buffer) } else { buffer.split() };
    all.freeze()
}

/// How a stream that comes is over.
enum Over {
    /// Its sender has said so, and why it is not whole. Nothing may follow.
    Told(Result<(), Failure>),
    /// It goes no further here, of which its sender is told, and for a reason that whoever receives it is to know.
    Stopped(ResetCode, Option<Failure>),
    /// The channel is over before it.
    Lost(Failure, Result<(), FrameError>),
}

/// Receives a stream to its end, beginning with what is left of `chunk`, or until `cut` says why it goes no further; tells the
/// other side if nobody receives any more.
///
/// # Errors
/// The peer broke the protocol. However it ends, the stream has been told.
pub(crate) async fn receive(
    mut chunk: Chunk,
    frames: &mut Frames,
    mut items: Box<dyn Incoming>,
    cut: impl Future<Output = Failure>,
) -> Result<(), FrameError> {
    let over = tokio::select! {
        biased;
        why = cut => Over::Stopped(ResetCode::DRAINED, Some(why)),
        over = receive_until_over(&mut chunk, frames, &mut *items) => over,
    };
    match over {
        Over::Told(told) => {
            match told {
                Ok(()) => items.finish(),
                Err(cut) => items.fail(cut),
            }
            nothing_follows(chunk, frames).await
        }
        Over::Stopped(code, why) => {
            frames.stop(code);
            if let Some(why) = why {
                items.fail(why);
            }
            Ok(())
        }
        Over::Lost(why, broken) => {
            items.fail(why);
            broken
        }
    }
}

async fn receive_until_over(chunk: &mut Chunk, frames: &mut Frames, items: &mut dyn Incoming) -> Over {
    loop {
        chunk.let_go();
        while let Some((kind, payload)) = chunk.next() {
            match kind {
                kind::ITEM => {
                    if payload.len() > LARGE {
                        items.emptied().await;
                    }
                    if !poll_fn(|cx| items.poll_room(cx)).await {
                        return Over::Stopped(ResetCode::DROPPED, None);
                    }
                    let pushed = if payload.len() > APART {
                        items.push_apart(chunk.bytes.slice(payload)).await
                    } else {
                        items.push(&chunk.bytes[payload])
                    };
                    match pushed {
                        Ok(true) => {}
                        Ok(false) => return Over::Stopped(ResetCode::DROPPED, None),
                        Err(failure) => return Over::Stopped(ResetCode::PROTOCOL, Some(failure)),
                    }
                }
                kind::END => return Over::Told(Ok(())),
                kind::CUT => {
                    return match WireFailure::decode(&chunk.bytes[payload]) {
                        // Whatever it was at its source: this call has begun.
                        Ok(cut) => {
                            Over::Told(Err(failure_code::from_wire(cut).with_outcome(Outcome::Unknown)))
                        }
                        Err(_bad) => broken(FrameError::Malformed(kind)),
                    };
                }
                other => return broken(FrameError::Unexpected(other)),
            }
        }
        let next = tokio::select! {
            biased;
            next = frames.next() => next,
            () = items.closed() => return Over::Stopped(ResetCode::DROPPED, None),
        };
        match next {
            Ok(Some(next)) => *chunk = next,
            Ok(None) => return Over::Lost(channel_ended(), Ok(())),
            Err(error) => {
                let failure = lost::unread(&error);
                let broken = if matches!(error, FrameError::Read(_)) { Ok(()) } else { Err(error) };
                return Over::Lost(failure, broken);
            }
        }
    }
}

fn broken(error: FrameError) -> Over {
    Over::Lost(Failure::unknown(Reason::Protocol, error.to_string()), Err(error))
}

/// Waits for the end of what the peer sends, where nothing more has a place.
///
/// # Errors
/// Something came: the peer broke the protocol.
pub(crate) async fn nothing_follows(mut chunk: Chunk, frames: &mut Frames) -> Result<(), FrameError> {
    let more = match chunk.next() {
        Some((kind, _)) => Some(kind),
        None => match frames.next().await {
            Ok(chunk) => chunk.and_then(|chunk| chunk.kind()),
            Err(FrameError::Read(_)) => None,
            Err(error) => return Err(error),
        },
    };
    more.map_or(Ok(()), |kind| Err(FrameError::Unexpected(kind)))
}

// === impl Encoded ===

impl<T: Serialize + Send + 'static> Outgoing for Encoded<T> {
    fn poll_fill(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<bool> {
        while buffer.len() < WRITE {
            if let Some(apart) = &mut self.apart {
                // It was begun after a large item, which was the last of its write.
                assert!(buffer.is_empty(), "items before it would be lost");
                let encoded = ready!(Pin::new(apart).poll(cx));
                self.apart = None;
                match encoded.unwrap_or_else(|| Err(runtime_ended())) {
                    Ok(frame) => *buffer = frame,
                    Err(failure) => {
                        put_cut(buffer, &failure);
                        return Poll::Ready(false);
                    }
                }
                self.large = if_large(buffer.len());
                continue;
            }
            match self.receiver.poll_recv(cx) {
                Poll::Pending if buffer.is_empty() => return Poll::Pending,
                Poll::Pending => break,
                Poll::Ready(Ok(Some(item))) => {
                    if let Some(expected) = self.large {
                        let (codec, limit) = (self.codec, self.limit);
                        self.apart = Some(task::apart(move || encode(&item, codec, limit, expected)));
                    } else if let Err(failure) = self.put(&item, buffer) {
                        put_cut(buffer, &failure);
                        return Poll::Ready(false);
                    }
                }
                Poll::Ready(Ok(None)) => {
                    frame::put(buffer, kind::END, |_| {});
                    return Poll::Ready(false);
                }
                Poll::Ready(Err(failure)) => {
                    put_cut(buffer, &failure);
                    return Poll::Ready(false);
                }
            }
        }
        Poll::Ready(true)
    }

    fn give_up(self: Box<Self>, why: Failure) {
        self.receiver.give_up(why);
    }
}

impl<T: Serialize> Encoded<T> {
    fn put(&mut self, item: &T, buffer: &mut BytesMut) -> Result<(), Failure> {
        let written = self.codec.encode_in_scratch(item, |bytes| {
            fits(bytes.len(), self.limit)?;
            self.large = if_large(bytes.len());
            frame::put(buffer, kind::ITEM, |buffer| buffer.put_slice(bytes));
            Ok(())
        });
        written.unwrap_or_else(|error| Err(not_encoded(&error)))
    }
}

/// The frame of an item that may have `expected` bytes.
fn encode<T: Serialize>(item: &T, codec: Codec, limit: usize, expected: usize) -> Result<BytesMut, Failure> {
    let mut frame = Vec::with_capacity(frame::HEAD + expected);
    frame.resize(frame::HEAD, 0);
    codec.encode_into(item, &mut frame).map_err(|error| not_encoded(&error))?;
    fits(frame.len() - frame::HEAD, limit)?;
    if frame.len() < APART {
        frame.shrink_to_fit();
    }
    Ok(frame::of_room(kind::ITEM, frame))
}

fn if_large(bytes: usize) -> Option<usize> {
    (bytes > APART).then_some(bytes)
}

fn fits(bytes: usize, limit: usize) -> Result<(), Failure> {
    if bytes <= limit {
        return Ok(());
    }
    let detail = format!("an item of a stream is {bytes} bytes; the limit is {limit}");
    Err(Failure::unknown(Reason::TooLarge, detail))
}

fn not_encoded(error: &EncodeError) -> Failure {
    Failure::unknown(Reason::BadReply, format!("an item of a stream cannot be encoded: {error}"))
}

fn runtime_ended() -> Failure {
    Failure::unknown(Reason::Cancelled, "the runtime of this node has ended")
}

fn put_cut(buffer: &mut BytesMut, failure: &Failure) {
    frame::put(buffer, kind::CUT, |buffer| {
        failure_code::to_wire(failure).encode_raw(buffer);
    });
}

// === impl Decoded ===

impl<T: DeserializeOwned + Send + 'static> Incoming for Decoded<T> {
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        // Waiting for room costs several times what an item does for which there is some.
        self.has_waited = self.has_waited || !self.sender.has_room();
        if !self.has_waited {
            return Poll::Ready(!self.sender.is_closed());
        }
        Poll::Ready(ready!(Pin::new(&mut self.sender).poll_ready(cx)).is_ok())
    }

    fn emptied(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.sender.emptied())
    }

    fn push(&mut self, item: &[u8]) -> Result<bool, Failure> {
        let item = decode(self.codec, item)?;
        Ok(self.pass_on(item))
    }

    fn push_apart(&mut self, item: Bytes) -> BoxFuture<'_, Result<bool, Failure>> {
        let codec = self.codec;
        let decoded = task::apart(move || decode(codec, &item));
        Box::pin(async move {
            match decoded.await {
                Some(item) => Ok(self.pass_on(item?)),
                None => Ok(false),
            }
        })
    }

    fn closed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.sender.closed())
    }

    fn finish(mut self: Box<Self>) {
        self.sender.set_finished();
    }

    fn fail(self: Box<Self>, failure: Failure) {
        self.sender.cut(failure);
    }
}

impl<T: Send + 'static> Decoded<T> {
    /// Whether anybody receives.
    fn pass_on(&mut self, item: T) -> bool {
        if std::mem::take(&mut self.has_waited) {
            return Pin::new(&mut self.sender).start_send(item).is_ok();
        }
        // There was room, and nobody else sends: it fails only where nobody receives.
        self.sender.try_send(item).is_ok()
    }
}

fn decode<T: DeserializeOwned>(codec: Codec, item: &[u8]) -> Result<T, Failure> {
    codec.decode(item).map_err(|error| {
        Failure::unknown(Reason::BadReply, format!("an item of the stream cannot be read: {error}"))
    })
}

impl<T> Drop for Decoded<T> {
    /// Whoever drops it without a word has lost its channel.
    fn drop(&mut self) {
        self.sender.cut(channel_ended());
    }
}

fn channel_ended() -> Failure {
    lost::lost("the channel ended before the stream did")
}
