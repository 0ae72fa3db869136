//! See `qmesh::fuzzing::runtime_question`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qmesh::fuzzing::runtime_question(bytes));
