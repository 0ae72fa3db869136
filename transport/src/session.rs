//! The seam: what a session and its channels can do, whatever carries them.
//!
//! A [`Session`] is an authenticated association of two nodes. It carries [`Channel`]s: ordered, flow-controlled,
//! bidirectional streams of bytes, which either side opens. Everything above this crate is written against these
//! types; `tests/conformance.rs` runs one suite against every implementation.

use std::{
    fmt, io,
    sync::Arc,
    task::{Context, Poll},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::future::{BoxFuture, poll_fn};
use tracing::warn;

use crate::{Address, NodeId, PeerIdentity};

/// The most of a close reason that travels, in bytes.
const REASON_BYTES_MAX: usize = 256;

/// An authenticated association with one peer, shared by everything that uses it.
///
/// Dropping the last handle closes the session with [`CloseCode::DROPPED`].
#[async_trait]
pub trait Session: fmt::Debug + Send + Sync + 'static {
    /// Opens a channel. Waits while the peer allows no further one.
    ///
    /// The peer learns of a channel when its first bytes arrive, so the opener writes first.
    ///
    /// # Cancel safety
    /// Cancelling opens nothing.
    async fn open(&self) -> Result<Channel, SessionClosed>;

    /// The next channel that the peer opened.
    ///
    /// # Cancel safety
    /// Cancelling loses no channel.
    async fn accept(&self) -> Result<Channel, SessionClosed>;

    /// Closes the session and all its channels at once. The peer learns `code` and `reason` (at most 256 bytes of it).
    /// A second call changes nothing.
    fn close(&self, code: CloseCode, reason: &str);

    /// Resolves when the session has ended, with the reason. Resolves at once, and always with the same reason, after that.
    async fn closed(&self) -> SessionClosed;

    /// Who the peer is, proven by the handshake.
    fn peer(&self) -> &PeerIdentity;

    /// This side's address, as the transport sees it.
    fn local_address(&self) -> Address;

    /// The peer's address, as the transport sees it. A path may change while the session lives.
    fn remote_address(&self) -> Address;

    /// What the transport knows of the path.
    fn stats(&self) -> SessionStats;
}

/// What a transport knows of a session's path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStats {
    /// The smoothed round-trip time; zero where the transport does not measure it.
    pub round_trip: std::time::Duration,
    /// Bytes sent on the path, overhead included.
    pub bytes_sent: u64,
    /// Bytes received on the path, overhead included.
    pub bytes_received: u64,
    /// Packets declared lost.
    pub packets_lost: u64,
}

/// Accepts sessions on one address.
#[async_trait]
pub trait Listener: fmt::Debug + Send + Sync + 'static {
    /// The next peer that wants a session, before its handshake, so that a slow handshake holds up no other.
    /// `None` when the listener is closed.
    ///
    /// # Cancel safety
    /// Cancelling loses no peer.
    async fn accept(&self) -> Option<Incoming>;

    /// The bound address, with the port that the system chose.
    fn local_address(&self) -> Address;

    /// Accepts no further peer. Sessions live on.
    fn close(&self);
}

/// A peer that knocks: drive [`Incoming::handshake`] to get the session, or drop it to refuse.
pub struct Incoming {
    /// Where the peer comes from, unproven.
    pub remote_address: Address,
    pub(crate) handshake: BoxFuture<'static, Result<Arc<dyn Session>, HandshakeError>>,
}

impl Incoming {
    /// Completes the handshake, which ends by itself (refused, or timed out) in bounded time.
    ///
    /// # Errors
    /// [`HandshakeError`] says whom we refused and why; no state is left.
    pub async fn handshake(self) -> Result<Arc<dyn Session>, HandshakeError> {
        self.handshake
            .await
            .inspect_err(|error| warn!(target: "qmesh::transport", %error, "handshake failed"))
    }
}

/// As much of a close reason as travels.
pub(crate) fn shortened(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)]
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("remote_address", &self.remote_address).finish_non_exhaustive()
    }
}

/// Opens sessions to addresses of the schemes it knows.
#[async_trait]
pub trait Dialer: fmt::Debug + Send + Sync + 'static {
    /// Opens a session to `address`. With `expected`, a peer that proves another id is refused.
    ///
    /// Resolves only when both sides have accepted each other: a peer that refuses *us* is an error here too.
    async fn dial(&self, address: &Address, expected: Option<NodeId>) -> Result<Arc<dyn Session>, DialError>;
}

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
    /// Abandons the stream: the peer's reads fail with `code`, unread bytes may be lost.
    fn reset(&mut self, code: ResetCode);
    /// Ready once the peer has told us to stop, we have finished or reset the stream, or the session has ended.
    fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<WriteError>;
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
        while !bytes.is_empty() {
            poll_fn(|cx| self.0.poll_write(cx, &mut bytes)).await?;
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

    /// Abandons the stream: the peer's reads fail with `code`, unread bytes may be lost.
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

/// Why a side ended a session, as a number that travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(pub u32);

impl CloseCode {
    /// The last handle was dropped.
    pub const DROPPED: Self = Self(0);
    /// The node stops in order.
    pub const SHUTDOWN: Self = Self(1);
    /// A newer session, or a newer incarnation of the peer, replaces this one.
    pub const REPLACED: Self = Self(2);
    /// The peer broke the protocol; the reason says how.
    pub const PROTOCOL: Self = Self(3);
    /// The peer used more than its share.
    pub const LIMIT: Self = Self(4);
    /// The handshake proved an identity other than the expected one.
    pub const UNEXPECTED_PEER: Self = Self(5);
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
}

/// Why a session ended. Nothing can be done with it any more; a new one may be dialled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionClosed {
    /// This side closed it.
    #[error("closed here ({})", code.0)]
    Local {
        /// What we said.
        code: CloseCode,
    },
    /// The peer closed it in order.
    #[error("closed by the peer ({}): {reason}", code.0)]
    Peer {
        /// What the peer said.
        code: CloseCode,
        /// What the peer said in words, untrusted.
        reason: String,
    },
    /// Nothing was heard for the idle timeout: the peer was killed, or the path is cut.
    #[error("the peer fell silent")]
    Silent,
    /// The peer runs again and does not know this session any more.
    #[error("the peer restarted")]
    Restarted,
    /// The peer refused our certificate after the handshake had begun.
    #[error("the peer refused us: {0}")]
    Refused(String),
    /// The transport failed.
    #[error("transport failed: {0}")]
    Transport(String),
}

/// Why a read failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The peer abandoned the stream.
    #[error("the peer reset the channel ({})", .0.0)]
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
    #[error("the peer stopped reading ({})", .0.0)]
    Stopped(ResetCode),
    /// We finished or reset the stream.
    #[error("writing was ended here")]
    Ended,
    /// The session ended.
    #[error(transparent)]
    Session(#[from] SessionClosed),
}

/// Why a peer that knocked got no session. No state is left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// We refused the peer's certificate (or its absence).
    #[error("refused {remote}: {reason}")]
    Refused {
        /// Where the peer came from.
        remote: Address,
        /// What was wrong, in a sentence for an operator.
        reason: String,
    },
    /// The peer refused our certificate.
    #[error("{remote} refused us: {reason}")]
    RefusedByPeer {
        /// Where the peer came from.
        remote: Address,
        /// What the peer said, in a sentence for an operator.
        reason: String,
    },
    /// The peer did not finish within the handshake timeout.
    #[error("{remote} did not finish the handshake in time")]
    TimedOut {
        /// Where the peer came from.
        remote: Address,
    },
    /// The transport failed.
    #[error("handshake with {remote} failed: {reason}")]
    Transport {
        /// Where the peer came from.
        remote: Address,
        /// What failed.
        reason: String,
    },
}

/// Why no session to an address came about. No state is left; dialling again is safe.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The address's scheme is not one that this dialer knows.
    #[error("{0}: no transport for this scheme")]
    Scheme(Address),
    /// The host name has no address.
    #[error("{address}: cannot resolve: {source}")]
    Resolve {
        /// What was dialled.
        address: Address,
        /// What the resolver said.
        source: io::Error,
    },
    /// Nobody answered within the handshake timeout.
    #[error("{0}: no answer")]
    Unreachable(Address),
    /// We refused the peer's certificate.
    #[error("{address}: we refused the peer: {reason}")]
    RefusedPeer {
        /// What was dialled.
        address: Address,
        /// What was wrong, in a sentence for an operator.
        reason: String,
    },
    /// The peer refused our certificate.
    #[error("{address}: the peer refused us: {reason}")]
    RefusedByPeer {
        /// What was dialled.
        address: Address,
        /// What the peer said, in a sentence for an operator.
        reason: String,
    },
    /// Another node than the expected one answered.
    #[error("{address}: expected node {expected}, but {found} answered")]
    UnexpectedPeer {
        /// What was dialled.
        address: Address,
        /// Whom we expected.
        expected: NodeId,
        /// Who answered.
        found: NodeId,
    },
    /// The transport failed.
    #[error("{address}: {reason}")]
    Transport {
        /// What was dialled.
        address: Address,
        /// What failed.
        reason: String,
    },
}
