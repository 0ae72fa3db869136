//! What `#[qmesh::service]` refuses, and in which words.
//!
//! `TRYBUILD=overwrite cargo test -p qmesh --test compile_fail` writes the expected words anew.

#[test]
fn what_cannot_be_a_contract_is_refused_in_words_that_help() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
