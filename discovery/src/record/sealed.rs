//! A record as it travels: signed by its node, and text, because gossip carries text.
//!
//! ```text
//! text      = base64(envelope), without padding
//! envelope  = record bytes, signature, certificate chain (leaf first)   at most RECORD_BYTES_MAX bytes
//! signature = Credentials::sign, over "qmesh record 1\0" and the record bytes
//! ```

use std::sync::Arc;

use data_encoding::BASE64_NOPAD;
use prost::Message;
use qmesh_transport::{Credentials, PeerIdentity, Role};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::{Announcement, NodeRecord, NodeState, RECORD_BYTES_MAX, ServiceRecord, wire};

/// Stands before the signed bytes, so that nothing else that the node signs can pass for a record.
const SIGNATURE_CONTEXT: &[u8] = b"qmesh record 1\0";

/// A record of our own, signed and ready to travel.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    /// What travels.
    pub(crate) text: Arc<str>,
    /// What it says.
    pub(crate) record: Arc<NodeRecord>,
}

/// The numbers that order a node's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) incarnation: u64,
    pub(crate) generation: u64,
    pub(crate) version: u64,
}

/// A record that would be larger than peers accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record would take {bytes} bytes and may take {limit}: announce fewer or shorter services")]
pub struct RecordTooLarge {
    /// What it would take, signature and certificates included.
    pub bytes: usize,
    /// What it may take: [`RECORD_BYTES_MAX`].
    pub limit: usize,
}

/// Why a text is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    #[error(transparent)]
    TooLarge(#[from] RecordTooLarge),
    #[error("the record does not decode")]
    Malformed,
    #[error("the record's certificate is not of a node of this mesh, has expired, or is broken")]
    Certificate,
    #[error("the record's signature is not by its certificate's key")]
    Signature,
}

impl Sealed {
    /// Signs what a node announces.
    pub(crate) fn seal(
        credentials: &Credentials,
        order: Order,
        announcement: &Announcement,
    ) -> Result<Self, RecordTooLarge> {
        let bytes = wire_record(order, announcement).encode_to_vec();
        let envelope = wire::Envelope {
            signature: credentials.sign(&signed_bytes(&bytes)),
            record: bytes,
            certificates: credentials.certificate_chain().iter().map(|der| der.to_vec()).collect(),
        };
        let bytes = envelope.encoded_len();
        if bytes > RECORD_BYTES_MAX {
            return Err(RecordTooLarge { bytes, limit: RECORD_BYTES_MAX });
        }
        let record = NodeRecord {
            mesh: credentials.mesh().to_owned(),
            id: credentials.id(),
            name: credentials.name().to_owned(),
            incarnation: order.incarnation,
            generation: order.generation,
            version: order.version,
            state: announcement.state,
            addresses: announcement.addresses.clone(),
            zone: announcement.zone.clone(),
            services: announcement.services.clone(),
        };
        Ok(Self { text: BASE64_NOPAD.encode(&envelope.encode_to_vec()).into(), record: Arc::new(record) })
    }
}

/// Decodes and verifies a record that travelled. `credentials` say what mesh we are of.
pub(crate) fn open(text: &str, credentials: &Credentials, now: UnixTime) -> Result<NodeRecord, RecordError> {
    let bytes = text.len() / 4 * 3;
    if bytes > RECORD_BYTES_MAX {
        return Err(RecordTooLarge { bytes, limit: RECORD_BYTES_MAX }.into());
    }
    let bytes = BASE64_NOPAD.decode(text.as_bytes()).map_err(|_no_base64| RecordError::Malformed)?;
    let envelope = wire::Envelope::decode(&bytes[..]).map_err(|_no_protobuf| RecordError::Malformed)?;
    let chain: Vec<_> = envelope.certificates.iter().map(|der| CertificateDer::from(&der[..])).collect();
    let peer = credentials.verify_peer(&chain, now).map_err(|_refused| RecordError::Certificate)?;
    if peer.role() != Role::Node {
        return Err(RecordError::Certificate);
    }
    if !peer.verify_signature(&signed_bytes(&envelope.record), &envelope.signature) {
        return Err(RecordError::Signature);
    }
    let record = wire::Record::decode(&envelope.record[..]).map_err(|_no_protobuf| RecordError::Malformed)?;
    node_record(&peer, record)
}

pub(super) fn signed_bytes(record: &[u8]) -> Vec<u8> {
    [SIGNATURE_CONTEXT, record].concat()
}

pub(super) fn node_record(peer: &PeerIdentity, record: wire::Record) -> Result<NodeRecord, RecordError> {
    let state = match record.state() {
        wire::State::Unspecified => return Err(RecordError::Malformed),
        wire::State::Starting => NodeState::Starting,
        wire::State::Ready => NodeState::Ready,
        wire::State::Draining => NodeState::Draining,
        wire::State::Gone => NodeState::Gone,
    };
    Ok(NodeRecord {
        mesh: peer.mesh().to_owned(),
        id: peer.id(),
        name: peer.name().to_owned(),
        incarnation: record.incarnation,
        generation: record.generation,
        version: record.version,
        state,
        // A newer node may know schemes that we do not: it can still be reached by the others.
        addresses: record.addresses.iter().filter_map(|text| text.parse().ok()).collect(),
        zone: record.zone,
        services: record.services.into_iter().map(ServiceRecord::from).collect(),
    })
}

fn wire_record(order: Order, announcement: &Announcement) -> wire::Record {
    let state = match announcement.state {
        NodeState::Starting => wire::State::Starting,
        NodeState::Ready => wire::State::Ready,
        NodeState::Draining => wire::State::Draining,
        NodeState::Gone => wire::State::Gone,
    };
    wire::Record {
        incarnation: order.incarnation,
        generation: order.generation,
        version: order.version,
        state: state.into(),
        addresses: announcement.addresses.iter().map(ToString::to_string).collect(),
        zone: announcement.zone.clone(),
        services: announcement.services.iter().cloned().map(wire::Service::from).collect(),
    }
}

// === impl ServiceRecord ===

impl From<wire::Service> for ServiceRecord {
    fn from(service: wire::Service) -> Self {
        let wire::Service { name, version, weight, fingerprint } = service;
        Self { name, version, weight, fingerprint }
    }
}

impl From<ServiceRecord> for wire::Service {
    fn from(service: ServiceRecord) -> Self {
        let ServiceRecord { name, version, weight, fingerprint } = service;
        Self { name, version, weight, fingerprint }
    }
}
