//! See `qmesh_discovery::fuzzing::discovery_record_text`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qmesh_discovery::fuzzing::discovery_record_text(bytes));
