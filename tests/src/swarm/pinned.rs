//! A client that stays with one endpoint, and asks several things at once: they begin in order.

use std::time::Duration;

use futures_util::future::join_all;
use qmesh::{
    Failure, Outcome, Reason, ServiceClient as _,
    testing::{CallKind, Ledger},
};
use rand::{Rng, rngs::StdRng};

use super::service::WorkClient;

/// What is asked at once at most.
const BURST: u64 = 8;

/// The pinned client of one caller: a new one takes its place when its endpoint is lost.
#[derive(Debug)]
pub(super) struct Pinned {
    /// Whose it is.
    caller: usize,
    /// How many there were before it.
    former: u64,
    client: Option<WorkClient>,
    /// The number of what was asked last.
    asked: u64,
}

impl Pinned {
    pub(super) const fn of(caller: usize) -> Self {
        Self { caller, former: 0, client: None, asked: 0 }
    }

    /// Asks a few things at once, and is pinned anew if their endpoint is lost. Given up halfway, it keeps its place.
    pub(super) async fn ask(
        &mut self,
        ledger: &Ledger,
        client: &WorkClient,
        rng: &mut StdRng,
        (limit, millis): (Duration, u64),
    ) {
        let client = self.client.get_or_insert_with(|| client.pinned()).clone();
        let name = format!("caller {}, pin {}", self.caller, self.former);
        let burst = (0..rng.random_range(1..=BURST)).map(|_| {
            self.asked += 1;
            one(ledger, &client, &name, (self.asked, rng.random_bool(0.5)), (limit, millis))
        });
        let burst: Vec<_> = burst.collect();
        let answers = join_all(burst).await;
        if answers.iter().flatten().any(is_lost) {
            *self = Self { former: self.former + 1, ..Self::of(self.caller) };
        }
    }
}

/// Whether the endpoint, or the caller's own node, is gone for ever: whoever wants to go on does so with another client.
fn is_lost(failure: &Failure) -> bool {
    failure.outcome() == Outcome::NotSent
        && matches!(failure.reason(), Reason::ConnectionLost | Reason::Unavailable)
}

/// Why it failed, if it did.
async fn one(
    ledger: &Ledger,
    client: &WorkClient,
    name: &str,
    (number, one_way): (u64, bool),
    (limit, millis): (Duration, u64),
) -> Option<Failure> {
    let name = name.to_owned();
    if one_way {
        let sent =
            ledger.call(CallKind::OneWay, limit, |id| client.mark(id, name, number, millis).timeout(limit));
        sent.await.err()
    } else {
        let step =
            ledger.call(CallKind::Once, limit, |id| client.step(id, name, number, millis).timeout(limit));
        step.await.err()
    }
}
