//! The first of several nodes that answers.

use std::time::Duration;

use qmesh::ControlClient;
use tokio::{task::JoinSet, time::timeout};

use super::{Candidate, vacancy};
use crate::member::Known;

const NO_ANSWER: &str = "no answer";

/// How long a candidate may take until the next one is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);

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

/// The first candidate that answers. The next one is tried where one fails or takes its time; each has `patience`.
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
    let (mut attempts, mut refusals) = (Attempts::new(), Vec::new());
    for candidate in candidates {
        attempts.spawn(attempt(guest.clone(), candidate, patience));
        match timeout(HEAD_START, attempts.join_next()).await {
            Ok(Some(Ok(Ok(client)))) => return Ok(client),
            Ok(Some(Ok(Err(refused)))) => refusals.extend(refused),
            Ok(Some(Err(panic))) => refusals.push(panic.to_string()),
            Ok(None) | Err(_) => {}
        }
    }
    first(attempts).await.map_err(|last| [refusals, last].concat())
}

async fn attempt(
    guest: Known,
    candidate: Candidate,
    patience: Duration,
) -> Result<ControlClient, Vec<String>> {
    let address = &candidate.address;
    let dialled = timeout(patience, ControlClient::connect(address, &guest.identity, &guest.name));
    let refusal = tokio::select! {
        dialled = dialled => match dialled {
            Ok(Ok(client)) => return Ok(client),
            Ok(Err(error)) => error.to_string(),
            Err(_late) => NO_ANSWER.to_owned(),
        },
        () = vacancy::certain(address) => "nobody listens there".to_owned(),
    };
    Err(vec![told(&candidate, &refusal)])
}

/// What became of a candidate.
fn told(candidate: &Candidate, why: &str) -> String {
    let address = candidate.address.to_string();
    let who = candidate.name.as_ref().map_or_else(|| address.clone(), |name| format!("{name} at {address}"));
    // The errors of a dial begin with the address.
    let why = why.strip_prefix(&address).and_then(|why| why.strip_prefix(": ")).unwrap_or(why);
    format!("tried {who}: {why}")
}
