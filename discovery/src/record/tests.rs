//! Records that travel.

use std::{sync::Arc, time::Duration};

use data_encoding::BASE64_NOPAD;
use proptest::{collection::vec, prelude::*};
use prost::Message;
use qmesh_transport::{Authority, Credentials, Identity};
use qmesh_trial::golden;
use rustls_pki_types::UnixTime;

use super::{sealed::RecordError, wire, *};

const ORDER: Order = Order { incarnation: 1, generation: 2, version: 3 };

fn credentials() -> Credentials {
    Identity::issued_by(&Authority::ephemeral("test").unwrap()).credentials("lobby").unwrap()
}

fn announcement() -> Announcement {
    Announcement {
        state: NodeState::Ready,
        addresses: vec![Address::memory("lobby")],
        zone: Some("cellar".into()),
        services: vec![ServiceRecord {
            name: "chat.Chat".into(),
            version: "1.2".into(),
            weight: 5,
            fingerprint: 7,
        }],
    }
}

#[test]
fn a_record_survives_its_way() {
    let credentials = credentials();
    let sealed = Sealed::seal(&credentials, ORDER, &announcement()).unwrap();
    let record = open(&sealed.text, &credentials, UnixTime::now()).unwrap();
    assert_eq!(record, *sealed.record);
    assert_eq!((record.name.as_str(), record.mesh.as_str(), record.id), ("lobby", "test", credentials.id()));
    assert_eq!((record.incarnation, record.order()), (1, (2, 3)));
}

/// The node whose key and certificate are in the golden vectors, with its clock.
fn golden_node() -> (Credentials, UnixTime) {
    let credentials = Credentials::from_pem(golden::CERTIFICATE, golden::KEY, golden::AUTHORITY).unwrap();
    (credentials, UnixTime::since_unix_epoch(Duration::from_secs(golden::TIME)))
}

#[test]
fn the_bytes_of_a_record_are_the_golden_ones() {
    let (credentials, now) = golden_node();
    let sealed = Sealed::seal(&credentials, ORDER, &announcement()).unwrap();
    let envelope = BASE64_NOPAD.decode(sealed.text.as_bytes()).unwrap();
    let wire::Envelope { record, signature, .. } = wire::Envelope::decode(&envelope[..]).unwrap();
    // In the order of the numbers: 1 starting, 2 ready, 3 draining, 4 gone.
    let states = [NodeState::Starting, NodeState::Ready, NodeState::Draining, NodeState::Gone];
    let states = states.map(|state| {
        let announcement = Announcement { state, addresses: vec![], zone: None, services: vec![] };
        let sealed = Sealed::seal(&credentials, ORDER, &announcement).unwrap();
        assert_eq!(open(&sealed.text, &credentials, now).unwrap().state, state);
        let envelope = BASE64_NOPAD.decode(sealed.text.as_bytes()).unwrap();
        let record = wire::Envelope::decode(&envelope[..]).unwrap().record;
        u8::try_from(wire::Record::decode(&record[..]).unwrap().state).unwrap()
    });
    golden::compare(
        "record",
        [
            ("record", record),
            ("record_signature", signature),
            ("record_envelope", envelope),
            ("record_states", states.to_vec()),
        ],
    );
}

#[test]
fn the_golden_record_is_read() {
    let (credentials, now) = golden_node();
    let text = BASE64_NOPAD.encode(&golden::vector("record", "record_envelope"));
    let record = open(&text, &credentials, now).unwrap();
    assert_eq!((record.name.as_str(), record.mesh.as_str()), ("lobby", "vectors"));
    assert_eq!((record.incarnation, record.order()), (1, (2, 3)));
    let Announcement { state, addresses, zone, services } = announcement();
    assert_eq!((record.state, record.addresses, record.zone), (state, addresses, zone));
    assert_eq!(record.services, services);
    // The signature covers both contexts and the record, and nothing else.
    let signature = golden::vector("record", "record_signature");
    let message = [&b"qmesh record 1\0"[..], &golden::vector("record", "record")].concat();
    assert!(credentials.peer_identity().verify_signature(&message, &signature));
}

#[test]
fn no_change_of_a_single_character_yields_another_record() {
    let credentials = credentials();
    let sealed = Sealed::seal(&credentials, ORDER, &announcement()).unwrap();
    for position in 0..sealed.text.len() {
        let mut text = sealed.text.as_bytes().to_vec();
        text[position] = if text[position] == b'A' { b'B' } else { b'A' };
        let opened = open(str::from_utf8(&text).unwrap(), &credentials, UnixTime::now());
        assert!(opened.is_err() || opened.as_ref() == Ok(&*sealed.record), "at {position}: {opened:?}");
    }
}

#[test]
fn records_of_strangers_and_of_clients_are_refused() {
    let ours = credentials();
    let stranger = Sealed::seal(&credentials(), ORDER, &announcement()).unwrap();
    assert_eq!(open(&stranger.text, &ours, UnixTime::now()), Err(RecordError::Certificate));

    let identity = Identity::issued_by(&Authority::ephemeral("test").unwrap());
    let client = Sealed::seal(&identity.client_credentials("cli").unwrap(), ORDER, &announcement()).unwrap();
    let node = identity.credentials("lobby").unwrap();
    assert_eq!(open(&client.text, &node, UnixTime::now()), Err(RecordError::Certificate));
}

#[test]
fn a_record_of_an_expired_certificate_is_refused() {
    let credentials = credentials();
    let sealed = Sealed::seal(&credentials, ORDER, &announcement()).unwrap();
    let century = Duration::from_hours(24 * 365 * 100);
    let later = UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs()) + century);
    assert_eq!(open(&sealed.text, &credentials, later), Err(RecordError::Certificate));
}

#[test]
fn another_message_signed_by_the_same_key_is_no_record() {
    let credentials = credentials();
    let record =
        wire::Record { generation: 2, version: 3, state: wire::State::Ready.into(), ..Default::default() };
    let record = record.encode_to_vec();
    let envelope = wire::Envelope {
        signature: credentials.sign(&record),
        record,
        certificates: credentials.certificate_chain().iter().map(|der| der.to_vec()).collect(),
    };
    let text = BASE64_NOPAD.encode(&envelope.encode_to_vec());
    assert_eq!(open(&text, &credentials, UnixTime::now()), Err(RecordError::Signature));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let credentials = credentials();
    for text in ["", "?", "AAAA", "AAAA\n"] {
        assert!(open(text, &credentials, UnixTime::now()).is_err(), "{text:?}");
    }
    let long = "A".repeat(RECORD_BYTES_MAX * 2);
    assert!(matches!(open(&long, &credentials, UnixTime::now()), Err(RecordError::TooLarge(_))));
}

#[test]
fn the_limit_is_for_all_of_a_sealed_record() {
    let credentials = credentials();
    let mut announcement = announcement();
    let fits = |announcement: &Announcement| Sealed::seal(&credentials, ORDER, announcement);
    // The largest zone that fits, and one more.
    let largest = (0..RECORD_BYTES_MAX).rev().find(|length| {
        announcement.zone = Some("z".repeat(*length));
        fits(&announcement).is_ok()
    });
    let largest = largest.unwrap();
    announcement.zone = Some("z".repeat(largest));
    let sealed = fits(&announcement).unwrap();
    assert!(open(&sealed.text, &credentials, UnixTime::now()).is_ok());
    announcement.zone = Some("z".repeat(largest + 1));
    let refused = fits(&announcement).unwrap_err();
    assert_eq!((refused.bytes, refused.limit), (RECORD_BYTES_MAX + 1, RECORD_BYTES_MAX));
}

#[test]
fn an_address_of_a_scheme_from_the_future_is_left_out() {
    let record = wire::Record {
        state: wire::State::Ready.into(),
        addresses: vec!["warp://10".into(), "memory://lobby".into()],
        ..Default::default()
    };
    let record = sealed::node_record(&credentials().peer_identity(), record).unwrap();
    assert_eq!(record.addresses, [Address::memory("lobby")]);
}

fn any_announcement() -> impl Strategy<Value = Announcement> {
    let state = prop::sample::select(vec![
        NodeState::Starting,
        NodeState::Ready,
        NodeState::Draining,
        NodeState::Gone,
    ]);
    let address = prop_oneof![
        any::<std::net::SocketAddr>().prop_map(|socket| Address::quic(match socket {
            // A scope has no place in an address.
            std::net::SocketAddr::V6(socket) => (*socket.ip(), socket.port()).into(),
            socket @ std::net::SocketAddr::V4(_) => socket,
        })),
        "[a-z]{1,9}".prop_map(Address::memory),
    ];
    let service = (".{1,20}", ".{0,9}", any::<u32>(), any::<u64>());
    let service = service.prop_map(|(name, version, weight, fingerprint)| ServiceRecord {
        name,
        version,
        weight,
        fingerprint,
    });
    let parts = (state, vec(address, 0..4), prop::option::of(".{0,20}"), vec(service, 0..6));
    parts.prop_map(|(state, addresses, zone, services)| Announcement { state, addresses, zone, services })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_record_survives_its_way(announcement in any_announcement(), numbers: [u64; 3]) {
        let (credentials, now) = golden_node();
        let [incarnation, generation, version] = numbers;
        let order = Order { incarnation, generation, version };
        let sealed = Sealed::seal(&credentials, order, &announcement).unwrap();
        prop_assert_eq!(open(&sealed.text, &credentials, now), Ok(Arc::unwrap_or_clone(sealed.record)));
    }
}
