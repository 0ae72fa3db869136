//! What a node says of itself, for those who look for what is wrong with a mesh.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ServiceLoad, SessionLoad};

/// What a node says of itself and of what it sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct About {
    /// Its name.
    pub node: String,
    /// Its id.
    pub id: String,
    /// Its mesh.
    pub mesh: String,
    /// The version of qmesh that it runs.
    pub version: String,
    /// What it speaks with other nodes: `qmesh/1`, `gossip/chitchat`.
    pub protocols: Vec<String>,
    /// Which life of the node this is.
    pub incarnation: u64,
    /// The date by its clock, in milliseconds since 1970.
    pub unix_ms: u64,
    /// For how long it has run, in milliseconds.
    pub up_ms: u64,
    /// Where others reach it.
    pub addresses: Vec<String>,
    /// When its certificate ends, in seconds since 1970.
    pub certificate_expires: u64,
    /// When the last of the authorities that it trusts ends, in seconds since 1970. Peers still believe in it then, but
    /// it issues nothing any more.
    pub authority_expires: u64,
    /// The nodes that are alive as it sees it, by name, itself included.
    pub knows: Vec<String>,
    /// The nodes that it has a session with.
    pub sessions: Vec<SessionLoad>,
    /// What it dials in vain: nodes that are alive, and seeds that somebody named.
    pub unreachable: Vec<UnreachableInfo>,
    /// The queues of its services.
    pub queues: Vec<ServiceLoad>,
    /// The services that it gave up, and why.
    pub given_up: BTreeMap<String, String>,
    /// How often it rejected something that members gossip, by what was wrong.
    pub rejected: BTreeMap<String, u64>,
}

/// Somebody whom a node dials in vain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UnreachableInfo {
    /// The node, or none for a seed of which only the address is known.
    pub peer: Option<String>,
    /// What was dialled.
    pub addresses: Vec<String>,
    /// What came of it.
    pub why: String,
    /// Nothing came back at all.
    pub silent: bool,
}
