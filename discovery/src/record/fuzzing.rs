//! Fuzz targets: records. See [`crate::fuzzing`].

#![expect(clippy::missing_panics_doc, reason = "a fuzz target panics where something is wrong")]

use data_encoding::BASE64_NOPAD;
use prost::Message;

use super::{RECORD_BYTES_MAX, open, sealed, wire};
use crate::fuzzing::{credentials, now};

/// The text that gossip carries.
pub fn discovery_record_text(bytes: &[u8]) {
    if let Ok(text) = str::from_utf8(bytes)
        && let Ok(record) = open(text, credentials(), now())
    {
        assert_eq!(record.mesh, credentials().mesh());
    }
}

/// The bytes of a record, signed by its node: whatever a member may sign.
pub fn discovery_record(bytes: &[u8]) {
    let credentials = credentials();
    let envelope = wire::Envelope {
        record: bytes.to_vec(),
        signature: credentials.sign(&sealed::signed_bytes(bytes)),
        certificates: credentials.certificate_chain().iter().map(|der| der.to_vec()).collect(),
    };
    let envelope = envelope.encode_to_vec();
    let opened = open(&BASE64_NOPAD.encode(&envelope), credentials, now());
    if let Ok(record) = opened {
        assert!(envelope.len() <= RECORD_BYTES_MAX + 2, "{} bytes", envelope.len());
        assert_eq!(record.id, credentials.id());
    }
}
