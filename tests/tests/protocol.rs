//! The protocol's document and its golden vectors say the same.

use std::{collections::BTreeMap, fs};

use qmesh_trial::golden;

/// The examples of `docs/PROTOCOL.md`: blocks of hexadecimal digits, in which `#` begins an explanation.
fn examples() -> BTreeMap<String, Vec<u8>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/PROTOCOL.md");
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut examples = BTreeMap::new();
    let mut blocks = text.split("\n```vector ");
    blocks.next();
    for block in blocks {
        let (name, rest) = block.split_once('\n').expect("a block has a name");
        let (hex, _) = rest.split_once("\n```").unwrap_or_else(|| panic!("the block {name} has no end"));
        let hex: Vec<_> = hex.lines().map(|line| line.split('#').next().unwrap_or_default()).collect();
        let twice = examples.insert(name.to_owned(), golden::bytes_of(&hex.join(" ")));
        assert!(twice.is_none(), "two examples of {name}");
    }
    examples
}

#[test]
fn every_golden_vector_is_an_example_of_the_document() {
    let (examples, vectors) = (examples(), golden::all());
    assert!(vectors.len() > 30, "{} vectors", vectors.len());
    for (name, bytes) in &vectors {
        let example =
            examples.get(name).unwrap_or_else(|| panic!("docs/PROTOCOL.md does not explain {name}"));
        assert_eq!(
            golden::hex(example),
            golden::hex(bytes),
            "{name}: the document's (left) and docs/vectors.txt's"
        );
    }
    for name in examples.keys() {
        assert!(vectors.contains_key(name), "{name} is explained, and is no golden vector");
    }
}
