//! What a node announces of itself.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod sealed;
mod wire;

use qmesh_transport::{Address, NodeId};

pub use self::sealed::RecordTooLarge;
pub(crate) use self::sealed::{Order, Sealed, open};

/// The largest sealed record, in bytes: what is announced, the signature and the certificate chain together.
///
/// A chitchat value that does not fit into one message silently stops its node's updates for ever, so the limit is held
/// where a record is made. It is room for 40 to 60 services.
pub const RECORD_BYTES_MAX: usize = 4096;

/// What a node says of its own condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeState {
    /// It runs, but does not serve yet.
    Starting,
    /// It serves.
    Ready,
    /// It finishes what it has and wants nothing new.
    Draining,
    /// It left in order. Nothing follows, except from a newer incarnation.
    Gone,
}

/// One service that a node offers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceRecord {
    /// The contract's name, such as `chat.Chat`.
    pub name: String,
    /// The version that people read.
    pub version: String,
    /// This endpoint's share beside others of the same service; 0 asks for nothing.
    pub weight: u32,
    /// A fingerprint of the contract's methods.
    pub fingerprint: u64,
}

/// What a node announces: the part of its record that it chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The node's condition.
    pub state: NodeState,
    /// Where peers dial it, best first. Never a wildcard.
    pub addresses: Vec<Address>,
    /// A label for placement, such as a rack or a region.
    pub zone: Option<String>,
    /// The services that it offers.
    pub services: Vec<ServiceRecord>,
}

/// A node's record, decoded and verified: its signature is by the key that the node's id derives from, and its
/// certificate is of this mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// The mesh, from the certificate.
    pub mesh: String,
    /// The node's id, from its key.
    pub id: NodeId,
    /// The node's name, from the certificate.
    pub name: String,
    /// Grows each time that the node's process starts. Sessions end by it.
    pub incarnation: u64,
    /// Grows each time that the node's gossip starts, so at least as often as `incarnation`. Orders records first.
    pub generation: u64,
    /// Grows with each announcement. Orders records of one generation.
    pub version: u64,
    /// The node's condition.
    pub state: NodeState,
    /// Where to dial it, best first.
    pub addresses: Vec<Address>,
    /// Its label for placement.
    pub zone: Option<String>,
    /// The services that it offers.
    pub services: Vec<ServiceRecord>,
}

impl NodeRecord {
    /// What a node orders its own records by, and all others after it.
    #[must_use]
    pub const fn order(&self) -> (u64, u64) {
        (self.generation, self.version)
    }
}

#[cfg(test)]
mod tests;
