//! See `qmesh_discovery::fuzzing::discovery_address_file`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qmesh_discovery::fuzzing::discovery_address_file(bytes));
