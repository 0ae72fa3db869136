//! See `qmesh_transport::fuzzing::transport_memory_frame`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qmesh_transport::fuzzing::transport_memory_frame(bytes));
