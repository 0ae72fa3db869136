//! How arguments and answers become bytes.

use std::cell::RefCell;

use serde::{Serialize, de::DeserializeOwned};

use crate::failure::{Failure, Reason};

/// How the values of one channel travel. Caller and service agree on it when the channel is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Codec {
    /// MessagePack with field names: compact, and a field can be added without breaking anybody. The default.
    #[default]
    MessagePack,
    /// JSON (RFC 8259): for tools and people.
    Json,
}

/// Bytes that a thread keeps for encoding.
const SCRATCH_KEPT: usize = 16 * 1024;

/// Arguments that the service cannot read. The call was not executed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadArguments(String);

/// A value that cannot be encoded.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct EncodeError(String);

impl Codec {
    /// The name that travels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MessagePack => "msgpack",
            Self::Json => "json",
        }
    }

    /// The codec of a name that travelled.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::MessagePack, Self::Json].into_iter().find(|codec| codec.name() == name)
    }

    /// Encodes one value.
    ///
    /// # Errors
    /// The value's own `Serialize` failed, or the codec has no form for it.
    pub fn encode<T: Serialize + ?Sized>(self, value: &T) -> Result<Vec<u8>, EncodeError> {
        let mut bytes = Vec::with_capacity(128);
        self.encode_into(value, &mut bytes)?;
        Ok(bytes)
    }

    /// Encodes a value that `use_it` looks at, without an allocation of its own.
    pub(crate) fn encode_in_scratch<T: Serialize + ?Sized, R>(
        self,
        value: &T,
        use_it: impl FnOnce(&[u8]) -> R,
    ) -> Result<R, EncodeError> {
        thread_local! {
            static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        SCRATCH.with(|scratch| {
            // A value whose `Serialize` sends something itself finds the scratch in use.
            let mut own = Vec::new();
            let mut shared = scratch.try_borrow_mut();
            let bytes = shared.as_deref_mut().unwrap_or(&mut own);
            // One that panicked may have left something.
            bytes.clear();
            let used = self.encode_into(value, bytes).map(|()| use_it(bytes));
            bytes.clear();
            bytes.shrink_to(SCRATCH_KEPT);
            used
        })
    }

    /// Appends one value.
    pub(crate) fn encode_into<T: Serialize + ?Sized>(
        self,
        value: &T,
        bytes: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        match self {
            Self::MessagePack => {
                rmp_serde::encode::write_named(bytes, value).map_err(|error| EncodeError(error.to_string()))
            }
            Self::Json => serde_json::to_writer(bytes, value).map_err(|error| EncodeError(error.to_string())),
        }
    }

    /// Decodes one value.
    ///
    /// # Errors
    /// The bytes are not the codec's, or do not fit `T`.
    pub fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, BadArguments> {
        match self {
            Self::MessagePack => {
                rmp_serde::from_slice(bytes).map_err(|error| BadArguments(error.to_string()))
            }
            Self::Json => serde_json::from_slice(bytes).map_err(|error| BadArguments(error.to_string())),
        }
    }

    /// Decodes the arguments of a call: in MessagePack an array of the values, in JSON an object by parameter name.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn arguments<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, BadArguments> {
        self.decode(bytes)
    }
}

impl BadArguments {
    /// A method was called that is one-way, or has streams.
    #[must_use]
    pub fn no_answer(method: usize) -> Self {
        Self(format!("method {method} is one-way or has streams: it is sent, or has a channel of its own"))
    }

    /// A method without streams was called as if it had some.
    #[must_use]
    pub fn no_streams(method: usize) -> Self {
        Self(format!("method {method} has no streams"))
    }

    /// A method that has an answer was sent one way.
    #[must_use]
    pub fn not_one_way(method: usize) -> Self {
        Self(format!("method {method} has an answer: it is called, not sent"))
    }
}

// === impl Failure ===

impl From<EncodeError> for Failure {
    fn from(error: EncodeError) -> Self {
        Self::not_sent(Reason::BadArguments, format!("the arguments cannot be encoded: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Before {
        room: String,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct After {
        room: String,
        #[serde(default)]
        limit: u32,
    }

    #[test]
    fn a_field_can_be_added_on_either_side() {
        for codec in [Codec::MessagePack, Codec::Json] {
            let old = codec.encode(&Before { room: "general".into() }).unwrap();
            let new = codec.encode(&After { room: "general".into(), limit: 3 }).unwrap();
            assert_eq!(codec.decode::<After>(&old).unwrap().limit, 0, "{codec:?}");
            assert_eq!(codec.decode::<Before>(&new).unwrap().room, "general", "{codec:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn values_survive_their_bytes_and_are_nothing_when_cut(
            text in ".{0,9}",
            numbers in proptest::collection::vec(proptest::num::u64::ANY, 0..5),
            maybe: Option<(i64, bool)>,
            map in proptest::collection::btree_map(".{0,5}", proptest::collection::vec(0_u8.., 0..5), 0..4),
        ) {
            let value = (text, numbers, maybe, map);
            for codec in [Codec::MessagePack, Codec::Json] {
                let bytes = codec.encode(&value).unwrap();
                assert_eq!(codec.decode::<Value>(&bytes).unwrap(), value);
                for cut in 0..bytes.len() {
                    assert!(codec.decode::<Value>(&bytes[..cut]).is_err(), "{codec:?} cut at {cut}");
                }
            }
        }
    }

    type Value = (String, Vec<u64>, Option<(i64, bool)>, std::collections::BTreeMap<String, Vec<u8>>);

    #[test]
    fn garbage_is_refused_by_name() {
        for codec in [Codec::MessagePack, Codec::Json] {
            assert!(codec.decode::<Before>(b"\xc1garbage").is_err());
            assert!(codec.decode::<Before>(b"").is_err());
            assert_eq!(Codec::from_name(codec.name()), Some(codec));
        }
        assert_eq!(Codec::from_name("xml"), None);
    }
}
