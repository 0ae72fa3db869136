//! The port behind which a membership protocol sits.
//!
//! chitchat is one implementation, in `gossip`; nothing else names it. `pulse` is our own, which draws
//! no random numbers, so that simulations can have it.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use qmesh_transport::{Credentials, NodeId};

use crate::{GossipStats, NodeRecord, record::Sealed};

/// What a protocol tells the [directory](crate::Directory).
#[derive(Debug)]
pub(crate) enum Event {
    /// Records were seen, and verified. Old ones and repetitions are fine.
    Records(Vec<Arc<NodeRecord>>),
    /// Exactly these nodes show signs of life; whether this node itself is among them means nothing.
    Alive(BTreeSet<NodeId>),
    /// The protocol keeps nothing of these nodes any more.
    Forgotten(Vec<NodeId>),
}

/// Why gossip stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GossipStopped {
    /// In order: the node left.
    #[error("gossip ended in order")]
    InOrder,
    /// The gossip loop panicked or was aborted. The directory stays as it is until a restart, which is safe.
    #[error("the gossip loop broke")]
    Broken,
    /// The mesh remembers a run of this node that is newer by its number: the clock went back. A restart takes a number
    /// above it, and wants no delay.
    #[error("the mesh knows a newer run of this node ({generation})")]
    Superseded {
        /// The number of that run.
        generation: u64,
    },
}

/// A membership protocol: who is alive, and how records spread.
///
/// It lives as long as its node; its gossip may stop and start again, each time with a higher generation.
#[async_trait]
pub(crate) trait Membership: Send + Sync + 'static {
    /// Starts gossip with a record of our own, in place of a former run.
    async fn start(&self, own: Sealed);

    /// Replaces our own record, and pushes it to the peers that are alive.
    fn announce(&self, own: Sealed);

    /// Resolves once all living peers have shown that they have our newest record. May never: whoever waits gives up.
    async fn told(&self);

    /// A message of a peer, whose id its session proves. Never blocks: what does not fit is dropped.
    fn received(&self, from: NodeId, message: Bytes);

    /// Gossips with a peer at once: a session with it is up.
    fn greet(&self, peer: NodeId);

    /// The session with a peer has died: unless others hear it, it is dead.
    fn suspect(&self, peer: NodeId);

    /// Judges peers by other credentials of this node.
    fn renew(&self, credentials: Credentials);

    /// The newest former generation of this node that the mesh remembers; 0 if none.
    fn newest_generation(&self) -> u64;

    /// Resolves when the current run of gossip has ended.
    async fn stopped(&self) -> GossipStopped;

    /// Ends gossip in order.
    async fn stop(&self);

    /// What came and went.
    fn stats(&self) -> GossipStats;
}
