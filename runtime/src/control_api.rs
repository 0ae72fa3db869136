//! What a command line asks a node over the control channel, and what it is told: JSON in Protobuf messages.

mod about;
mod deadlocks;
mod latency;
mod traces;
mod traffic;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use about::{About, UnreachableInfo};
pub use deadlocks::{Deadlock, deadlocks};
pub(crate) use latency::BUCKETS;
pub use latency::Latency;
pub use traces::{SpanInfo, TraceFilter, TraceInfo};
pub use traffic::{Flow, ServiceLoad, SessionLoad, Tap, Tapped, Traffic, Waiting};

use crate::{events::Happened, failure::Failure, supervisor::ActorInfo};

/// A question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Query {
    Nodes,
    Services,
    Tree,
    About,
    /// Those after a number, the oldest first. Where there is none yet, the answer waits for one.
    Events {
        /// Of the last one that was read; 0 for all that are kept.
        after: u64,
        /// The same by the name of the node that is asked, so that one question can be put to several.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        after_of: BTreeMap<String, u64>,
        max: u32,
        #[serde(default)]
        wait_ms: u64,
    },
    Methods {
        service: String,
        timeout_ms: u64,
    },
    Call {
        service: String,
        method: String,
        arguments: Value,
        timeout_ms: u64,
        /// The head that the call would have on a channel, for its trace.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        head: Vec<u8>,
    },
    Traffic,
    Tap(TapRequest),
    /// The calls that it keeps, the latest first.
    Traces(TraceFilter),
    /// The spans of the traces whose id begins so.
    Trace {
        trace: String,
    },
    /// What another node says, which the asked one asks in turn. Of what only a command line may ask, it says nothing.
    Of {
        /// Its name or its id.
        node: String,
        query: Box<Self>,
    },
    /// What each node of the mesh says.
    Everywhere {
        query: Box<Self>,
    },
}

impl Query {
    /// How long the answer may wait for what it tells.
    pub(crate) fn patience(&self) -> Duration {
        let wait_ms = match self {
            Self::Events { wait_ms, .. } => *wait_ms,
            Self::Tap(asked) => asked.wait_ms,
            _ => 0,
        };
        Duration::from_millis(wait_ms).min(WAIT_MAX)
    }

    /// The question to all nodes as it is put to one of them: what was read of it stands under its full name, or under its
    /// name where no other node has that.
    pub(crate) fn of_node(&self, name: Option<&str>, full_name: &str) -> Self {
        let read = |after: u64, after_of: &BTreeMap<String, u64>| {
            let read = |name| after_of.get(name).copied();
            read(full_name).max(name.and_then(read)).unwrap_or(after)
        };
        match self {
            Self::Events { after, after_of, max, wait_ms } => Self::Events {
                after: read(*after, after_of),
                after_of: BTreeMap::new(),
                max: *max,
                wait_ms: *wait_ms,
            },
            Self::Tap(asked) => Self::Tap(TapRequest {
                service: asked.service.clone(),
                after: read(asked.after, &asked.after_of),
                after_of: BTreeMap::new(),
                ..*asked
            }),
            other => other.clone(),
        }
    }
}

/// Which calls somebody wants to see pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TapRequest {
    /// Empty for all.
    pub(crate) service: String,
    /// What the last answer said is next.
    #[serde(default)]
    pub(crate) after: u64,
    /// The same for nodes by name, where one question goes to several.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) after_of: BTreeMap<String, u64>,
    /// How many of them at a time.
    pub(crate) max: u32,
    /// How long the node is to wait for one.
    #[serde(default)]
    pub(crate) wait_ms: u64,
    /// Whether the arguments are wanted.
    #[serde(default)]
    pub(crate) payload: bool,
}
/// How long an answer may wait for what it tells. Whoever waits for longer asks again.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Nodes(Vec<NodeInfo>),
    Services(Vec<ServiceInfo>),
    Tree(Vec<ActorInfo>),
    About(Box<About>),
    Events {
        events: Vec<Happened>,
        /// How many there were between the last one that was read and these.
        missed: u64,
    },
    Methods(Vec<MethodInfo>),
    Traces(Vec<TraceInfo>),
    Spans(Vec<SpanInfo>),
    Value(Value),
    ServiceError(Value),
    Traffic(Traffic),
    Tapped(Tap),
    Failed(Failure),
    /// By the node's name; where two have the same, by name and id.
    Everywhere(BTreeMap<String, Self>),
    /// The question was not understood.
    Unknown(String),
}

/// A node of the mesh, as one of its members sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeInfo {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// `starting`, `ready`, `draining` or `gone`.
    pub state: String,
    /// Where others reach it.
    pub addresses: Vec<String>,
    /// The services that it offers.
    pub services: Vec<String>,
    /// Its label for placement.
    pub zone: Option<String>,
    /// Which life of the node this is; grows with each start.
    pub incarnation: u64,
    /// Whether the node that was asked has a session with it; always true for itself.
    pub connected: bool,
    /// The round trip to it in microseconds, where it is measured.
    pub round_trip_us: Option<u64>,
}

/// A service of the mesh, as one of its members sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServiceInfo {
    /// Its name.
    pub name: String,
    /// The nodes that offer it, by name.
    pub nodes: Vec<String>,
    /// The versions that they announce, each once, empty ones left out.
    pub versions: Vec<String>,
    /// The nodes that prepare it and take no calls yet, by name. They are in no directory: the node that is asked knows
    /// only of itself.
    #[serde(default)]
    pub warming: Vec<String>,
}

/// A method of a service, as the service itself describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MethodInfo {
    /// The service's name.
    pub service: String,
    /// Its name.
    pub name: String,
    /// Name, parameters and return type, as both sides of a call compare them.
    pub signature: String,
    /// Whether there is no answer.
    pub one_way: bool,
    /// Whether the runtime may repeat a call whose outcome is unknown.
    pub idempotent: bool,
    /// Whether the caller sends a stream.
    pub upload: bool,
    /// Whether the service sends a stream.
    pub download: bool,
}

/// A call that claims to need longer is given a day.
pub(crate) fn timeout(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds.min(24 * 60 * 60 * 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_of_a_node_is_found_when_another_has_its_name() {
        let after_of = BTreeMap::from([("a".to_owned(), 5), ("a (1)".to_owned(), 7), ("b".to_owned(), 9)]);
        let query = Query::Events { after: 0, after_of, max: 10, wait_ms: 0 };
        let after = |name, full_name: &str| match query.of_node(name, full_name) {
            Query::Events { after, after_of, .. } if after_of.is_empty() => after,
            other => panic!("{other:?}"),
        };
        assert_eq!(after(Some("b"), "b (2)"), 9, "it is the only one of its name");
        assert_eq!(after(None, "b (2)"), 0, "`b` may have been another one");
        assert_eq!((after(None, "a (1)"), after(Some("a"), "a (1)")), (7, 7), "the later of both");
        assert_eq!(after(Some("c"), "c (3)"), 0);
    }
}
