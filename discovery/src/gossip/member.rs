//! How chitchat names a run of a node.
//!
//! chitchat knows nodes by a text, a generation and a socket address. The address is made of the node id's 16 bytes, so that
//! each gives the other and gossip reaches no real address. The text is empty: it would tell nothing more, and stand in
//! every message for every node.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use chitchat::ChitchatId;
use qmesh_transport::NodeId;

use super::wire::MemberId;

/// The port of every synthetic address. It means nothing.
const PORT: u16 = 1;

/// The text that every node has.
pub(super) const NAME: &str = "";

/// The synthetic address of a node.
pub(super) fn address_of(id: NodeId) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::from(*id.as_bytes())), PORT)
}

/// The node of a synthetic address.
pub(super) fn node_of(address: SocketAddr) -> Option<NodeId> {
    match address.ip() {
        IpAddr::V6(ip) if address.port() == PORT => Some(NodeId::from_bytes(ip.octets())),
        IpAddr::V6(_) | IpAddr::V4(_) => None,
    }
}

/// How chitchat names a run of a node.
pub(super) fn chitchat_id(id: NodeId, generation: u64) -> ChitchatId {
    ChitchatId::new(NAME, generation, address_of(id))
}

impl MemberId {
    /// As [`chitchat_id`], as it stands in a message.
    pub(super) fn new(id: NodeId, generation: u64) -> Self {
        Self { name: NAME.to_owned(), generation, address: address_of(id) }
    }
}
