//! The numbers and bytes of this layer, against the golden vectors.

use std::time::Duration;

use qmesh_trial::golden;
use rustls_pki_types::UnixTime;

use crate::{
    CertificateRefused, CloseCode, Credentials, NodeId, ResetCode,
    handshake::{Refusal, sentence},
};

/// The `SubjectPublicKeyInfo` of an Ed25519 key, as DER: twelve fixed bytes and the key, here 0 to 31.
fn public_key() -> Vec<u8> {
    let head = golden::bytes_of("302a300506032b6570032100");
    head.into_iter().chain(0..32).collect()
}

fn credentials() -> Credentials {
    Credentials::from_pem(golden::CERTIFICATE, golden::KEY, golden::AUTHORITY).unwrap()
}

/// In the order of the document's table.
fn refusals() -> Vec<Refusal> {
    let id = NodeId::from_bytes([0; 16]);
    let time = UnixTime::since_unix_epoch(Duration::ZERO);
    let other_mesh = CertificateRefused::OtherMesh { theirs: String::new(), ours: String::new() };
    vec![
        Refusal::Unexpected { expected: id, found: id },
        CertificateRefused::NotANode.into(),
        CertificateRefused::Purpose.into(),
        CertificateRefused::Expired { not_after: time, now: time }.into(),
        CertificateRefused::NotYetValid { not_before: time, now: time }.into(),
        CertificateRefused::Malformed.into(),
        CertificateRefused::Anonymous.into(),
        CertificateRefused::UnknownAuthority.into(),
        other_mesh.into(),
    ]
}

#[test]
fn the_bytes_of_this_layer_are_the_golden_ones() {
    let close = [
        CloseCode::DROPPED,
        CloseCode::SHUTDOWN,
        CloseCode::REPLACED,
        CloseCode::PROTOCOL,
        CloseCode::LIMIT,
        CloseCode::UNEXPECTED_PEER,
    ];
    let reset = [
        ResetCode::DROPPED,
        ResetCode::PROTOCOL,
        ResetCode::REFUSED,
        ResetCode::CANCELLED,
        ResetCode::DRAINED,
        ResetCode::CROWDED,
    ];
    let byte = |code: u32| u8::try_from(code).unwrap();
    let alerts = refusals().iter().map(|refusal| refusal.alert().into()).collect();
    golden::compare(
        "transport",
        [
            ("public_key", public_key()),
            ("node_id", NodeId::of_public_key(&public_key()).as_bytes().to_vec()),
            ("node_id_text", NodeId::of_public_key(&public_key()).to_string().into_bytes()),
            ("signature", credentials().sign(b"hello")),
            ("close_codes", close.map(|code| byte(code.0)).to_vec()),
            ("reset_codes", reset.map(|code| byte(code.0)).to_vec()),
            ("alerts", alerts),
        ],
    );
}

#[test]
fn the_golden_bytes_are_read_back() {
    let text = String::from_utf8(golden::vector("transport", "node_id_text")).unwrap();
    assert_eq!(text.parse::<NodeId>().unwrap().as_bytes()[..], golden::vector("transport", "node_id"));
    let signature = golden::vector("transport", "signature");
    assert!(credentials().peer_identity().verify_signature(b"hello", &signature));
    for alert in golden::vector("transport", "alerts") {
        let told = sentence(alert.into());
        assert!(!told.contains("TLS alert"), "alert {alert} has a sentence: {told}");
    }
}
