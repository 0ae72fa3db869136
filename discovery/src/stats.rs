//! What gossip counts.

use std::{collections::BTreeMap, fmt, time::Duration};

/// What gossip did since the node started. All counts but the digest's size only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GossipStats {
    /// Messages handed to the carrier.
    pub messages_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Messages received.
    pub messages_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// How long ago the newest message came; none if none did.
    pub heard_ago: Option<Duration>,
    /// Messages dropped because the gossip loop was busy.
    pub inbox_full: u64,
    /// What was kept from gossip, by reason. A reason that never occurred is absent.
    pub rejected: BTreeMap<Rejection, u64>,
    /// Nodes heard of before anyone proved that they exist. Common, for a moment, wherever a node joins.
    pub unproven: u64,
    /// How often our own heartbeat had to overtake a number that somebody else had told of us.
    pub heartbeats_overtaken: u64,
    /// How often a dead session spoke against a node.
    pub suspicions: u64,
    /// The nodes that gossip keeps, former runs included; bounded by [`Config::nodes_max`](crate::Config::nodes_max).
    pub digest_nodes: usize,
    /// The size of our digest, which every message but the last of an exchange carries.
    pub digest_bytes: usize,
}

impl GossipStats {
    /// How often something was rejected for `reason`.
    #[must_use]
    pub fn rejections(&self, reason: Rejection) -> u64 {
        self.rejected.get(&reason).copied().unwrap_or(0)
    }
}

/// Why a message, or a part of one, was kept from gossip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rejection {
    /// The message is longer than any that gossip makes.
    Oversize,
    /// The message does not decode.
    Malformed,
    /// The message inflates to more than any honest one.
    Bomb,
    /// The message is of another mesh, or says that we are.
    OtherMesh,
    /// Not how this mesh names a node in gossip.
    Identity,
    /// Somebody tells us about ourselves.
    AboutUs,
    /// An entry is deleted; nothing of ours ever is.
    Tombstone,
    /// An entry is to be deleted in time; nothing of ours ever is.
    TimeToLive,
    /// Deleted entries are claimed to have been collected.
    Collected,
    /// An entry has a key that is not ours.
    ForeignKey,
    /// A version or a generation is not the one that its owner signed.
    Version,
    /// A record that its owner did not sign, or whose owner is no member.
    Unverified,
    /// A heartbeat beyond what a node of that age can have reached.
    Heartbeat,
    /// The mesh is full, or one node has too many former runs.
    Full,
}

// === impl Rejection ===

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Oversize => "oversize message",
            Self::Malformed => "malformed message",
            Self::Bomb => "message inflates beyond the limit",
            Self::OtherMesh => "message of another mesh",
            Self::Identity => "no name of a node",
            Self::AboutUs => "news about ourselves",
            Self::Tombstone => "tombstone",
            Self::TimeToLive => "entry with a time to live",
            Self::Collected => "collected version",
            Self::ForeignKey => "foreign key",
            Self::Version => "version is not the signed one",
            Self::Unverified => "record does not verify",
            Self::Heartbeat => "heartbeat beyond the node's age",
            Self::Full => "no room for another node",
        })
    }
}
