//! Who opens sessions, and why one did not come about.

use std::{fmt, io, sync::Arc};

use async_trait::async_trait;

use crate::{Address, NodeId, Session};

/// Opens sessions to addresses of the schemes it knows.
#[async_trait]
pub trait Dialer: fmt::Debug + Send + Sync + 'static {
    /// Opens a session to `address`. With `expected`, a peer that proves another id is refused.
    ///
    /// Resolves only when both sides have accepted each other: a peer that refuses *us* is an error here too.
    ///
    /// # Errors
    /// [`DialError`] says who refused whom and why, or that nobody answered within the handshake timeout.
    ///
    /// # Cancel safety
    /// Cancelling gives the dial up; a peer that has accepted already sees its session end.
    async fn dial(&self, address: &Address, expected: Option<NodeId>) -> Result<Arc<dyn Session>, DialError>;
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
