//! What rounds tell, as bytes: for each node its id, generation, version, rounds, and its signed record.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use qmesh_transport::NodeId;

use crate::NodeRecord;

/// What is told of one node.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct News {
    pub(super) id: NodeId,
    pub(super) generation: u64,
    pub(super) version: u64,
    pub(super) rounds: u64,
    pub(super) text: Arc<str>,
}

/// An id, three numbers, and a length.
pub(super) const HEAD: usize = 16 + 3 * 8 + 4;

pub(super) fn encode<'a>(nodes: impl Iterator<Item = (&'a Arc<NodeRecord>, &'a Arc<str>, u64)>) -> Bytes {
    let mut bytes = BytesMut::new();
    for (record, text, rounds) in nodes {
        bytes.put_slice(record.id.as_bytes());
        bytes.put_u64(record.generation);
        bytes.put_u64(record.version);
        bytes.put_u64(rounds);
        bytes.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
        bytes.put_slice(text.as_bytes());
    }
    bytes.freeze()
}

/// None if any of it is malformed.
pub(super) fn decode(mut bytes: Bytes) -> Option<Vec<News>> {
    let mut all = Vec::new();
    while bytes.has_remaining() {
        if bytes.remaining() < HEAD {
            return None;
        }
        let mut id = [0; 16];
        bytes.copy_to_slice(&mut id);
        let (generation, version, rounds) = (bytes.get_u64(), bytes.get_u64(), bytes.get_u64());
        let length = usize::try_from(bytes.get_u32()).ok()?;
        if length > bytes.remaining() {
            return None;
        }
        let text = std::str::from_utf8(&bytes.split_to(length)).ok()?.into();
        all.push(News { id: NodeId::from_bytes(id), generation, version, rounds, text });
    }
    Some(all)
}
