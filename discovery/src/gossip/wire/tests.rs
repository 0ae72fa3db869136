//! The format, against golden bytes, against chitchat itself, and against noise.

use std::net::{Ipv4Addr, Ipv6Addr};

use chitchat::{ChitchatMessage, Deserializable, Serializable};
use proptest::prelude::*;
use qmesh_transport::NodeId;
use qmesh_trial::golden;

use super::*;

fn member(name: &str) -> MemberId {
    let address = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 1);
    MemberId { name: name.into(), generation: 2, address }
}

fn digest() -> Vec<DigestEntry> {
    vec![DigestEntry { member: member("a"), heartbeat: 3, collected: 0, version: 4 }]
}

fn delta() -> Vec<NodeDelta> {
    let entry = Entry { key: "r".into(), value: "v".repeat(70_000 / 2), version: 4, status: Status::Set };
    vec![
        NodeDelta { member: member("a"), collected: 0, from: 0, entries: vec![entry.clone()], newest: None },
        NodeDelta { member: member("b"), collected: 0, from: 0, entries: vec![], newest: Some(9) },
        NodeDelta { member: member("c"), collected: 0, from: 0, entries: vec![entry], newest: None },
    ]
}

fn messages() -> Vec<Message> {
    vec![
        Message::Syn { digest: digest(), mesh: "test".into() },
        Message::SynAck { digest: digest(), delta: delta() },
        Message::Ack { delta: delta() },
        Message::BadCluster,
    ]
}

/// The messages of the golden vectors, as honest nodes send them but for the record's text.
fn golden_messages() -> [(&'static str, Message); 5] {
    let id = NodeId::from_bytes(golden::vector("transport", "node_id").try_into().unwrap());
    let member = MemberId::new(id, 2);
    let digest = vec![DigestEntry { member: member.clone(), heartbeat: 3, collected: 0, version: 4 }];
    let entry = Entry { key: "r".into(), value: "Cg".into(), version: 4, status: Status::Set };
    let node = NodeDelta { member, collected: 0, from: 0, entries: vec![entry], newest: None };
    // What only liars send is in the format all the same.
    let mut odd = node.clone();
    odd.newest = Some(7);
    for status in [Status::Deleted, Status::Expiring] {
        odd.entries.push(Entry { status, ..odd.entries[0].clone() });
    }
    [
        ("gossip_syn", Message::Syn { digest: digest.clone(), mesh: "test".into() }),
        ("gossip_syn_ack", Message::SynAck { digest, delta: vec![] }),
        ("gossip_ack", Message::Ack { delta: vec![node] }),
        ("gossip_ack_odd", Message::Ack { delta: vec![odd] }),
        ("gossip_bad_cluster", Message::BadCluster),
    ]
}

#[test]
fn the_bytes_of_gossip_are_the_golden_ones() {
    golden::compare("gossip", golden_messages().map(|(name, message)| (name, message.encode())));
    for (name, message) in golden_messages() {
        assert_eq!(Message::decode(&golden::vector("gossip", name)), Ok(message), "{name}");
    }
}

#[test]
fn what_is_written_is_read_alike_here_and_by_chitchat() {
    for message in messages() {
        let bytes = message.encode();
        assert_eq!(
            Message::decode(&bytes).as_ref().ok(),
            Some(&message).filter(|_| bytes.len() <= MESSAGE_BYTES_MAX)
        );
        let theirs = ChitchatMessage::deserialize(&mut &bytes[..]).unwrap();
        let shown = format!("{theirs:?}");
        let names = ["a", "b", "c"].map(|name| shown.contains(&format!("{name}:2:[::1]:1")));
        match message {
            Message::Syn { .. } => {
                assert_eq!(theirs.serialize_to_vec(), bytes);
                assert_eq!(names, [true, false, false]);
            }
            Message::BadCluster => assert_eq!(theirs.serialize_to_vec(), bytes),
            Message::SynAck { .. } | Message::Ack { .. } => assert_eq!(names, [true, true, true]),
        }
    }
}

#[test]
fn compressed_blocks_are_read() {
    let plain = Message::Ack { delta: delta()[1..2].to_vec() };
    let bytes = plain.encode();
    let frame = zstd::bulk::compress(&bytes[7..bytes.len() - 1], 0).unwrap();
    let mut compressed = bytes[..4].to_vec();
    compressed.push(1);
    compressed.put_u16_le(u16::try_from(frame.len()).unwrap());
    compressed.extend(frame);
    compressed.push(0);
    assert_eq!(Message::decode(&compressed), Ok(plain));
}

#[test]
fn inflation_ends_at_the_limit() {
    let frame = zstd::bulk::compress(&[0; BLOCK_BYTES_MAX], 0).unwrap();
    let mut bytes = vec![0x53, 0xb0, 0, 2];
    for _ in 0..INFLATED_BYTES_MAX / BLOCK_BYTES_MAX + 1 {
        bytes.push(1);
        bytes.put_u16_le(u16::try_from(frame.len()).unwrap());
        bytes.extend(&frame);
    }
    bytes.push(0);
    assert!(bytes.len() < 1_000);
    assert_eq!(Message::decode(&bytes), Err(Rejection::Bomb));
}

#[test]
fn operations_end_at_the_limit() {
    let node = NodeDelta { member: member("a"), collected: 0, from: 0, entries: vec![], newest: None };
    let mut plain = Vec::new();
    put_delta(&mut plain, std::slice::from_ref(&node));
    // A block's header stands before it, and the end of all blocks behind it.
    let operation = &plain[3..plain.len() - 1];
    let compressed = |count| {
        let mut bytes = vec![0x53, 0xb0, 0, 2];
        for block in operation.repeat(count).chunks(BLOCK_BYTES_MAX) {
            let frame = zstd::bulk::compress(block, 0).unwrap();
            bytes.push(1);
            bytes.put_u16_le(u16::try_from(frame.len()).unwrap());
            bytes.extend(&frame);
        }
        bytes.push(0);
        Message::decode(&bytes)
    };
    assert_eq!(compressed(OPERATIONS_MAX), Ok(Message::Ack { delta: vec![node.clone(); OPERATIONS_MAX] }));
    assert_eq!(compressed(OPERATIONS_MAX + 1), Err(Rejection::Bomb));
}

#[test]
fn a_block_that_inflates_beyond_its_own_limit_is_malformed() {
    let frame = zstd::bulk::compress(&[0; BLOCK_BYTES_MAX + 1], 0).unwrap();
    let mut bytes = vec![0x53, 0xb0, 0, 2, 1];
    bytes.put_u16_le(u16::try_from(frame.len()).unwrap());
    bytes.extend(&frame);
    bytes.push(0);
    assert_eq!(Message::decode(&bytes), Err(Rejection::Malformed));
}

#[test]
fn every_cut_is_malformed() {
    for message in messages() {
        let bytes = message.encode();
        for length in 0..bytes.len().min(300) {
            assert_eq!(
                Message::decode(&bytes[..length]),
                Err(Rejection::Malformed),
                "{length} of {message:?}"
            );
        }
    }
}

#[test]
fn ipv4_addresses_are_read_too() {
    let mut message = Message::Syn { digest: digest(), mesh: "test".into() };
    if let Message::Syn { digest, .. } = &mut message {
        digest[0].member.address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 1);
    }
    assert_eq!(Message::decode(&message.encode()), Ok(message));
}

fn any_member() -> impl Strategy<Value = MemberId> {
    (".{0,9}", any::<u64>(), any::<IpAddr>(), any::<u16>()).prop_map(|(name, generation, ip, port)| {
        MemberId { name, generation, address: SocketAddr::new(ip, port) }
    })
}

fn any_digest() -> impl Strategy<Value = Vec<DigestEntry>> {
    let entry = (any_member(), any::<[u64; 3]>());
    let entry = entry.prop_map(|(member, [heartbeat, collected, version])| DigestEntry {
        member,
        heartbeat,
        collected,
        version,
    });
    prop::collection::vec(entry, 0..5)
}

fn any_delta() -> impl Strategy<Value = Vec<NodeDelta>> {
    let status = prop::sample::select(vec![Status::Set, Status::Deleted, Status::Expiring]);
    let entry = (".{0,9}", ".{0,40}", any::<u64>(), status);
    let entry = entry.prop_map(|(key, value, version, status)| Entry { key, value, version, status });
    let entries = prop::collection::vec(entry, 0..4);
    let node = (any_member(), any::<[u64; 2]>(), entries, any::<Option<u64>>());
    let node = node.prop_map(|(member, [collected, from], entries, newest)| NodeDelta {
        member,
        collected,
        from,
        entries,
        newest,
    });
    prop::collection::vec(node, 0..4)
}

fn any_message() -> impl Strategy<Value = Message> {
    prop_oneof![
        (any_digest(), ".{0,20}").prop_map(|(digest, mesh)| Message::Syn { digest, mesh }),
        (any_digest(), any_delta()).prop_map(|(digest, delta)| Message::SynAck { digest, delta }),
        any_delta().prop_map(|delta| Message::Ack { delta }),
        Just(Message::BadCluster),
    ]
}

proptest! {
    #[test]
    fn any_message_survives_its_bytes_and_is_nothing_when_cut(message in any_message()) {
        let bytes = message.encode();
        prop_assert_eq!(Message::decode(&bytes), Ok(message));
        for cut in 0..bytes.len() {
            prop_assert_eq!(Message::decode(&bytes[..cut]), Err(Rejection::Malformed));
        }
        let longer = [&bytes[..], &[0]].concat();
        prop_assert_eq!(Message::decode(&longer), Err(Rejection::Malformed));
    }

    #[test]
    fn noise_is_refused_and_breaks_nothing(kind in 0_u8..5, noise in prop::collection::vec(any::<u8>(), 0..400)) {
        let bytes = [&[0x53, 0xb0, 0, kind][..], &noise].concat();
        if let Ok(message) = Message::decode(&bytes) {
            prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn a_flipped_bit_breaks_nothing(which in 0_usize..4, position in 0_usize..200, bit in 0_u8..8) {
        let mut bytes = messages()[which].encode();
        let position = position % bytes.len();
        bytes[position] ^= 1 << bit;
        if let Ok(message) = Message::decode(&bytes) {
            prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
        }
    }
}
