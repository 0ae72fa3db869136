//! Who accepts sessions, and why one did not come about.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use crate::{Address, Session};

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
    /// [`HandshakeError`] says whom we refused and why; no state is left. The peer may be anybody, and the operator of this
    /// side is who can tell: whoever accepts sessions tells them.
    ///
    /// # Cancel safety
    /// Cancelling turns the peer away.
    pub async fn handshake(self) -> Result<Arc<dyn Session>, HandshakeError> {
        self.handshake.await
    }
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

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("remote_address", &self.remote_address).finish_non_exhaustive()
    }
}
