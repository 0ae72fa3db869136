//! What a node tells of its traffic: who calls whom, how fast, what waits, and calls as they pass.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::control_api::latency::Latency;

/// The traffic of one node since somebody began to look.
///
/// A node measures while it is asked, and for ten seconds after each question. All counts grow from `since_us` on: a rate is the
/// difference of two answers with the same `since_us`, by the difference of their `clock_us`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Traffic {
    /// The node.
    pub node: String,
    /// The time of day on it, in milliseconds since 1970.
    pub unix_ms: u64,
    /// Its clock, in microseconds: it only grows.
    pub clock_us: u64,
    /// What that clock said when the node began to measure.
    pub since_us: u64,
    /// Calls and sends that the node makes, as those who wait for them see them: all attempts together, with the node that
    /// was asked last.
    pub flows: Vec<Flow>,
    /// Calls and sends that its services serve, by the node that asks: from their arrival to their answer.
    pub served: Vec<Flow>,
    /// Its services, by name.
    pub services: Vec<ServiceLoad>,
    /// Its sessions with other nodes, by peer.
    pub sessions: Vec<SessionLoad>,
    /// Calls that its handlers wait for, and that began since the node was first asked.
    pub waiting: Vec<Waiting>,
    /// How many more of these there were than it could keep.
    #[serde(default)]
    pub waiting_left_out: u64,
}

/// The calls of one method between two nodes. Above about a thousand calls per second a node measures some of them at random,
/// and counts each for all that it stands for.
///
/// The flow without a service is the rest: what came when there was no room for a further flow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Flow {
    /// The service whose handler calls, `client/NAME` for a command line, and empty for the program itself. Of what a service
    /// serves only command lines are known.
    pub from: String,
    /// The other node; empty where the call came to none.
    pub node: String,
    /// The service that is called.
    pub service: String,
    /// Its method.
    pub method: String,
    /// Calls that have ended, whichever way.
    pub calls: u64,
    /// Those of them that did not end well, by status: `service_error` for the service's own, else the reason of the failure.
    pub failed: BTreeMap<String, u64>,
    /// Calls that have begun and not ended.
    pub in_flight: u64,
    /// How long those that have ended took: for each bucket of [`Latency`] that is not empty, its number and its count.
    pub latency: Vec<(u16, u64)>,
}

/// What a service has to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ServiceLoad {
    /// Its name.
    pub service: String,
    /// Whether it takes calls.
    pub ready: bool,
    /// Calls that wait or run.
    pub depth: u64,
    /// How many of them there may be.
    pub capacity: u64,
    /// How long the oldest call that waits has waited, in milliseconds.
    pub oldest_ms: u64,
    /// The `&mut self` method that runs and waits for something, with everything behind it.
    pub running: Option<String>,
    /// For how long, in milliseconds.
    pub running_ms: u64,
    /// The `&mut self` method that waits for the `&self` ones before it to end, with everything behind it.
    pub held_up: Option<String>,
    /// How often the service was restarted.
    pub restarts: u64,
}

/// A session with another node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SessionLoad {
    /// The other node.
    pub peer: String,
    /// What it travels over: `quic` or `memory`.
    pub path: String,
    /// The round trip in microseconds, where it is measured.
    pub round_trip_us: Option<u64>,
    /// Whether this node has dialled.
    pub dialled: bool,
    /// How long it has been up, in milliseconds.
    pub up_ms: u64,
    /// The channels of calls on it, in both directions.
    pub channels: u64,
}

/// A call that a handler waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Waiting {
    /// The handler's service.
    pub from: String,
    /// The handler's method.
    pub handler: String,
    /// Tells the handlers of a node apart.
    pub handler_id: u64,
    /// Whether the handler is `&mut self`, so that its service does nothing else meanwhile.
    pub exclusive: bool,
    /// The service that is called.
    pub service: String,
    /// Its method.
    pub method: String,
    /// The node that was asked; empty while there is none.
    pub node: String,
    /// For how long, in milliseconds.
    pub for_ms: u64,
    /// The trace that the call belongs to, if it belongs to one.
    pub trace: Option<String>,
}

/// Calls that passed while somebody looked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Tap {
    /// The calls, in the order in which they ended.
    pub calls: Vec<Tapped>,
    /// How many more passed since `after`: they came too fast, or there were newer ones to keep.
    pub missed: u64,
    /// What to ask after next.
    pub next: u64,
}

/// A call that has passed, as the node saw it that made it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Tapped {
    /// Its number among the calls that passed on this node; grows.
    pub seq: u64,
    /// When it ended, in milliseconds since 1970.
    pub unix_ms: u64,
    /// The service that was called.
    pub service: String,
    /// Its method.
    pub method: String,
    /// The node that called.
    pub caller: String,
    /// The service whose handler called, `client/NAME` for a command line, and empty for the program itself.
    pub from: String,
    /// The node that was asked last; empty where the call came to none.
    pub node: String,
    /// `ok`, `service_error`, or the reason of the failure.
    pub status: String,
    /// What is said of the failure.
    pub detail: String,
    /// How long it took, all attempts together, in microseconds.
    pub duration_us: u64,
    /// The trace that it belongs to, if it belongs to one.
    pub trace: Option<String>,
    /// The arguments as JSON, where they were asked for and can be shown.
    pub payload: Option<Value>,
    /// Why they cannot be shown, where they were asked for.
    #[serde(default)]
    pub payload_missing: Option<String>,
}

impl Flow {
    /// How many of the calls did not end well.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failed.values().fold(0, |all, count| all.saturating_add(*count))
    }

    /// What came of it since an earlier answer; all of it where there is none.
    #[must_use]
    pub fn since(&self, earlier: Option<&Self>) -> Self {
        let Some(earlier) = earlier else { return self.clone() };
        let mut failed = self.failed.clone();
        for (status, count) in &earlier.failed {
            failed.entry(status.clone()).and_modify(|now| *now = now.saturating_sub(*count));
        }
        failed.retain(|_, count| *count > 0);
        Self {
            calls: self.calls.saturating_sub(earlier.calls),
            failed,
            latency: Latency::difference(&self.latency, &earlier.latency),
            ..self.clone()
        }
    }

    /// Whether it is the same flow of another answer.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        (&self.from, &self.node, &self.service, &self.method)
            == (&other.from, &other.node, &other.service, &other.method)
    }
}
