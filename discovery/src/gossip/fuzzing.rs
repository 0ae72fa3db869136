//! Fuzz targets: messages of gossip. See [`crate::fuzzing`].

#![expect(clippy::missing_panics_doc, reason = "a fuzz target panics where something is wrong")]

use std::sync::OnceLock;

use chitchat::{ChitchatMessage, Deserializable};
use qmesh_transport::NodeId;
use tokio::time::Instant;

use super::{
    filter::{Filter, Passed},
    member::{address_of, node_of},
    wire::{MemberId, Message},
};
use crate::{
    Announcement, NodeState,
    config::MESSAGE_BYTES_MAX,
    fuzzing::{credentials, now, peer},
    now::Now,
    record::{Order, Sealed},
};

/// The most nodes that the filter lets chitchat know.
const NODES_MAX: usize = 3;

/// A message, as it comes.
pub fn discovery_gossip_message(bytes: &[u8]) {
    let Ok(message) = Message::decode(bytes) else { return };
    let written = message.encode();
    // What was compressed may not fit any more.
    if written.len() <= MESSAGE_BYTES_MAX {
        assert_eq!(Message::decode(&written), Ok(message));
    }
}

/// A message, and what chitchat makes of that which passes. The address of zeros stands for a peer, that of `0x01` for
/// ourselves, and the value `R` for the peer's record: no fuzzer makes a signature up.
pub fn discovery_gossip_filter(bytes: &[u8]) {
    let Some(passed) = judged(bytes).and_then(|passed| passed.message) else { return };
    let written = passed.encode();
    let theirs = ChitchatMessage::deserialize(&mut &written[..]);
    assert!(theirs.is_ok(), "chitchat cannot read what passed: {passed:?}");
}

/// What the filter makes of the message when it comes for the second time.
fn judged(bytes: &[u8]) -> Option<Passed> {
    let mut message = Message::decode(bytes).ok()?;
    let (digest, delta) = match &mut message {
        Message::Syn { digest, .. } => (Some(digest), None),
        Message::SynAck { digest, delta } => (Some(digest), Some(delta)),
        Message::Ack { delta } => (None, Some(delta)),
        Message::BadCluster => (None, None),
    };
    digest.into_iter().flatten().for_each(|entry| name(&mut entry.member));
    for node in delta.into_iter().flatten() {
        name(&mut node.member);
        let placeholders = node.entries.iter_mut().filter(|entry| entry.value == "R");
        placeholders.for_each(|entry| peers_record().text.as_ref().clone_into(&mut entry.value));
    }
    let mut filter = Filter::new(credentials().clone(), NODES_MAX);
    filter.begin(7);
    let now = Now { wall: now(), instant: Instant::now() };
    let first = filter.pass(NodeId::from_bytes([1; 16]), message.clone(), now);
    let second = filter.pass(NodeId::from_bytes([1; 16]), message, now);
    assert!(filter.digest_nodes() <= NODES_MAX, "more nodes than allowed");
    Some(Passed { records: first.records, ..second })
}

fn name(member: &mut MemberId) {
    match node_of(member.address) {
        Some(id) if id.as_bytes() == &[0; 16] => member.address = address_of(peers_record().record.id),
        Some(id) if id.as_bytes() == &[1; 16] => member.address = address_of(credentials().id()),
        _ => {}
    }
}

/// The peer's record: generation 2, version 3.
fn peers_record() -> &'static Sealed {
    static RECORD: OnceLock<Sealed> = OnceLock::new();
    RECORD.get_or_init(|| {
        let order = Order { incarnation: 1, generation: 2, version: 3 };
        let announcement =
            Announcement { state: NodeState::Ready, addresses: vec![], zone: None, services: vec![] };
        Sealed::seal(peer(), order, &announcement).expect("it is small")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_target_reaches_what_is_behind_the_signature() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/discovery_gossip_filter");
        let bytes = std::fs::read(format!("{corpus}/syn_ack_peer")).unwrap();
        let passed = judged(&bytes).unwrap();
        assert_eq!(passed.records.len(), 1, "{:?}", passed.rejected);
        assert!(passed.message.is_some());
    }
}
