//! The numbers that stand for outcomes and reasons on the wire. They never change their meaning.

use crate::{
    failure::{Failure, Outcome, Reason},
    wire::messages::WireFailure,
};

const OUTCOMES: [(u32, Outcome); 3] =
    [(1, Outcome::NotSent), (2, Outcome::NotExecuted), (3, Outcome::Unknown)];

const REASONS: [(u32, Reason); 19] = [
    (1, Reason::NoEndpoint),
    (2, Reason::DeadlineExceeded),
    (3, Reason::Cancelled),
    (4, Reason::Overloaded),
    (5, Reason::Unreachable),
    (6, Reason::ConnectionLost),
    (7, Reason::Panicked),
    (8, Reason::Unavailable),
    (9, Reason::UnknownService),
    (10, Reason::UnknownMethod),
    (11, Reason::Incompatible),
    (12, Reason::UnknownCodec),
    (13, Reason::BadArguments),
    (14, Reason::BadReply),
    (15, Reason::TooLarge),
    (16, Reason::Refused),
    (17, Reason::Protocol),
    (18, Reason::TooManyHops),
    (19, Reason::Idle),
];

pub(crate) fn to_wire(failure: &Failure) -> WireFailure {
    let outcome = OUTCOMES.iter().find(|(_, outcome)| *outcome == failure.outcome());
    let reason = REASONS.iter().find(|(_, reason)| *reason == failure.reason());
    WireFailure {
        outcome: outcome.map_or(0, |(code, _)| *code),
        reason: reason.map_or(0, |(code, _)| *code),
        detail: cut(failure.detail()),
    }
}

/// A sentence for people: what quotes a whole payload is cut.
const DETAIL_MAX: usize = 1024;

fn cut(detail: &str) -> String {
    if detail.len() <= DETAIL_MAX {
        return detail.to_owned();
    }
    format!("{}…", &detail[..detail.floor_char_boundary(DETAIL_MAX)])
}

/// A number that we do not know is taken for the worst. What a peer answers was sent: it says *not executed* at best.
pub(crate) fn from_wire(wire: WireFailure) -> Failure {
    let outcome = OUTCOMES.iter().find(|(code, _)| *code == wire.outcome);
    let reason = REASONS.iter().find(|(code, _)| *code == wire.reason);
    Failure::new(
        outcome.map_or(Outcome::Unknown, |(_, outcome)| *outcome).max(Outcome::NotExecuted),
        reason.map_or(Reason::Protocol, |(_, reason)| *reason),
        // It is for people, in a line of text.
        wire.detail.replace(char::is_control, " "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_survives_the_wire() {
        for outcome in [Outcome::NotExecuted, Outcome::Unknown] {
            for (_, reason) in REASONS {
                let failure = Failure::new(outcome, reason, "why");
                assert_eq!(from_wire(to_wire(&failure)), failure);
            }
        }
    }

    #[test]
    fn an_unknown_number_is_an_unknown_outcome() {
        let strange = WireFailure { outcome: 99, reason: 99, detail: "new".into() };
        assert_eq!(from_wire(strange).outcome(), Outcome::Unknown);
    }
}
