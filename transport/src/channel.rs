//! A channel: one stream of bytes in each direction, and what can go wrong on it.

use std::{
    fmt,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures_util::future::poll_fn;

use crate::SessionClosed;

/// One ordered, flow-controlled, bidirectional stream of bytes in a session.
#[derive(Debug)]
pub struct Channel {
    /// Unique in its session, on both sides the same.
    pub id: ChannelId,
    /// What the peer writes.
    pub reader: ChannelReader,
    /// What the peer reads.
    pub writer: ChannelWriter,
}

/// A channel's number in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub u64);

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The reading half. Dropped before the end, it tells the peer to stop with [`ResetCode::DROPPED`].
pub struct ChannelReader(Box<dyn RawReader>);

/// The writing half. Dropped unfinished, it resets the stream with [`ResetCode::DROPPED`], so that a cut stream never
/// looks complete.
pub struct ChannelWriter(Box<dyn RawWriter>);

/// What a transport implements to make a [`ChannelReader`].
pub trait RawReader: Send + Sync + 'static {
    /// Appends at least one byte and at most `limit` to `buffer`, or returns 0 at the peer's half-close.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
        limit: usize,
    ) -> Poll<Result<usize, ReadError>>;
    /// Tells the peer to stop writing. Later reads fail.
    fn stop(&mut self, code: ResetCode);
}

/// What a transport implements to make a [`ChannelWriter`].
pub trait RawWriter: Send + Sync + 'static {
    /// Takes at least one byte off the front of `bytes`, waiting for room.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &mut Bytes) -> Poll<Result<(), WriteError>>;
    /// Half-closes: the peer reads what was written, then the end.
    ///
    /// # Errors
    /// The stream was already ended by this side, or the session has ended.
    fn finish(&mut self) -> Result<(), WriteError>;
    /// Abandons the stream, unless it was finished: the peer's reads fail with `code`, unread bytes may be lost.
    fn reset(&mut self, code: ResetCode);
    /// Ready once the peer has told us to stop, we have finished or reset the stream, or the session has ended.
    fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<WriteError>;
    /// Ready once the peer's side holds all that was written before [`finish`](Self::finish), or never will.
    fn poll_delivered(&mut self, cx: &mut Context<'_>) -> Poll<()>;
    /// Larger is sent first; 0 at the start.
    fn set_priority(&mut self, priority: i32);
}

impl ChannelReader {
    /// Wraps a transport's reader.
    pub fn new(raw: impl RawReader) -> Self {
        Self(Box::new(raw))
    }

    /// Appends what has arrived, at least one byte and at most `limit`, and returns how many; 0 is the peer's
    /// half-close.
    ///
    /// # Errors
    /// The stream was reset, or the session ended; the bytes read before stay in `buffer`.
    ///
    /// # Panics
    /// If `limit` is 0, which could not be told from the half-close.
    ///
    /// # Cancel safety
    /// Cancelling loses no byte.
    pub async fn read(&mut self, buffer: &mut BytesMut, limit: usize) -> Result<usize, ReadError> {
        poll_fn(|cx| self.poll_read(cx, buffer, limit)).await
    }

    /// As [`read`](Self::read), for hand-written futures.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// # Panics
    /// As [`read`](Self::read).
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
        limit: usize,
    ) -> Poll<Result<usize, ReadError>> {
        assert!(limit > 0, "a read of no bytes says nothing");
        self.0.poll_read(cx, buffer, limit)
    }

    /// Tells the peer to stop writing, with a code. Later reads fail.
    pub fn stop(&mut self, code: ResetCode) {
        self.0.stop(code);
    }
}

impl ChannelWriter {
    /// Wraps a transport's writer.
    pub fn new(raw: impl RawWriter) -> Self {
        Self(Box::new(raw))
    }

    /// Writes all of `bytes`, waiting while the peer reads too slowly.
    ///
    /// # Errors
    /// The peer stopped reading, or the session ended; how much arrived is unknown.
    ///
    /// # Cancel safety
    /// Not cancel safe: part of `bytes` may be written.
    pub async fn write_all(&mut self, mut bytes: Bytes) -> Result<(), WriteError> {
        self.write(&mut bytes).await
    }

    /// As [`write_all`](Self::write_all), and leaves in `bytes` what is not written yet.
    ///
    /// # Errors
    /// As [`write_all`](Self::write_all).
    ///
    /// # Cancel safety
    /// Cancelled, it goes on where it was when it is called with the same `bytes` again.
    pub async fn write(&mut self, bytes: &mut Bytes) -> Result<(), WriteError> {
        while !bytes.is_empty() {
            poll_fn(|cx| self.0.poll_write(cx, bytes)).await?;
        }
        Ok(())
    }

    /// Half-closes: the peer reads what was written, then the end. The other direction lives on.
    ///
    /// # Errors
    /// The stream was already reset, or the session ended.
    pub fn finish(&mut self) -> Result<(), WriteError> {
        self.0.finish()
    }

    /// Abandons the stream: the peer's reads fail with `code`, unread bytes may be lost. One that was finished stays whole.
    pub fn reset(&mut self, code: ResetCode) {
        self.0.reset(code);
    }

    /// Resolves once the peer no longer reads, or the session has ended; at once if this side has finished or reset.
    ///
    /// # Cancel safety
    /// Cancelling changes nothing.
    pub async fn stopped(&mut self) -> WriteError {
        poll_fn(|cx| self.0.poll_stopped(cx)).await
    }

    /// Resolves once the peer's side holds all that was written before [`finish`](Self::finish), read or unread, or never
    /// will. What it holds outlives the session.
    ///
    /// # Cancel safety
    /// Cancelling changes nothing.
    pub async fn delivered(&mut self) {
        poll_fn(|cx| self.0.poll_delivered(cx)).await;
    }

    /// Sets the share of this channel beside the others of its session: larger is sent first; 0 at the start.
    pub fn set_priority(&mut self, priority: i32) {
        self.0.set_priority(priority);
    }
}

impl fmt::Debug for ChannelReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChannelReader")
    }
}

impl fmt::Debug for ChannelWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChannelWriter")
    }
}

/// Why a side gave a channel up, as a number that travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResetCode(pub u32);

impl ResetCode {
    /// The handle was dropped.
    pub const DROPPED: Self = Self(0);
    /// The peer broke the protocol on this channel.
    pub const PROTOCOL: Self = Self(1);
    /// The channel's purpose was refused.
    pub const REFUSED: Self = Self(2);
    /// The work is no longer wanted.
    pub const CANCELLED: Self = Self(3);
    /// The node of this side drains, and the time for its streams is over.
    pub const DRAINED: Self = Self(4);
    /// More large messages of the session have begun than this side has room for.
    pub const CROWDED: Self = Self(5);
}

impl fmt::Display for ResetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::DROPPED => "dropped",
            Self::PROTOCOL => "the protocol was broken",
            Self::REFUSED => "refused",
            Self::CANCELLED => "cancelled",
            Self::DRAINED => "it drains",
            Self::CROWDED => "it has no room for so many large messages at once",
            Self(unknown) => return write!(f, "code {unknown}"),
        })
    }
}

/// Why a read failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The peer abandoned the stream.
    #[error("the peer reset the channel: {0}")]
    Reset(ResetCode),
    /// We told the peer to stop.
    #[error("reading was stopped here")]
    Stopped,
    /// The session ended.
    #[error(transparent)]
    Session(#[from] SessionClosed),
}

/// Why a write failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The peer no longer reads.
    #[error("the peer stopped reading: {0}")]
    Stopped(ResetCode),
    /// We finished or reset the stream.
    #[error("writing was ended here")]
    Ended,
    /// The session ended.
    #[error(transparent)]
    Session(#[from] SessionClosed),
}
