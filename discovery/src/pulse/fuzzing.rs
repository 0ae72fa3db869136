//! Fuzz targets: pulses. See [`crate::fuzzing`].

#![expect(clippy::missing_panics_doc, reason = "a fuzz target panics where something is wrong")]

use std::{sync::OnceLock, time::Duration};

use bytes::Bytes;
use qmesh_transport::NodeId;
use tokio::time::Instant;

use super::{
    machine::{Machine, Outcome},
    wire::{Entry, Message},
};
use crate::{
    Announcement, Config, NodeState,
    config::MESSAGE_BYTES_MAX,
    fuzzing::{credentials, now, peer},
    now::Now,
    record::{Order, Sealed},
};

/// The most nodes that the machine remembers.
const NODES_MAX: usize = 3;

/// A message, as it comes.
pub fn discovery_pulse_message(bytes: &[u8]) {
    let Ok(message) = Message::decode(Bytes::copy_from_slice(bytes)) else { return };
    assert_eq!(message.encode(), bytes, "one message has one form");
}

/// A message to a node that knows a living peer, twice. The id of zeros stands for the peer, that of `0x01` for ourselves,
/// and the text `R` for a record of the peer: no fuzzer makes a signature up.
pub fn discovery_pulse_machine(bytes: &[u8]) {
    let Ok(mut message) = Message::decode(Bytes::copy_from_slice(bytes)) else { return };
    match &mut message {
        Message::Pulse(_) => {}
        Message::Detail(detail) => detail.entries.iter_mut().for_each(name),
        Message::Records(records) => {
            records.wanted.iter_mut().for_each(|id| *id = named(*id));
            for (entry, text) in &mut records.records {
                name(entry);
                if &**text == "R" {
                    *text = peers(3).text;
                }
            }
        }
    }
    let encoded = message.encode();
    if encoded.len() > MESSAGE_BYTES_MAX {
        return;
    }
    let (mut machine, began) = machine();
    for step in 1..3 {
        let now = Now { wall: now(), instant: began + Duration::from_millis(100) * step };
        check(&machine.received(NodeId::from_bytes([2; 16]), encoded.clone(), now));
        check(&machine.tick(now.instant));
        assert!(machine.nodes() <= NODES_MAX, "more nodes than allowed");
    }
    assert!(machine.is_alive(peer().id()), "a message killed a node that has just spoken");
}

/// A node that has just heard of a peer.
fn machine() -> (Machine, Instant) {
    let mut config = Config::local();
    config.nodes_max = NODES_MAX;
    let (mut machine, began) = (Machine::new(&config, credentials().clone()), Instant::now());
    check(&machine.start(sealed(credentials(), 7, 1), began));
    check(&machine.know(peers(2), began));
    (machine, began)
}

/// Whatever a node says is a message.
fn check(outcome: &Outcome) {
    for (_, message) in &outcome.messages {
        assert_eq!(Message::decode(message.encode()).as_ref(), Ok(message));
    }
}

fn name(entry: &mut Entry) {
    entry.id = named(entry.id);
}

fn named(id: NodeId) -> NodeId {
    match id.as_bytes() {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] => peer().id(),
        [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1] => credentials().id(),
        _ => id,
    }
}

/// The peer's record: generation 2, and one of two versions.
fn peers(version: u64) -> Sealed {
    static RECORDS: OnceLock<[Sealed; 2]> = OnceLock::new();
    let records = RECORDS.get_or_init(|| [2, 3].map(|version| sealed(peer(), 2, version)));
    records[usize::from(version != 2)].clone()
}

fn sealed(credentials: &qmesh_transport::Credentials, generation: u64, version: u64) -> Sealed {
    let order = Order { incarnation: 1, generation, version };
    let announcement =
        Announcement { state: NodeState::Ready, addresses: vec![], zone: None, services: vec![] };
    Sealed::seal(credentials, order, &announcement).expect("it is small")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_target_reaches_what_is_behind_the_signature() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/discovery_pulse_machine");
        let bytes = std::fs::read(format!("{corpus}/news_of_the_peer")).unwrap();
        let Ok(Message::Records(mut records)) = Message::decode(bytes.into()) else { panic!("records") };
        name(&mut records.records[0].0);
        records.records[0].1 = peers(3).text;
        let (mut machine, began) = machine();
        let now = Now { wall: now(), instant: began };
        let outcome = machine.received(peer().id(), Message::Records(records).encode(), now);
        assert!(outcome.rejected.is_empty() && !outcome.events.is_empty(), "{:?}", outcome.rejected);
    }
}
