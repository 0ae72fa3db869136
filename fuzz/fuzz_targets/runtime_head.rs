//! See `qmesh::fuzzing::runtime_head`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qmesh::fuzzing::runtime_head(bytes));
