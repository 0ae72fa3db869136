//! The first of several nodes that answers.

use std::time::Duration;

use qmesh::{ControlClient, ControlError};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::Candidate;
use crate::member::Known;

/// The head start of each candidate: a node that lives answers within it, and one that does not costs no more.
const HEAD_START: Duration = Duration::from_millis(50);

/// The attempts to reach a node, each with what became of it in lines for people.
pub(super) type Attempts = JoinSet<Result<ControlClient, Vec<String>>>;

/// The first attempt that reaches a node.
///
/// # Errors
/// What became of each, in the order in which they ended.
///
/// # Cancel safety
/// Cancelling ends all attempts.
pub(super) async fn first(mut attempts: Attempts) -> Result<ControlClient, Vec<String>> {
    let mut refusals = Vec::new();
    while let Some(attempt) = attempts.join_next().await {
        match attempt {
            Ok(Ok(client)) => return Ok(client),
            Ok(Err(refused)) => refusals.extend(refused),
            Err(panic) => refusals.push(panic.to_string()),
        }
    }
    Err(refusals)
}

/// The first candidate that answers, in their order where they live; each has `patience`.
///
/// # Errors
/// As [`first`].
///
/// # Cancel safety
/// As [`first`].
pub(super) async fn among(
    guest: Known,
    candidates: Vec<Candidate>,
    patience: Duration,
) -> Result<ControlClient, Vec<String>> {
    let mut attempts = Attempts::new();
    for (place, candidate) in (0..).zip(candidates) {
        let guest = guest.clone();
        attempts.spawn(async move {
            sleep(HEAD_START * place).await;
            let dialled = ControlClient::connect(&candidate.address, &guest.identity, &guest.name);
            match timeout(patience, dialled).await {
                Ok(Ok(client)) => Ok(client),
                Ok(Err(error)) => Err(vec![told(&candidate, Some(&error))]),
                Err(_late) => Err(vec![told(&candidate, None)]),
            }
        });
    }
    first(attempts).await
}

/// What became of a candidate; `error` is none where its time was over.
fn told(candidate: &Candidate, error: Option<&ControlError>) -> String {
    let address = candidate.address.to_string();
    let who = candidate.name.as_ref().map_or_else(|| address.clone(), |name| format!("{name} at {address}"));
    let why = error.map_or_else(|| "no answer".to_owned(), ToString::to_string);
    // The errors of a dial begin with the address.
    let why = why.strip_prefix(&address).and_then(|why| why.strip_prefix(": ")).unwrap_or(&why);
    format!("tried {who}: {why}")
}
