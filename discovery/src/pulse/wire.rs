//! The messages of pulses, as bytes. Numbers are big-endian; nothing may follow a message.

use std::{sync::Arc, time::Duration};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use qmesh_transport::NodeId;

use crate::{Rejection, config::MESSAGE_BYTES_MAX};

/// The most buckets that ids are split into: by their first byte.
pub(super) const BUCKETS_MAX: usize = 256;

/// Id, generation, version, age.
pub(super) const ENTRY_BYTES: usize = 16 + 8 + 8 + 1;

/// Kind, unit, purpose, and two counts.
const RECORDS_HEAD: usize = 1 + 4 + 1 + 2 + 2;

/// What one node tells another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// Who is alive, and when each spoke last, for a receiver that knows the same nodes.
    Pulse(Pulse),
    /// What is known of the nodes in some buckets, for a receiver whose pulse told that it knows something else.
    Detail(Detail),
    /// Records, and which others are wanted.
    Records(Records),
}

/// As many buckets as a power of two says, each with the nodes whose ids begin alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pulse {
    pub(super) unit: Unit,
    /// Whether the receiver is to answer with its own: it would not send one soon by itself.
    pub(super) is_question: bool,
    pub(super) buckets: Vec<Bucket>,
}

/// The living nodes of a bucket, by id. Whoever knows the same ones needs no more than this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    /// Over ids and generations: who is meant.
    pub(super) presence: u32,
    /// Over versions too: what is known of them.
    pub(super) state: u32,
    pub(super) ages: Vec<Age>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Detail {
    pub(super) unit: Unit,
    /// How many of an id's first bits choose its bucket.
    pub(super) split: u8,
    pub(super) buckets: Vec<u8>,
    pub(super) entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) unit: Unit,
    pub(super) purpose: Purpose,
    pub(super) wanted: Vec<NodeId>,
    pub(super) records: Vec<(Entry, Arc<str>)>,
}

/// Why records are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The peer wanted them, or seems to lack them.
    Answer,
    /// The same, and some had no room.
    AnswerCut,
    /// They are new: whoever learns something by them tells its neighbours.
    News,
}

/// One run of a node, and when it spoke last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: NodeId,
    pub(super) generation: u64,
    pub(super) version: u64,
    pub(super) age: Age,
}

/// What ages of a message are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit(u32);

/// How long ago a node spoke, in units. Each hop adds to it what the way may have taken, so that nobody outlives itself in the
/// tales of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Age(pub(super) u8);

impl Message {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        match self {
            Self::Pulse(pulse) => {
                out.put_u8(1);
                out.put_u32(pulse.unit.0);
                out.put_u8(pulse.is_question.into());
                out.put_u8(u8::try_from(pulse.buckets.len().ilog2()).expect("there are 256 buckets at most"));
                for bucket in &pulse.buckets {
                    out.put_u32(bucket.presence);
                    out.put_u32(bucket.state);
                    put_count(&mut out, bucket.ages.len());
                    out.extend(bucket.ages.iter().map(|age| age.0));
                }
            }
            Self::Detail(detail) => {
                out.put_u8(2);
                out.put_u32(detail.unit.0);
                out.put_u8(detail.split);
                put_count(&mut out, detail.buckets.len());
                out.put_slice(&detail.buckets);
                put_count(&mut out, detail.entries.len());
                detail.entries.iter().for_each(|entry| entry.put(&mut out));
            }
            Self::Records(records) => {
                out.put_u8(3);
                out.put_u32(records.unit.0);
                out.put_u8(match records.purpose {
                    Purpose::Answer => 0,
                    Purpose::AnswerCut => 1,
                    Purpose::News => 2,
                });
                put_count(&mut out, records.wanted.len());
                records.wanted.iter().for_each(|id| out.put_slice(id.as_bytes()));
                put_count(&mut out, records.records.len());
                for (entry, text) in &records.records {
                    entry.put(&mut out);
                    put_count(&mut out, text.len());
                    out.put_slice(text.as_bytes());
                }
            }
        }
        out.freeze()
    }

    pub(super) fn decode(mut bytes: Bytes) -> Result<Self, Rejection> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(Rejection::Oversize);
        }
        let message = decode(&mut bytes).filter(|_| bytes.is_empty());
        message.ok_or(Rejection::Malformed)
    }
}

fn decode(bytes: &mut Bytes) -> Option<Message> {
    let kind = bytes.try_get_u8().ok()?;
    let unit = Unit(bytes.try_get_u32().ok()?);
    Some(match kind {
        1 => {
            let is_question = match bytes.try_get_u8().ok()? {
                0 => false,
                1 => true,
                _ => return None,
            };
            let split = u32::from(bytes.try_get_u8().ok()?);
            let count = 1_usize.checked_shl(split).filter(|count| *count <= BUCKETS_MAX)?;
            let buckets = (0..count).map(|_| bucket(bytes)).collect::<Option<_>>()?;
            Message::Pulse(Pulse { unit, is_question, buckets })
        }
        2 => {
            let split = bytes.try_get_u8().ok()?;
            let buckets = part(bytes, 1)?.to_vec();
            let within = |bucket: &u8| split <= 8 && usize::from(*bucket) < 1 << split;
            // Once each and in order, so that two messages which say the same are the same.
            if !buckets.iter().all(within) || !buckets.is_sorted_by(|a, b| a < b) {
                return None;
            }
            let mut entries = part(bytes, ENTRY_BYTES)?;
            let count = entries.len() / ENTRY_BYTES;
            let entries = (0..count).map(|_| Entry::get(&mut entries)).collect::<Option<_>>()?;
            Message::Detail(Detail { unit, split, buckets, entries })
        }
        3 => {
            let purpose = match bytes.try_get_u8().ok()? {
                0 => Purpose::Answer,
                1 => Purpose::AnswerCut,
                2 => Purpose::News,
                _ => return None,
            };
            let mut wanted = part(bytes, 16)?;
            let count = wanted.len() / 16;
            let wanted = (0..count).map(|_| get_id(&mut wanted)).collect::<Option<_>>()?;
            let count = bytes.try_get_u16().ok()?;
            let records = (0..count).map(|_| record(bytes)).collect::<Option<_>>()?;
            Message::Records(Records { unit, purpose, wanted, records })
        }
        _ => return None,
    })
}

fn bucket(bytes: &mut Bytes) -> Option<Bucket> {
    let (presence, state) = (bytes.try_get_u32().ok()?, bytes.try_get_u32().ok()?);
    let ages = part(bytes, 1)?.iter().map(|age| Age(*age)).collect();
    Some(Bucket { presence, state, ages })
}

fn record(bytes: &mut Bytes) -> Option<(Entry, Arc<str>)> {
    let entry = Entry::get(bytes)?;
    let text = part(bytes, 1)?;
    Some((entry, str::from_utf8(&text).ok()?.into()))
}

/// A count, and so many times `size` bytes.
fn part(bytes: &mut Bytes, size: usize) -> Option<Bytes> {
    let length = usize::from(bytes.try_get_u16().ok()?) * size;
    (length <= bytes.len()).then(|| bytes.split_to(length))
}

fn get_id(bytes: &mut Bytes) -> Option<NodeId> {
    let mut id = [0; 16];
    bytes.try_copy_to_slice(&mut id).ok()?;
    Some(NodeId::from_bytes(id))
}

fn put_count(out: &mut BytesMut, count: usize) {
    out.put_u16(u16::try_from(count).expect("a message is shorter than 64 KiB, and so is all that is in it"));
}

// === impl Entry ===

impl Entry {
    /// What a node orders its records by.
    pub(super) const fn order(&self) -> (u64, u64) {
        (self.generation, self.version)
    }

    fn put(&self, out: &mut BytesMut) {
        out.put_slice(self.id.as_bytes());
        out.put_u64(self.generation);
        out.put_u64(self.version);
        out.put_u8(self.age.0);
    }

    fn get(bytes: &mut Bytes) -> Option<Self> {
        let id = get_id(bytes)?;
        let (generation, version) = (bytes.try_get_u64().ok()?, bytes.try_get_u64().ok()?);
        Some(Self { id, generation, version, age: Age(bytes.try_get_u8().ok()?) })
    }
}

// === impl Records ===

impl Records {
    /// As many records as one message has room for, and whether those were all.
    pub(super) fn fit(
        wanted: usize,
        records: impl Iterator<Item = (Entry, Arc<str>)>,
    ) -> (Vec<(Entry, Arc<str>)>, bool) {
        let mut room = MESSAGE_BYTES_MAX - RECORDS_HEAD - wanted * 16;
        let (mut fitting, mut all) = (Vec::new(), true);
        for (entry, text) in records {
            let taken = ENTRY_BYTES + 2 + text.len();
            all &= taken <= room;
            if all {
                room -= taken;
                fitting.push((entry, text));
            }
        }
        (fitting, all)
    }
}

// === impl Unit ===

impl Unit {
    /// The unit for ages that matter up to `limit`: small against the time between two messages, and no smaller than the time
    /// that a message takes, which nobody knows.
    pub(super) fn new(interval: Duration, limit: Duration) -> Self {
        let unit = (interval / 8).max(limit / 250).as_millis().max(1);
        Self(u32::try_from(unit).unwrap_or(u32::MAX))
    }

    /// An age as it is told: rounded up, and one unit more for the way. So it grows by no less than passes while it is told,
    /// if a message takes a unit at most; with slower ones, a death is known later.
    pub(super) fn tell(self, age: Duration) -> Age {
        let units = age.as_millis() / u128::from(self.0.max(1)) + 2;
        u8::try_from(units).map_or(Age::NEVER, Age)
    }

    /// How long ago that is.
    pub(super) fn read(self, age: Age) -> Option<Duration> {
        (age != Age::NEVER).then(|| Duration::from_millis(u64::from(self.0) * u64::from(age.0)))
    }
}

// === impl Age ===

impl Age {
    /// Of the node itself.
    pub(super) const NOW: Self = Self(0);
    /// Of a node that shows no life.
    pub(super) const NEVER: Self = Self(u8::MAX);
}

#[cfg(test)]
mod tests;
