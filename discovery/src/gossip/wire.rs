//! The wire format of chitchat 0.11.2, read with care.
//!
//! chitchat's own decoder has no bound on what it inflates, and its types cannot be looked into. So every message is
//! read here, looked through, and written anew in one canonical form; chitchat never sees the sender's bytes.
//!
//! ```text
//! message  = 45139 u16, 0 u8, kind u8, body             integers are little-endian
//! body     = 0 SYN: digest, mesh string | 1 SYN-ACK: digest, delta | 2 ACK: delta | 3 BAD-CLUSTER: nothing
//! string   = length u16, UTF-8
//! member   = id string, generation u64, address (4 u8, 4 bytes | 6 u8, 16 bytes; port u16)
//! digest   = count u16, { member, heartbeat u64, collected version u64, newest version u64 }
//! delta    = { 1 u8, length u16, zstd frame | 2 u8, length u16, plain bytes }, 0 u8
//!            whose plain bytes in a row are operations:
//! operation = 0 u8, member, collected version u64, from version u64       all that follows is about this member
//!           | 1 u8, key string, value string, version u64, status u8      0 set, 1 deleted, 2 to be deleted
//!           | 2 u8, newest version u64
//! ```

use std::net::{IpAddr, SocketAddr};

use bytes::{Buf, BufMut};

use crate::{Rejection, config::MESSAGE_BYTES_MAX};

const MAGIC: u16 = 45_139;
const PROTOCOL_VERSION: u8 = 0;

/// The most that the delta of one message may inflate to. An honest record holds at least 500 incompressible bytes of
/// certificate and signature, so no honest message comes near.
pub(super) const INFLATED_BYTES_MAX: usize = 1 << 20;

/// The most operations of one message: an honest one has two for each node at most. Operations of no content compress
/// so well that 600 bytes would become 15 MB of them.
const OPERATIONS_MAX: usize = 4096;

/// The most that one block inflates to.
const BLOCK_BYTES_MAX: usize = u16::MAX as usize;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Syn { digest: Vec<DigestEntry>, mesh: String },
    SynAck { digest: Vec<DigestEntry>, delta: Vec<NodeDelta> },
    Ack { delta: Vec<NodeDelta> },
    BadCluster,
}

/// One run of one node, as chitchat names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MemberId {
    pub(super) name: String,
    pub(super) generation: u64,
    pub(super) address: SocketAddr,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DigestEntry {
    pub(super) member: MemberId,
    pub(super) heartbeat: u64,
    pub(super) collected: u64,
    pub(super) version: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeDelta {
    pub(super) member: MemberId,
    pub(super) collected: u64,
    pub(super) from: u64,
    pub(super) entries: Vec<Entry>,
    pub(super) newest: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) version: u64,
    pub(super) status: Status,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Status {
    Set = 0,
    Deleted = 1,
    Expiring = 2,
}

impl Message {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Rejection> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(Rejection::Oversize);
        }
        let mut reader = Reader(bytes);
        if reader.u16()? != MAGIC || reader.u8()? != PROTOCOL_VERSION {
            return Err(Rejection::Malformed);
        }
        let message = match reader.u8()? {
            0 => Self::Syn { digest: reader.digest()?, mesh: reader.string()? },
            1 => Self::SynAck { digest: reader.digest()?, delta: reader.delta()? },
            2 => Self::Ack { delta: reader.delta()? },
            3 => Self::BadCluster,
            _ => return Err(Rejection::Malformed),
        };
        reader.end()?;
        Ok(message)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u16_le(MAGIC);
        out.put_u8(PROTOCOL_VERSION);
        match self {
            Self::Syn { digest, mesh } => {
                out.put_u8(0);
                put_digest(&mut out, digest);
                put_string(&mut out, mesh);
            }
            Self::SynAck { digest, delta } => {
                out.put_u8(1);
                put_digest(&mut out, digest);
                put_delta(&mut out, delta);
            }
            Self::Ack { delta } => {
                out.put_u8(2);
                put_delta(&mut out, delta);
            }
            Self::BadCluster => out.put_u8(3),
        }
        out
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Rejection> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Rejection::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, Rejection> {
        self.0.try_get_u8().map_err(|_short| Rejection::Malformed)
    }

    fn u16(&mut self) -> Result<u16, Rejection> {
        self.0.try_get_u16_le().map_err(|_short| Rejection::Malformed)
    }

    fn u64(&mut self) -> Result<u64, Rejection> {
        self.0.try_get_u64_le().map_err(|_short| Rejection::Malformed)
    }

    fn string(&mut self) -> Result<String, Rejection> {
        let length = self.u16()?;
        let bytes = self.take(length.into())?;
        Ok(str::from_utf8(bytes).map_err(|_not_text| Rejection::Malformed)?.to_owned())
    }

    fn end(&self) -> Result<(), Rejection> {
        if self.0.is_empty() { Ok(()) } else { Err(Rejection::Malformed) }
    }

    fn address(&mut self) -> Result<SocketAddr, Rejection> {
        let ip = match self.u8()? {
            4 => IpAddr::from(self.array::<4>()?),
            6 => IpAddr::from(self.array::<16>()?),
            _ => return Err(Rejection::Malformed),
        };
        Ok(SocketAddr::new(ip, self.u16()?))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Rejection> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn member(&mut self) -> Result<MemberId, Rejection> {
        Ok(MemberId { name: self.string()?, generation: self.u64()?, address: self.address()? })
    }

    fn digest(&mut self) -> Result<Vec<DigestEntry>, Rejection> {
        let count = self.u16()?;
        (0..count)
            .map(|_| {
                let member = self.member()?;
                Ok(DigestEntry {
                    member,
                    heartbeat: self.u64()?,
                    collected: self.u64()?,
                    version: self.u64()?,
                })
            })
            .collect()
    }

    fn delta(&mut self) -> Result<Vec<NodeDelta>, Rejection> {
        let plain = self.inflate()?;
        let mut reader = Reader(&plain);
        let mut delta: Vec<NodeDelta> = Vec::new();
        let mut operations = 0;
        while !reader.0.is_empty() {
            operations += 1;
            if operations > OPERATIONS_MAX {
                return Err(Rejection::Bomb);
            }
            match (reader.u8()?, delta.last_mut()) {
                (0, _) => delta.push(reader.node_delta()?),
                (1, Some(node)) => node.entries.push(reader.entry()?),
                (2, Some(node)) => node.newest = Some(reader.u64()?),
                _ => return Err(Rejection::Malformed),
            }
        }
        Ok(delta)
    }

    fn inflate(&mut self) -> Result<Vec<u8>, Rejection> {
        let mut plain = Vec::new();
        loop {
            let kind = self.u8()?;
            if kind == 0 {
                return Ok(plain);
            }
            let length = self.u16()?;
            let block = self.take(length.into())?;
            match kind {
                1 => {
                    let block = zstd::bulk::decompress(block, BLOCK_BYTES_MAX);
                    plain.extend(block.map_err(|_broken_or_larger| Rejection::Malformed)?);
                }
                2 => plain.extend_from_slice(block),
                _ => return Err(Rejection::Malformed),
            }
            if plain.len() > INFLATED_BYTES_MAX {
                return Err(Rejection::Bomb);
            }
        }
    }

    fn node_delta(&mut self) -> Result<NodeDelta, Rejection> {
        let member = self.member()?;
        Ok(NodeDelta { member, collected: self.u64()?, from: self.u64()?, entries: Vec::new(), newest: None })
    }

    fn entry(&mut self) -> Result<Entry, Rejection> {
        let (key, value, version) = (self.string()?, self.string()?, self.u64()?);
        let status = match self.u8()? {
            0 => Status::Set,
            1 => Status::Deleted,
            2 => Status::Expiring,
            _ => return Err(Rejection::Malformed),
        };
        Ok(Entry { key, value, version, status })
    }
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.put_u16_le(
        u16::try_from(text.len()).expect("a string that was read, or of our own, is under 64 KiB"),
    );
    out.put_slice(text.as_bytes());
}

fn put_member(out: &mut Vec<u8>, member: &MemberId) {
    put_string(out, &member.name);
    out.put_u64_le(member.generation);
    match member.address.ip() {
        IpAddr::V4(ip) => {
            out.put_u8(4);
            out.put_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.put_u8(6);
            out.put_slice(&ip.octets());
        }
    }
    out.put_u16_le(member.address.port());
}

fn put_digest(out: &mut Vec<u8>, digest: &[DigestEntry]) {
    out.put_u16_le(u16::try_from(digest.len()).expect("a digest that was read has at most 65,535 entries"));
    for entry in digest {
        put_member(out, &entry.member);
        out.put_u64_le(entry.heartbeat);
        out.put_u64_le(entry.collected);
        out.put_u64_le(entry.version);
    }
}

fn put_delta(out: &mut Vec<u8>, delta: &[NodeDelta]) {
    let mut plain = Vec::new();
    for node in delta {
        plain.put_u8(0);
        put_member(&mut plain, &node.member);
        plain.put_u64_le(node.collected);
        plain.put_u64_le(node.from);
        for entry in &node.entries {
            plain.put_u8(1);
            put_string(&mut plain, &entry.key);
            put_string(&mut plain, &entry.value);
            plain.put_u64_le(entry.version);
            plain.put_u8(entry.status as u8);
        }
        if let Some(newest) = node.newest {
            plain.put_u8(2);
            plain.put_u64_le(newest);
        }
    }
    for block in plain.chunks(BLOCK_BYTES_MAX) {
        out.put_u8(2);
        out.put_u16_le(u16::try_from(block.len()).expect("a block is under 64 KiB"));
        out.put_slice(block);
    }
    out.put_u8(0);
}

#[cfg(test)]
mod tests;
