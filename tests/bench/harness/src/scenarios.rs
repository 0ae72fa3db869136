//! The scenarios: one row each, and nothing else has to change for another row of a known shape.

use anyhow::{Result, anyhow};

/// What a driver asks of a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Calls that are answered with what they carried; each caller waits for its answer.
    Unary,
    /// Messages without an answer, as fast as they go, checked for order by the receiver.
    OneWay,
    /// This many messages without an answer for a receiver that is slower than their sender.
    Flood(u64),
    /// Items that the server sends as fast as they go, checked for order by the driver.
    Items,
    /// Service actors that start and stop.
    Starts,
    /// Things that are there and do nothing.
    Idle(Resource),
}

/// What a system may have many of, and what each costs while it is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// An association of two processes.
    Session,
    /// A stream of calls in a session.
    Channel,
    /// Something that can be called.
    Service,
}

/// Where the parts of a system may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// All processes on the same single core: what is left is work, not the waking of an idle core.
    OneCore,
    /// Wherever the kernel likes.
    Anywhere,
    /// Caller and service in one process.
    OneProcess,
}

/// One way of putting load on a system.
#[derive(Debug)]
pub struct Scenario {
    /// What it is called on the command line and in every table.
    pub id: &'static str,
    /// What it does, in a line.
    pub title: &'static str,
    /// What is asked of a system.
    pub shape: Shape,
    /// How many callers, or senders, there are. One-way senders have a service each.
    pub callers: usize,
    /// The size of one message; an answer has the same.
    pub payload_bytes: usize,
    /// Where it runs.
    pub placement: Placement,
    /// How many processes serve the same service.
    pub servers: usize,
    /// The largest UDP payload that QUIC may try.
    pub mtu: u16,
    /// The size of the messages that one other stream moves meanwhile.
    pub bulk_bytes: Option<usize>,
}

/// An Ethernet frame's UDP payload.
const ETHERNET: u16 = 1452;
/// What paths of jumbo frames carry, and loopback.
const JUMBO: u16 = 6400;
/// What the limits of a message allow beside its payload.
const OVERHEAD: usize = 64 * 1024;
/// The messages of S9's other stream.
const BULK: usize = 8 << 20;

const UNARY: Scenario = Scenario {
    id: "",
    title: "",
    shape: Shape::Unary,
    callers: 64,
    payload_bytes: 64,
    placement: Placement::Anywhere,
    servers: 1,
    mtu: ETHERNET,
    bulk_bytes: None,
};
const ONE_WAY: Scenario = Scenario { shape: Shape::OneWay, callers: 1, ..UNARY };
const ITEMS: Scenario = Scenario { shape: Shape::Items, callers: 1, ..UNARY };
const IN_ONE_NODE: Scenario = Scenario { callers: 1, placement: Placement::OneProcess, ..UNARY };
const IDLE: Scenario = Scenario { callers: 1, ..UNARY };

/// Every scenario, in the order of measurement.
pub static SCENARIOS: &[Scenario] = &[
    Scenario {
        id: "S1",
        title: "unary 64 B, 1 caller, all processes on one core",
        callers: 1,
        placement: Placement::OneCore,
        ..UNARY
    },
    Scenario { id: "S2", title: "unary 64 B, 64 callers on one connection", ..UNARY },
    Scenario { id: "S3", title: "unary 64 B, 256 callers on one connection", callers: 256, ..UNARY },
    Scenario {
        id: "S4",
        title: "unary 16 KiB, 64 callers on one connection, MTU 6400",
        payload_bytes: 16 << 10,
        mtu: JUMBO,
        ..UNARY
    },
    Scenario { id: "S5", title: "one-way 64 B flat out, counted in order by the receiver", ..ONE_WAY },
    Scenario { id: "S6", title: "server stream of 100 B items", payload_bytes: 100, ..ITEMS },
    Scenario { id: "S7", title: "bulk stream in 64 KiB chunks, MTU 1452", payload_bytes: 64 << 10, ..ITEMS },
    Scenario {
        id: "S7-6400",
        title: "bulk stream in 64 KiB chunks, MTU 6400",
        payload_bytes: 64 << 10,
        mtu: JUMBO,
        ..ITEMS
    },
    Scenario { id: "S8", title: "in one node: call 64 B, 1 caller", ..IN_ONE_NODE },
    Scenario {
        id: "S8-oneway",
        title: "in one node: one-way 64 B flat out",
        shape: Shape::OneWay,
        ..IN_ONE_NODE
    },
    Scenario {
        id: "S8-start",
        title: "in one node: start and stop of a service actor",
        shape: Shape::Starts,
        payload_bytes: 0,
        ..IN_ONE_NODE
    },
    Scenario { id: "S9-alone", title: "unary 64 B, 64 callers, as S9 without its other stream", ..UNARY },
    Scenario {
        id: "S9",
        title: "unary 64 B, 64 callers, while one other stream moves 8 MiB messages",
        bulk_bytes: Some(BULK),
        ..UNARY
    },
    Scenario { id: "S10", title: "one-way 64 B flat out, 8 senders to 8 services", callers: 8, ..ONE_WAY },
    Scenario {
        id: "S11-session",
        title: "memory of the server per idle session",
        shape: Shape::Idle(Resource::Session),
        ..IDLE
    },
    Scenario {
        id: "S11-channel",
        title: "memory of the server per idle channel",
        shape: Shape::Idle(Resource::Channel),
        ..IDLE
    },
    Scenario {
        id: "S11-service",
        title: "memory of the server per idle service",
        shape: Shape::Idle(Resource::Service),
        ..IDLE
    },
    Scenario {
        id: "S12",
        title: "unary 64 B, 64 callers spread over 3 server processes",
        servers: 3,
        ..UNARY
    },
    Scenario {
        id: "flood",
        title: "one-way 64 B, 500,000 messages for a receiver that is slower than their sender",
        shape: Shape::Flood(500_000),
        ..ONE_WAY
    },
];

/// The scenario with this id, in either case.
///
/// # Errors
/// There is none.
pub fn find(id: &str) -> Result<&'static Scenario> {
    SCENARIOS
        .iter()
        .find(|scenario| scenario.id.eq_ignore_ascii_case(id))
        .ok_or_else(|| anyhow!("no scenario {id}"))
}

// === impl Scenario ===

impl Scenario {
    /// The largest message that both sides have to allow.
    #[must_use]
    pub fn message_bytes_max(&self) -> usize {
        self.payload_bytes.max(self.bulk_bytes.unwrap_or_default()) + OVERHEAD
    }

    /// How many services take one-way messages: each of several senders has its own.
    #[must_use]
    pub fn services(&self) -> usize {
        if self.shape == Shape::OneWay { self.callers } else { 1 }
    }

    /// Whether a name of the command line means it: its id, or the part of it before the dash.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        let group = self.id.split('-').next().unwrap_or(self.id);
        self.id.eq_ignore_ascii_case(name) || group.eq_ignore_ascii_case(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_a_scenario_or_its_whole_group() {
        let named = |name: &str| -> Vec<_> {
            SCENARIOS.iter().filter(|scenario| scenario.is_named(name)).map(|scenario| scenario.id).collect()
        };
        assert_eq!(named("s7"), ["S7", "S7-6400"]);
        assert_eq!(named("S8-oneway"), ["S8-oneway"]);
        assert_eq!(named("S1"), ["S1"]);
        assert_eq!(named("FLOOD"), ["flood"]);
        assert!(named("S").is_empty());
    }

    #[test]
    fn ids_are_distinct() {
        for scenario in SCENARIOS {
            assert!(std::ptr::eq(find(scenario.id).unwrap(), scenario));
        }
    }
}
