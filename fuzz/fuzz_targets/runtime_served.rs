//! See `qmesh::fuzzing::runtime_served`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qmesh::fuzzing::runtime_served(bytes));
