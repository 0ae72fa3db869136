//! What a call carries beside its arguments: small texts by name, for both sides' own use.

use std::{collections::BTreeMap, fmt};

use crate::failure::{Failure, Reason};

/// The most entries of one call.
pub(crate) const ENTRIES_MAX: usize = 64;
/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 64;

/// Texts by name that travel with one call: `call.metadata("tenant", "blue")` at the client,
/// [`cx.metadata()`](crate::Context::metadata) in the handler. Calls that the handler makes do not inherit them.
///
/// At most 64 entries; keys are 1 to 64 lower-case letters, digits, `-`, `_` and `.`; all keys and values together are at
/// most [`Limits::metadata_bytes_max`](crate::Limits::metadata_bytes_max) of the calling and of the serving node. A call with more,
/// or with a key of other letters, is *not sent*.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Metadata(BTreeMap<String, String>);

impl Metadata {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// All entries, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The empty one, to borrow.
    pub(crate) const NONE: &Self = &Self(BTreeMap::new());

    /// Sets a value; an earlier one of that key is replaced.
    pub(crate) fn set(&mut self, key: String, value: String) {
        self.0.insert(key, value);
    }

    /// Whether it can travel: it has so many bytes at most.
    ///
    /// # Errors
    /// It cannot: *not sent*.
    pub(crate) fn check(&self, limit: usize) -> Result<(), Failure> {
        if let Some(bad) = self.0.keys().find(|key| !is_key(key)) {
            let detail = format!(
                "`{bad}` is no metadata key: it takes 1 to {KEY_BYTES_MAX} of a-z, 0-9, `-`, `_` and `.`"
            );
            return Err(Failure::not_sent(Reason::BadArguments, detail));
        }
        let too_much = |count, what, limit| {
            let detail = format!("the metadata has {count} {what}; the limit is {limit}");
            Err(Failure::not_sent(Reason::TooLarge, detail))
        };
        match (self.0.len(), self.bytes()) {
            (entries, _) if entries > ENTRIES_MAX => too_much(entries, "entries", ENTRIES_MAX),
            (_, bytes) if bytes > limit => too_much(bytes, "bytes of keys and values", limit),
            _ => Ok(()),
        }
    }

    /// The bytes of all keys and values.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|(key, value)| key.len() + value.len()).sum()
    }

    pub(crate) fn into_entries(self) -> BTreeMap<String, String> {
        self.0
    }
}

fn is_key(key: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(fits)
}

// === impl Metadata ===

impl From<BTreeMap<String, String>> for Metadata {
    fn from(entries: BTreeMap<String, String>) -> Self {
        Self(entries)
    }
}

/// Keys alone: values may be secret.
impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(entries: &[(&str, &str)]) -> Metadata {
        let entries = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Metadata(entries.collect())
    }

    #[test]
    fn keys_are_plain_and_few() {
        assert_eq!(of(&[("tenant", "Blue"), ("x-9_a.b", "")]).check(17), Ok(()));
        for bad in ["", "Tenant", "ten ant", "ключ", &"k".repeat(65)] {
            let failure = of(&[(bad, "blue")]).check(100).unwrap_err();
            assert!(failure.reason() == Reason::BadArguments && failure.detail().contains(bad), "{failure}");
        }
        let many = Metadata((0..65).map(|number| (format!("k{number}"), String::new())).collect());
        assert_eq!(many.check(1000).unwrap_err().reason(), Reason::TooLarge);
        assert_eq!(of(&[("tenant", "Blue")]).check(9).unwrap_err().reason(), Reason::TooLarge);
    }

    #[test]
    fn values_are_not_shown() {
        assert_eq!(format!("{:?}", of(&[("token", "hunter2")])), r#"{"token"}"#);
    }
}
