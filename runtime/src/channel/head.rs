//! What a call says beside its arguments and its deadline. The usual says nothing.

use std::{collections::BTreeMap, sync::Arc};

use bytes::{Buf, BytesMut};
use prost::Message;

use crate::{
    call_tree::Allowance,
    config::Limits,
    metadata::{ENTRIES_MAX, Metadata},
    telemetry::Trace,
    wire::{
        frame::{self, FrameError},
        messages::CallHead,
    },
};

/// What is rare about a call.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) allowance: Allowance,
    pub(crate) metadata: Option<Arc<Metadata>>,
    pub(crate) trace: Trace,
}

/// The longest head.
pub(crate) const fn bytes_max(limits: &Limits) -> usize {
    limits.metadata_bytes_max + ENTRIES_MAX * ENTRY_OVERHEAD + HEAD_OVERHEAD
}

/// What Protobuf adds to an entry at most, and what else is in a head. What a trace may add has its room there, too: it
/// leaves behind what has none (`telemetry/trace.rs`).
const ENTRY_OVERHEAD: usize = 16;
const HEAD_OVERHEAD: usize = 64;
/// That of a call which is usual, but that it has no trace: its length, and an empty field 4.
const UNSAMPLED_HEAD: [u8; 3] = [2, 0x22, 0];

impl Head {
    /// That of a call by default.
    pub(crate) const USUAL: Self = Self::new(Allowance::USUAL, None);

    pub(crate) const fn new(allowance: Allowance, metadata: Option<Arc<Metadata>>) -> Self {
        Self { allowance, metadata, trace: Trace::Undecided }
    }

    /// The same for a call of a trace.
    pub(crate) fn traced(self, trace: Trace) -> Self {
        Self { trace, ..self }
    }

    /// The bytes of its metadata.
    pub(crate) fn metadata_bytes(&self) -> usize {
        self.metadata.as_ref().map_or(0, |metadata| metadata.bytes())
    }

    /// Appends the method's number and the head.
    #[inline]
    pub(crate) fn put(&self, buffer: &mut BytesMut, method: usize) {
        let method = (method as u64) << 1;
        let is_usual = self.metadata.is_none() && self.allowance == Allowance::USUAL;
        if is_usual && self.trace.is_undecided() {
            frame::put_varint(buffer, method);
        } else if is_usual && self.trace.is_unsampled() {
            frame::put_varint(buffer, method | 1);
            buffer.extend_from_slice(&UNSAMPLED_HEAD);
        } else {
            frame::put_varint(buffer, method | 1);
            self.put_rare(buffer);
        }
    }

    #[cold]
    fn put_rare(&self, buffer: &mut BytesMut) {
        let Allowance { hops, retries } = self.allowance;
        let mut head = CallHead {
            hops: (hops != Allowance::USUAL.hops).then_some(hops),
            retries: (retries != Allowance::USUAL.retries).then_some(retries),
            metadata: self
                .metadata
                .as_ref()
                .map_or_else(BTreeMap::new, |all| Metadata::clone(all).into_entries()),
            ..CallHead::default()
        };
        self.trace.put(&mut head);
        frame::put_varint(buffer, head.encoded_len() as u64);
        head.encode_raw(buffer);
    }

    /// Takes a method's number and the head off the front of `payload`.
    #[inline]
    pub(crate) fn take(payload: &mut &[u8], kind: u8, limits: &Limits) -> Result<(u64, Self), FrameError> {
        let method = frame::take_varint(payload, kind)?;
        let head = match method & 1 {
            0 => Self::USUAL,
            _ => match payload.strip_prefix(&UNSAMPLED_HEAD) {
                Some(rest) => {
                    *payload = rest;
                    Self::USUAL.traced(Trace::Unsampled)
                }
                None => Self::take_rare(payload, kind, limits)?,
            },
        };
        Ok((method >> 1, head))
    }

    #[cold]
    fn take_rare(payload: &mut &[u8], kind: u8, limits: &Limits) -> Result<Self, FrameError> {
        let malformed = || FrameError::Malformed(kind);
        let length = usize::try_from(frame::take_varint(payload, kind)?).map_err(|_too_large| malformed())?;
        let bytes = payload.get(..length).filter(|_| length <= bytes_max(limits)).ok_or_else(malformed)?;
        let mut head = CallHead::decode(bytes).map_err(|_bad| malformed())?;
        payload.advance(length);
        if head.metadata.len() > ENTRIES_MAX {
            return Err(malformed());
        }
        let allowance = Allowance {
            hops: head.hops.unwrap_or(Allowance::USUAL.hops),
            retries: head.retries.unwrap_or(Allowance::USUAL.retries),
        };
        let trace = Trace::take(&mut head);
        let metadata = (!head.metadata.is_empty()).then(|| Arc::new(Metadata::from(head.metadata)));
        Ok(Self::new(allowance, metadata).traced(trace))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::kind;

    fn metadata(entries: &[(&str, &str)]) -> Arc<Metadata> {
        let entries = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Arc::new(Metadata::from(entries.collect::<BTreeMap<_, _>>()))
    }

    fn bytes(head: &Head) -> BytesMut {
        let mut buffer = BytesMut::new();
        head.put(&mut buffer, 5);
        buffer
    }

    #[test]
    fn the_usual_says_nothing() {
        assert_eq!(bytes(&Head::USUAL).to_vec(), [10]);
    }

    #[test]
    fn what_is_rare_survives() {
        let allowance = Allowance { hops: 3, retries: 0 };
        let head = Head::new(allowance, Some(metadata(&[("tenant", "blue")])));
        let mut buffer = bytes(&head);
        assert_eq!(buffer[0], 11);
        buffer.extend_from_slice(b"arguments");
        let mut payload = &buffer[..];
        let (method, read) = Head::take(&mut payload, kind::CALL, &Limits::default()).unwrap();
        assert_eq!((method, payload), (5, &b"arguments"[..]));
        assert_eq!((read.allowance, read.metadata), (head.allowance, head.metadata));
    }

    #[test]
    fn a_head_that_is_too_long_or_cut_breaks_the_protocol() {
        let long = "x".repeat(Limits::default().metadata_bytes_max + 4096);
        let buffer = bytes(&Head::new(Allowance::USUAL, Some(metadata(&[("k", &long)]))));
        let malformed = Err(FrameError::Malformed(kind::CALL));
        let take = |mut payload: &[u8]| {
            Head::take(&mut payload, kind::CALL, &Limits::default()).map(|(method, _)| method)
        };
        assert_eq!(take(&buffer), malformed);
        assert_eq!(take(&[11, 200]), malformed);
        assert_eq!(take(&[11, 2, 0xff, 0xff]), malformed);
    }
}
