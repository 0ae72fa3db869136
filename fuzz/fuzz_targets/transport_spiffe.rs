//! See `qmesh_transport::fuzzing::transport_spiffe`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qmesh_transport::fuzzing::transport_spiffe(bytes));
