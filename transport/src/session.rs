//! The seam: what a session can do, whatever carries it.
//!
//! A [`Session`] is an authenticated association of two nodes. It carries [`Channel`]s: ordered, flow-controlled,
//! bidirectional streams of bytes, which either side opens. Everything above this crate is written against these
//! types; `tests/conformance.rs` runs one suite against every implementation.

use std::{fmt, time::Duration};

use async_trait::async_trait;

use crate::{Address, Channel, PeerIdentity};

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
    /// # Errors
    /// The session has ended.
    ///
    /// # Cancel safety
    /// Cancelling opens nothing.
    async fn open(&self) -> Result<Channel, SessionClosed>;

    /// The next channel that the peer opened, in the order of opening.
    ///
    /// # Errors
    /// The session has ended.
    ///
    /// # Cancel safety
    /// Cancelling loses no channel.
    async fn accept(&self) -> Result<Channel, SessionClosed>;

    /// Closes the session and all its channels at once. The peer learns `code` and `reason` (at most 256 bytes of it).
    /// A second call changes nothing.
    fn close(&self, code: CloseCode, reason: &str);

    /// Resolves when the session has ended, with the reason. Resolves at once, and always with the same reason, after that.
    ///
    /// # Cancel safety
    /// Cancelling changes nothing.
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
    pub round_trip: Duration,
    /// Bytes sent on the path, overhead included.
    pub bytes_sent: u64,
    /// Bytes received on the path, overhead included.
    pub bytes_received: u64,
    /// Packets declared lost.
    pub packets_lost: u64,
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
    /// The peer turned out to be another than the expected one. For those above: a dial that names whom it expects fails
    /// in the handshake already.
    pub const UNEXPECTED_PEER: Self = Self(5);
}

/// Why a session ended. Nothing can be done with it any more; a new one may be dialled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionClosed {
    /// This side closed it.
    #[error("closed here ({}): {reason}", code.0)]
    Local {
        /// What we said.
        code: CloseCode,
        /// What we said in words.
        reason: String,
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

/// As much of a close reason as travels.
pub(crate) fn shortened(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)]
}
