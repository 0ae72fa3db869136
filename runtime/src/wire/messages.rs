//! The Protobuf messages of opening and control. They stop at this module's users: no public type is one of them.

use prost::Message;

/// The version of everything in this folder. Peers of another one are refused.
pub(crate) const PROTOCOL: u32 = 1;

/// The first frame of a session, from both sides.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Hello {
    #[prost(uint32, tag = "1")]
    pub(crate) protocol: u32,
    #[prost(string, tag = "2")]
    pub(crate) mesh: String,
    #[prost(string, tag = "3")]
    pub(crate) name: String,
    /// Grows with every start of the node; 0 from a client.
    #[prost(uint64, tag = "4")]
    pub(crate) incarnation: u64,
    #[prost(string, repeated, tag = "5")]
    pub(crate) codecs: Vec<String>,
    #[prost(string, repeated, tag = "6")]
    pub(crate) features: Vec<String>,
    /// Why the sender refuses the session; empty = it does not.
    #[prost(string, tag = "7")]
    pub(crate) refused: String,
    /// Grows with every session that the dialler dials in this life; 0 from the acceptor, and from a client.
    #[prost(uint64, tag = "8")]
    pub(crate) dial: u64,
}

/// Everything else on the control channel.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Control {
    #[prost(oneof = "control::Kind", tags = "1, 2, 3, 4, 5")]
    pub(crate) kind: Option<control::Kind>,
}

pub(crate) mod control {
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(crate) enum Kind {
        /// Asks for a `Pong` with the same number.
        #[prost(uint64, tag = "1")]
        Ping(u64),
        #[prost(uint64, tag = "2")]
        Pong(u64),
        /// The sender drains: open no further channel.
        #[prost(bool, tag = "3")]
        GoAway(bool),
        #[prost(message, tag = "4")]
        Request(super::Request),
        #[prost(message, tag = "5")]
        Response(super::Response),
    }
}

/// What a command-line client asks.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Request {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    /// JSON of a [`Query`](crate::control::Query).
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) query: bytes::Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Response {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    /// JSON of the answer.
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) answer: bytes::Bytes,
}

/// Opens a call channel.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Open {
    #[prost(string, tag = "1")]
    pub(crate) service: String,
    #[prost(string, tag = "2")]
    pub(crate) codec: String,
    /// None asks for all, by name.
    #[prost(message, repeated, tag = "3")]
    pub(crate) methods: Vec<OpenMethod>,
    /// How long a command line gives the node that it asks to find an endpoint; between nodes 0.
    #[prost(uint64, tag = "4")]
    pub(crate) patience_ms: u64,
    /// The command line for which the caller calls.
    #[prost(message, optional, tag = "5")]
    pub(crate) guest: Option<Guest>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct OpenMethod {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    /// What the caller believes; empty = whatever the service says (tools).
    #[prost(string, tag = "2")]
    pub(crate) signature: String,
}

/// The service's answer: one entry for each method asked for, in that order. A method's number on this channel is its
/// place in the caller's list.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Opened {
    #[prost(message, repeated, tag = "1")]
    pub(crate) methods: Vec<OpenedMethod>,
    /// How many one-way sends may be unacknowledged.
    #[prost(uint64, tag = "2")]
    pub(crate) one_way_window: u64,
    /// How many calls may be unanswered.
    #[prost(uint64, tag = "3")]
    pub(crate) calls_max: u64,
    /// The largest arguments in bytes.
    #[prost(uint64, tag = "4")]
    pub(crate) message_bytes_max: u64,
    /// The largest metadata of a call in bytes: keys and values.
    #[prost(uint64, tag = "5")]
    pub(crate) metadata_bytes_max: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct OpenedMethod {
    /// Why calls of this method are refused; empty = they are not.
    #[prost(string, tag = "1")]
    pub(crate) refused: String,
    #[prost(bool, tag = "2")]
    pub(crate) unknown: bool,
    #[prost(bool, tag = "3")]
    pub(crate) one_way: bool,
    #[prost(bool, tag = "4")]
    pub(crate) idempotent: bool,
    /// Whether the caller sends a stream.
    #[prost(bool, tag = "5")]
    pub(crate) upload: bool,
    /// Whether the service does.
    #[prost(bool, tag = "6")]
    pub(crate) download: bool,
    /// Its name, for who asked for all.
    #[prost(string, tag = "7")]
    pub(crate) name: String,
    /// Its signature, for who asked for all.
    #[prost(string, tag = "8")]
    pub(crate) signature: String,
    /// Why the caller may not send one way; empty = it may. Calls of other methods are told in their reply.
    #[prost(string, tag = "9")]
    pub(crate) forbidden: String,
}

/// What is rare about a call. Absent fields are as usual.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct CallHead {
    /// How many calls may stand on top of each other below this one.
    #[prost(uint32, optional, tag = "1")]
    pub(crate) hops: Option<u32>,
    /// How many repeats the handler and all below it may spend.
    #[prost(uint32, optional, tag = "2")]
    pub(crate) retries: Option<u32>,
    #[prost(btree_map = "string, string", tag = "3")]
    pub(crate) metadata: std::collections::BTreeMap<String, String>,
    /// The ids of a trace and a span, and flags, as W3C's `traceparent` has them; empty = there is no trace.
    #[prost(bytes = "vec", optional, tag = "4")]
    pub(crate) trace: Option<Vec<u8>>,
    /// W3C's `tracestate`.
    #[prost(string, tag = "5")]
    pub(crate) tracestate: String,
    #[prost(message, repeated, tag = "6")]
    pub(crate) baggage: Vec<BaggageEntry>,
    /// The ids of a trace that nodes keep, and of the span above the call; absent if they are those of a trace that is recorded.
    #[prost(bytes = "vec", optional, tag = "7")]
    pub(crate) kept: Option<Vec<u8>>,
}

/// An entry of W3C's baggage.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct BaggageEntry {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
    #[prost(string, tag = "3")]
    pub(crate) properties: String,
}

/// A command line, as the node that it asks knows it.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Guest {
    /// The 16 bytes of its id.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) id: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
}

/// A channel that was not opened, or a call that failed. Numbers are those of [`crate::channel::failure_code`].
#[derive(Clone, PartialEq, Message)]
pub(crate) struct WireFailure {
    #[prost(uint32, tag = "1")]
    pub(crate) outcome: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) reason: u32,
    #[prost(string, tag = "3")]
    pub(crate) detail: String,
}

#[cfg(test)]
mod tests;
