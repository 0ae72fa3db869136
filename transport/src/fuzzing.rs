//! What fuzzers throw bytes at, one function for each decoder of this crate. Exists in tests and under `cfg(fuzzing)`,
//! which cargo-fuzz sets; nothing else may use it.
//!
//! Each takes any bytes and panics if the decoder does not keep its word: what it accepts, it writes again as the same.

use crate::{Address, NodeId};

pub use crate::{
    identity::fuzzing::{transport_certificates, transport_pem, transport_spiffe},
    memory::fuzzing::{transport_memory_frame, transport_memory_session},
};

/// An address, as text.
pub fn transport_address(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(address) = text.parse::<Address>() else { return };
    assert_eq!(address.to_string().parse(), Ok(address));
}

/// A node's id, as text.
pub fn transport_node_id(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(id) = text.parse::<NodeId>() else { return };
    assert_eq!(id.to_string(), text.to_ascii_lowercase());
}

#[cfg(test)]
mod tests {
    use qmesh_trial::fuzz::{Target, try_all};

    use super::*;

    #[test]
    fn no_bytes_break_a_decoder() {
        let target = |name, run, held_max| Target { name, run, held_max };
        try_all(
            "transport_",
            &[
                target("transport_address", transport_address, 4 << 10),
                target("transport_certificates", transport_certificates, 64 << 10),
                target("transport_memory_frame", transport_memory_frame, 8 << 10),
                target("transport_memory_session", transport_memory_session, 16 << 10),
                target("transport_node_id", transport_node_id, 4 << 10),
                target("transport_pem", transport_pem, 64 << 10),
                target("transport_spiffe", transport_spiffe, 4 << 10),
            ],
        );
    }
}
