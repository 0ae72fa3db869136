//! The port through which gossip leaves this crate: bytes to a node id.

use bytes::Bytes;
use qmesh_transport::NodeId;

use crate::Rejection;

/// Carries gossip over whatever sessions the runtime holds.
///
/// Gossip is idempotent: a lost message costs a round, never correctness. So a carrier keeps at most one waiting
/// message per peer.
pub trait Carrier: Send + Sync + 'static {
    /// Hands over a message for a peer. Called from the gossip loop, so it never blocks and never dials by itself: a newer
    /// message replaces one that still waits for the same peer, and without a session it waits or is dropped.
    ///
    /// The far side hands the bytes to [`GopherMap::received`](crate::GopherMap::received) with the id that *its* session
    /// proves.
    fn send(&self, to: NodeId, message: Bytes);

    /// A part of what this peer sent was kept from gossip. A peer can cause it as often as it likes: whoever tells people
    /// of it does so now and then. All are counted in [`GopherMap::stats`](crate::GopherMap::stats).
    fn rejected(&self, _from: NodeId, _reason: Rejection) {}
}
