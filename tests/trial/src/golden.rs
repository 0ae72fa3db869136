//! The golden vectors: what the protocol's bytes are, whatever the code says.
//!
//! `docs/vectors.txt` has a section for each crate, and in it lines `name = hex`, continued by indented ones.
//! `docs/PROTOCOL.md` explains each of them.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER_PERMISSIVE;

const TEXT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vectors.txt"));

/// The certificate of the node `lobby` in the mesh `vectors`, by whose key vectors are signed. It has never been of use
/// outside of tests.
pub const CERTIFICATE: &str = include_str!("../identity/certificate.pem");
/// Its key.
pub const KEY: &str = include_str!("../identity/key.pem");
/// Its authority.
pub const AUTHORITY: &str = include_str!("../identity/authority.pem");
/// A time at which the certificate is valid, in seconds since 1970.
pub const TIME: u64 = 1_800_000_000;

/// What to do about a difference.
const ADVICE: &str = "\
These bytes are what other versions and other implementations of the protocol send and expect. If you did not mean to
change them, the code is wrong: leave docs/vectors.txt alone. If you did, then say so: a field that old nodes skip needs
a new vector and its line in docs/PROTOCOL.md; what an old node would misread raises PROTOCOL in
runtime/src/wire/messages.rs, changes the vector here and its example in docs/PROTOCOL.md, and stands under `Changed` in
CHANGELOG.md.";

/// All vectors of a section, by name.
///
/// # Panics
/// If the file is malformed, or has no such section.
#[must_use]
pub fn section(section: &str) -> BTreeMap<String, Vec<u8>> {
    let mut all = sections(TEXT);
    all.remove(section).unwrap_or_else(|| panic!("docs/vectors.txt has no section [{section}]"))
}

/// All vectors of all sections, by name.
///
/// # Panics
/// If the file is malformed, or two vectors have one name.
#[must_use]
pub fn all() -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for (name, bytes) in sections(TEXT).into_values().flatten() {
        assert!(all.insert(name.clone(), bytes).is_none(), "two vectors are named {name}");
    }
    all
}

/// One vector.
///
/// # Panics
/// If there is none of that name.
#[must_use]
pub fn vector(section_name: &str, name: &str) -> Vec<u8> {
    section(section_name).remove(name).unwrap_or_else(|| panic!("docs/vectors.txt has no vector {name}"))
}

/// Compares what the code writes with all vectors of a section.
///
/// # Panics
/// If a vector differs, is missing, or nothing writes it: with the difference, and what to do.
pub fn compare<'a>(section_name: &str, written: impl IntoIterator<Item = (&'a str, Vec<u8>)>) {
    let mut golden = section(section_name);
    let mut wrong = Vec::new();
    for (name, bytes) in written {
        let bytes = hex(&bytes);
        match golden.remove(name).map(|golden| hex(&golden)) {
            None => wrong.push(format!("{name} is not in the file; the code writes\n  {bytes}")),
            Some(golden) if golden != bytes => {
                wrong.push(format!("{name} is\n  {golden}\nin the file; the code writes\n  {bytes}"));
            }
            Some(_) => {}
        }
    }
    wrong.extend(golden.into_keys().map(|name| format!("{name} is in the file, and nothing writes it")));
    assert!(
        wrong.is_empty(),
        "the bytes of the protocol changed, section [{section_name}]:\n{}\n\n{ADVICE}",
        wrong.join("\n")
    );
}

/// The bytes of a text of hexadecimal digits and spaces.
///
/// # Panics
/// If it is something else.
#[must_use]
pub fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).unwrap_or_else(|error| panic!("{error} in `{hex}`"))
}

/// The other way round.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    HEXLOWER_PERMISSIVE.encode(bytes)
}

fn sections(text: &str) -> BTreeMap<String, BTreeMap<String, Vec<u8>>> {
    let mut hex: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let (mut section, mut name) = (String::new(), String::new());
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        if let Some(title) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            title.clone_into(&mut section);
            hex.entry(section.clone()).or_default();
            continue;
        }
        let vectors = hex.entry(section.clone()).or_default();
        let more = match line.split_once('=') {
            Some((new, more)) => {
                new.trim().clone_into(&mut name);
                assert!(!vectors.contains_key(&name), "two vectors are named {name}");
                more
            }
            None => line,
        };
        vectors.entry(name.clone()).or_default().push_str(more);
    }
    let decoded = |vectors: BTreeMap<String, String>| {
        vectors.into_iter().map(|(name, hex)| (name, bytes_of(&hex))).collect()
    };
    hex.into_iter().map(|(section, vectors)| (section, decoded(vectors))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_with_its_sections_comments_and_long_lines() {
        let text = "# comment\n[one]\na = 01 02\n    03\n\nb =\n[two]\na = ff\n";
        let sections = sections(text);
        assert_eq!(sections["one"]["a"], [1, 2, 3]);
        assert_eq!(sections["one"]["b"], []);
        assert_eq!(sections["two"]["a"], [255]);
    }

    #[test]
    fn a_difference_says_what_it_means() {
        let (name, mut bytes) = section("transport").pop_first().unwrap();
        bytes.push(0);
        let compared = std::panic::catch_unwind(|| compare("transport", [(name.as_str(), bytes.clone())]));
        let told = *compared.unwrap_err().downcast::<String>().unwrap();
        assert!(told.contains(&name) && told.contains("raises PROTOCOL"), "{told}");
    }
}
