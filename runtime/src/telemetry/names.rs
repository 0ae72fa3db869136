//! The names that spans and metrics carry, all of them: OpenTelemetry's conventions for RPC, and `qmesh.*` for what these
//! do not speak of.
//!
//! The conventions for RPC are a release candidate. Version 1.44 of them calls the status
//! `rpc.response.status_code`; whoever follows its renaming changes one line here.

use crate::failure::{Failure, Outcome, Reason};

/// The version of the conventions that the names are from.
pub(crate) const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";
/// Whose spans and metrics these are.
pub(crate) const SCOPE: &str = "qmesh";

pub(crate) const RPC_SYSTEM: &str = "rpc.system.name";
pub(crate) const RPC_METHOD: &str = "rpc.method";
pub(crate) const RPC_STATUS: &str = "rpc.response.status_code";
pub(crate) const ERROR_TYPE: &str = "error.type";

/// What is known of the execution of a call that failed.
pub(crate) const OUTCOME: &str = "qmesh.outcome";
/// Which attempt of the call it is, from 1.
pub(crate) const ATTEMPT: &str = "qmesh.attempt";
/// The node itself: several may live in one process.
pub(crate) const NODE: &str = "qmesh.node";
/// The node at the other end.
pub(crate) const PEER: &str = "qmesh.peer";
/// The command line that asks for the call, as `client/NAME`.
pub(crate) const GUEST: &str = "qmesh.guest";

/// The endpoints that an attempt could have gone to, each as its node, its score (less is better) and its state.
pub(crate) const CANDIDATES: &str = "qmesh.candidates";
/// How many there were beside those that are named.
pub(crate) const CANDIDATES_LEFT_OUT: &str = "qmesh.candidates.left_out";
/// The nodes at which the call was tried before.
pub(crate) const TRIED: &str = "qmesh.tried";
/// How often the call may still be repeated, with all calls that are made for it.
pub(crate) const RETRIES_LEFT: &str = "qmesh.retries.left";
/// The round trip of the session, in microseconds.
pub(crate) const ROUND_TRIP: &str = "qmesh.round_trip_us";
/// The client stays with one endpoint.
pub(crate) const PINNED: &str = "qmesh.pinned";
/// Nothing else is known of the trace: the call was not kept, and failed.
pub(crate) const ALONE: &str = "qmesh.alone";

pub(crate) const CLIENT_DURATION: &str = "rpc.client.call.duration";
pub(crate) const SERVER_DURATION: &str = "rpc.server.call.duration";
/// The bounds of their buckets, in seconds: those of the conventions, and four below, as calls within a host take microseconds.
pub(crate) const DURATIONS: [f64; 18] = [
    0.000_05, 0.000_2, 0.000_5, 0.002, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
    7.5, 10.0,
];

/// How a call or a send of a node ended.
pub(crate) const END: &str = "qmesh.end";
/// The values of [`END`].
pub(crate) const ENDS: [&str; 6] =
    ["answered", "service_error", "not_sent", "not_executed", "unknown", "given_up"];
/// The place of the last of them.
pub(crate) const GIVEN_UP: usize = 5;
/// What a session travels over.
pub(crate) const PATH: &str = "qmesh.path";
pub(crate) const SERVICE: &str = "qmesh.service";
pub(crate) const STATE: &str = "qmesh.state";
pub(crate) const DIRECTION: &str = "network.io.direction";

/// The method of a call that a command line named: any name that there is not would be a new value.
pub(crate) const OTHER: &str = "_OTHER";

/// The value of [`RPC_SYSTEM`].
pub(crate) const SYSTEM: &str = "qmesh";
/// The time that a call waits at its service.
pub(crate) const QUEUE_SPAN: &str = "queue";
/// The time that its handler takes.
pub(crate) const HANDLER_SPAN: &str = "handler";

/// How a call ended, as far as telemetry tells calls apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    /// The service answered with its own error.
    ServiceError,
    Failed(Reason),
}

/// How many values [`Status`] has.
pub(crate) const STATUSES: usize = 3 + Reason::TooManyHops as usize;

impl Status {
    /// Its place among all of them.
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Ok => 0,
            Self::ServiceError => 1,
            Self::Failed(reason) => 2 + reason as usize,
        }
    }

    pub(crate) const fn of<T, E>(answer: &Result<Result<T, E>, Failure>) -> Result<Self, &Failure> {
        match answer {
            Ok(Ok(_)) => Ok(Self::Ok),
            Ok(Err(_)) => Ok(Self::ServiceError),
            Err(failure) => Err(failure),
        }
    }

    /// The value of [`RPC_STATUS`], and of [`ERROR_TYPE`] where it is one.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ServiceError => "service_error",
            Self::Failed(reason) => reason_code(reason),
        }
    }
}

const fn reason_code(reason: Reason) -> &'static str {
    match reason {
        Reason::NoEndpoint => "no_endpoint",
        Reason::DeadlineExceeded => "deadline_exceeded",
        Reason::Idle => "idle",
        Reason::Cancelled => "cancelled",
        Reason::Overloaded => "overloaded",
        Reason::Unreachable => "unreachable",
        Reason::ConnectionLost => "connection_lost",
        Reason::Panicked => "panicked",
        Reason::Unavailable => "unavailable",
        Reason::UnknownService => "unknown_service",
        Reason::UnknownMethod => "unknown_method",
        Reason::Incompatible => "incompatible",
        Reason::UnknownCodec => "unknown_codec",
        Reason::BadArguments => "bad_arguments",
        Reason::BadReply => "bad_reply",
        Reason::TooLarge => "too_large",
        Reason::Refused => "refused",
        Reason::Protocol => "protocol",
        Reason::TooManyHops => "too_many_hops",
    }
}

/// The value of [`OUTCOME`].
pub(crate) const fn outcome_code(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::NotSent => "not_sent",
        Outcome::NotExecuted => "not_executed",
        Outcome::Unknown => "unknown",
    }
}

/// The value of [`RPC_METHOD`], which is the name of the span as well.
pub(crate) fn method(service: &str, method: &str) -> String {
    format!("{service}/{method}")
}
