//! See `qmesh_discovery::fuzzing::discovery_gossip_filter`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qmesh_discovery::fuzzing::discovery_gossip_filter(bytes));
