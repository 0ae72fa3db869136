//! What fuzzers throw bytes at, one function for each decoder of this crate. Exists in tests and under `cfg(fuzzing)`,
//! which cargo-fuzz sets; nothing else may use it.
//!
//! Each takes any bytes and panics if the decoder does not keep its word: what it accepts, it writes again as the same.

use std::{sync::OnceLock, time::Duration};

use qmesh_transport::{Authority, Credentials, Identity};
use rustls_pki_types::UnixTime;

pub use crate::{
    gossip::fuzzing::{discovery_gossip_filter, discovery_gossip_message},
    pulse::fuzzing::{discovery_pulse_machine, discovery_pulse_message},
    record::fuzzing::{discovery_record, discovery_record_text},
    seeds::fuzzing::discovery_address_file,
};

/// A node to judge by.
pub(crate) fn credentials() -> &'static Credentials {
    &nodes()[0]
}

/// Another node of its mesh.
pub(crate) fn peer() -> &'static Credentials {
    &nodes()[1]
}

fn nodes() -> &'static [Credentials; 2] {
    static NODES: OnceLock<[Credentials; 2]> = OnceLock::new();
    NODES.get_or_init(|| {
        let authority = Authority::ephemeral("vectors").expect("an authority needs but random numbers");
        let identity = Identity::issued_by(&authority);
        ["lobby", "guest"].map(|name| identity.credentials(name).expect("the name is legal"))
    })
}

/// A time at which its certificate is valid.
pub(crate) fn now() -> UnixTime {
    let not_after = credentials().expires_at().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    UnixTime::since_unix_epoch(not_after - Duration::from_hours(1))
}

#[cfg(test)]
mod tests {
    use qmesh_trial::fuzz::{Target, try_all};

    use super::*;

    #[test]
    fn no_bytes_break_a_decoder() {
        // Made once, so that no target pays for it.
        credentials();
        let target = |name, run, held_max| Target { name, run, held_max };
        try_all(
            "discovery_",
            &[
                target("discovery_address_file", discovery_address_file, 4 << 10),
                target("discovery_gossip_filter", discovery_gossip_filter, 6 << 20),
                target("discovery_gossip_message", discovery_gossip_message, 6 << 20),
                target("discovery_pulse_machine", discovery_pulse_machine, 1 << 20),
                target("discovery_pulse_message", discovery_pulse_message, 1 << 20),
                target("discovery_record", discovery_record, 32 << 10),
                target("discovery_record_text", discovery_record_text, 16 << 10),
            ],
        );
    }
}
