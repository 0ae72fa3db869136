//! How a call fails: what is known of its execution, why, and where.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is known of the execution of a call that failed. It alone decides whether repeating the call is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Outcome {
    /// The call never left this node. Repeating it is always safe.
    NotSent,
    /// The call was refused before its handler began. Repeating it is always safe.
    NotExecuted,
    /// The handler may have run, wholly or in part. Repeating is safe for idempotent methods alone.
    Unknown,
}

/// Why a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Reason {
    /// No live node offers the service.
    NoEndpoint,
    /// The call's time was over.
    DeadlineExceeded,
    /// No item of the call's streams came or went for longer than the caller allows.
    Idle,
    /// The caller gave the call up.
    Cancelled,
    /// A bound was reached: the queue of the service, or the calls in flight on a channel.
    Overloaded,
    /// The endpoint's node could not be reached.
    Unreachable,
    /// The session ended while the call was under way.
    ConnectionLost,
    /// The handler panicked.
    Panicked,
    /// The service has stopped, is restarting too often, or its node drains.
    Unavailable,
    /// The node offers no service of this name.
    UnknownService,
    /// The service has no method of this name.
    UnknownMethod,
    /// The method differs between caller and service.
    Incompatible,
    /// The service does not speak the caller's codec.
    UnknownCodec,
    /// The arguments could not be encoded, or the service could not decode them.
    BadArguments,
    /// The answer could not be encoded, or the caller could not decode it.
    BadReply,
    /// The arguments or the answer are larger than allowed.
    TooLarge,
    /// The caller may not call this method.
    Refused,
    /// The peer broke the protocol.
    Protocol,
    /// Too many calls stand on top of each other: services that call each other in a circle.
    TooManyHops,
}

/// A call that failed, other than by the service's own error.
///
/// It can be serialised, so that a service's own error can carry the failure of a call further on:
/// `#[error(transparent)] Upstream(#[from] Failure)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure(Box<Facts>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Facts {
    outcome: Outcome,
    reason: Reason,
    detail: String,
    service: String,
    method: String,
    endpoint: Option<String>,
}

/// What the client of a method that returns `Result<T, E>` gets instead of a `T`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError<E> {
    /// The service answered with its own error.
    #[error(transparent)]
    Service(E),
    /// The call failed on the way.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl Failure {
    /// A failure with a sentence for people.
    pub fn new(outcome: Outcome, reason: Reason, detail: impl Into<String>) -> Self {
        Self(Box::new(Facts {
            outcome,
            reason,
            detail: detail.into(),
            service: String::new(),
            method: String::new(),
            endpoint: None,
        }))
    }

    pub(crate) fn not_sent(reason: Reason, detail: impl Into<String>) -> Self {
        Self::new(Outcome::NotSent, reason, detail)
    }

    pub(crate) fn not_executed(reason: Reason, detail: impl Into<String>) -> Self {
        Self::new(Outcome::NotExecuted, reason, detail)
    }

    pub(crate) fn unknown(reason: Reason, detail: impl Into<String>) -> Self {
        Self::new(Outcome::Unknown, reason, detail)
    }

    /// The answer of a call that has begun did not come in time.
    pub(crate) fn unanswered_in_time() -> Self {
        Self::unknown(Reason::DeadlineExceeded, "no answer within the call's time")
    }

    /// A service dropped a reply without answering it.
    pub(crate) fn without_a_word() -> Self {
        Self::unknown(Reason::Unavailable, "the service ended without a word")
    }

    pub(crate) fn of(mut self, service: &str, method: &str) -> Self {
        self.0.service = service.to_owned();
        self.0.method = method.to_owned();
        self
    }

    pub(crate) fn at(mut self, endpoint: impl fmt::Display) -> Self {
        self.0.endpoint = Some(endpoint.to_string());
        self
    }

    pub(crate) fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.0.outcome = outcome;
        self
    }

    /// Adds half a sentence to the one for people.
    pub(crate) fn add(&mut self, more: &str) {
        self.0.detail = format!("{}; {more}", self.0.detail);
    }

    /// An earlier attempt of the same call may have run: whatever became of this one, the whole is unknown.
    pub(crate) fn after(mut self, earlier: Option<&Self>) -> Self {
        if let Some(earlier) = earlier {
            self.0.outcome = self.0.outcome.max(earlier.0.outcome);
            if self.0.reason == Reason::DeadlineExceeded && !earlier.0.detail.is_empty() {
                self.0.detail = format!("{}; the last attempt: {}", self.0.detail, earlier.0.detail);
            }
        }
        self
    }

    /// What is known of the execution.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// Why the call failed.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// A sentence for people.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The service that was called.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.0.service
    }

    /// The method that was called.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.0.method
    }

    /// The node that was asked, where one was.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        self.0.endpoint.as_deref()
    }
}

impl<E> CallError<E> {
    /// The failure, unless the service answered with its own error.
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Service(_) => None,
            Self::Failed(failure) => Some(failure),
        }
    }
}

// === impl Outcome, Failure ===

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NotSent => "not sent",
            Self::NotExecuted => "not executed",
            Self::Unknown => "outcome unknown",
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = &self.0;
        if !facts.service.is_empty() {
            f.write_str(&facts.service)?;
            if !facts.method.is_empty() {
                write!(f, "/{}", facts.method)?;
            }
            if let Some(endpoint) = &facts.endpoint {
                write!(f, " at {endpoint}")?;
            }
            f.write_str(": ")?;
        }
        write!(f, "{}: {}", facts.outcome, facts.detail)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_as_a_sentence() {
        let failure =
            Failure::not_sent(Reason::NoEndpoint, "no endpoint of chat.Chat").of("chat.Chat", "join");
        assert_eq!(failure.to_string(), "chat.Chat/join: not sent: no endpoint of chat.Chat");
        assert_eq!(
            Failure::unknown(Reason::Panicked, "the handler panicked").of("a.B", "c").at("lobby").to_string(),
            "a.B/c at lobby: outcome unknown: the handler panicked"
        );
    }

    #[test]
    fn an_earlier_unknown_attempt_makes_the_whole_unknown() {
        let earlier = Failure::unknown(Reason::ConnectionLost, "the peer fell silent");
        let last = Failure::not_sent(Reason::DeadlineExceeded, "no time left").after(Some(&earlier));
        assert_eq!(last.outcome(), Outcome::Unknown);
        assert!(last.detail().contains("the peer fell silent"), "{last}");
    }

    #[test]
    fn a_failure_travels() {
        let failure = Failure::not_executed(Reason::Overloaded, "the queue is full").of("a.B", "c");
        let bytes = rmp_serde::to_vec_named(&failure).unwrap();
        assert_eq!(rmp_serde::from_slice::<Failure>(&bytes).unwrap(), failure);
    }
}
