//! The scenarios: one row each, and nothing else has to change for another row.

use anyhow::{Result, anyhow};

/// What a driver asks of a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Calls that are answered with what they carried; each caller waits for its answer.
    Unary,
    /// Messages without an answer, as fast as they go, checked for order by the receiver.
    OneWay,
}

/// Where the two processes may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Both on the same single core: what is left is work, not the waking of an idle core.
    OneCore,
    /// Wherever the kernel likes.
    Anywhere,
}

/// One way of putting load on a system.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) shape: Shape,
    /// How many callers, or senders, share the one connection.
    pub(crate) callers: usize,
    /// The size of one message; an answer has the same.
    pub(crate) payload_bytes: usize,
    pub(crate) placement: Placement,
}

/// Every scenario, in the order of measurement.
pub(crate) static SCENARIOS: &[Scenario] = &[
    Scenario {
        id: "S1",
        title: "unary 64 B, 1 caller, both processes on one core",
        shape: Shape::Unary,
        callers: 1,
        payload_bytes: 64,
        placement: Placement::OneCore,
    },
    Scenario {
        id: "S2",
        title: "unary 64 B, 64 callers on one connection",
        shape: Shape::Unary,
        callers: 64,
        payload_bytes: 64,
        placement: Placement::Anywhere,
    },
    Scenario {
        id: "S5",
        title: "one-way 64 B flat out, counted in order by the receiver",
        shape: Shape::OneWay,
        callers: 1,
        payload_bytes: 64,
        placement: Placement::Anywhere,
    },
];

/// The ids of all scenarios.
pub(crate) fn ids() -> impl Iterator<Item = &'static str> {
    SCENARIOS.iter().map(|scenario| scenario.id)
}

/// The scenario with this id, in either case.
pub(crate) fn find(id: &str) -> Result<&'static Scenario> {
    SCENARIOS
        .iter()
        .find(|scenario| scenario.id.eq_ignore_ascii_case(id))
        .ok_or_else(|| anyhow!("no scenario {id}"))
}
