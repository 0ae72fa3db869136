//! What a node tells of the traces that it keeps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A call that a node keeps: the first of its trace on that node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TraceInfo {
    /// The id of its trace: 32 hexadecimal digits.
    pub trace: String,
    /// When it began, in microseconds of the Unix epoch, by the clock of its node.
    pub unix_us: u64,
    /// How long it took.
    pub duration_us: u64,
    /// The service that was called.
    pub service: String,
    /// Its method.
    pub method: String,
    /// `client` or `producer` where the node called or sent, `server` or `consumer` where it served.
    pub kind: String,
    /// `ok`, `service_error`, or why it failed.
    pub status: String,
    /// What is known of its execution if it failed: `not_sent`, `not_executed` or `unknown`.
    #[serde(default)]
    pub outcome: Option<String>,
    /// How it failed, as a sentence.
    #[serde(default)]
    pub detail: String,
    /// The node that tells of it.
    pub node: String,
    /// The node at the other end, where it is known.
    #[serde(default)]
    pub peer: Option<String>,
}

/// A span that a node keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SpanInfo {
    /// The id of its trace: 32 hexadecimal digits.
    pub trace: String,
    /// Its id: 16 hexadecimal digits.
    pub span: String,
    /// The span above it, which may be another node's, or nobody's.
    pub parent: Option<String>,
    /// The node that keeps it.
    pub node: String,
    /// The method that is called, `queue` or `handler`.
    pub name: String,
    /// `client`, `server`, `producer`, `consumer` or `internal`.
    pub kind: String,
    /// When it began, in microseconds of the Unix epoch, by the clock of its node.
    pub unix_us: u64,
    /// How long it took.
    pub duration_us: u64,
    /// How its call ended: `ok`, `service_error`, or why it failed; empty where it is not one of a call.
    pub status: String,
    /// How it failed, as a sentence.
    #[serde(default)]
    pub detail: String,
    /// What else is known of it.
    #[serde(default)]
    pub attributes: BTreeMap<String, Value>,
}

/// Which traces are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TraceFilter {
    /// Those of this service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Those that ended so: `ok`, `failed` (other than by the service's own error), `service_error`, or why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Those that took so long, in milliseconds.
    #[serde(default)]
    pub min_ms: u64,
    /// So many of each node at most; it gives no more than 1024.
    pub max: u32,
}

// === impl TraceFilter ===

impl Default for TraceFilter {
    /// The latest hundred.
    fn default() -> Self {
        Self { service: None, outcome: None, min_ms: 0, max: 100 }
    }
}
