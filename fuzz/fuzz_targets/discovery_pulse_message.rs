//! See `qmesh_discovery::fuzzing::discovery_pulse_message`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qmesh_discovery::fuzzing::discovery_pulse_message(bytes));
