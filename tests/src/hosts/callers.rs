//! Calls without end through one host, and what became of them.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use parking_lot::Mutex;
use qmesh::{Address, CallError, ControlClient, Failure, Identity};
use serde_json::json;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::world::GUEST;
use crate::{Tally, millis, secs, spawn};

/// Callers that call an idempotent method, one call after the other. They stop when this is dropped.
#[derive(Debug)]
pub(super) struct Callers {
    calls: Arc<Mutex<Vec<Call>>>,
    callers: Vec<JoinHandle<Result<()>>>,
}

/// One call that has ended.
#[derive(Clone, Debug)]
struct Call {
    began: Instant,
    ended: Instant,
    /// The host that served it.
    served_by: Result<String, Failure>,
}

/// What became of the calls since a moment.
#[derive(Debug)]
pub(super) struct Calls {
    since: Instant,
    calls: Vec<Call>,
}

/// How many call at once.
const CALLERS: usize = 4;
/// How long a call is at work: most of the time, so that whatever happens finds calls in the hands of a host.
const WORK_MS: u64 = 50;
/// How long a caller rests between two calls.
const PACE: Duration = millis(10);
/// How long a call may take.
const DEADLINE: Duration = secs(2);
/// A call may end so late, on a machine that does other things too.
const LATENESS_MAX: Duration = millis(500);
/// A call that takes longer met with an obstacle.
const SMOOTH_MAX: Duration = millis(250);

// === impl Callers ===

impl Callers {
    /// Calls through the node at `through`.
    pub(super) async fn start(through: &Address, identity: &Identity) -> Result<Self> {
        let (calls, mut callers) = (Arc::default(), Vec::new());
        for _ in 0..CALLERS {
            let client = ControlClient::connect(through, identity, GUEST).await?;
            callers.push(spawn(call_on(client, Arc::clone(&calls))));
        }
        Ok(Self { calls, callers })
    }

    /// The calls that ended after `since`.
    pub(super) fn since(&self, since: Instant) -> Result<Calls> {
        ensure!(
            self.callers.iter().all(|caller| !caller.is_finished()),
            "a caller lost the node that it asks"
        );
        let calls = self.calls.lock();
        let calls = calls.iter().filter(|call| call.ended >= since).cloned().collect();
        Ok(Calls { since, calls })
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        for caller in &self.callers {
            caller.abort();
        }
    }
}

async fn call_on(mut client: ControlClient, calls: Arc<Mutex<Vec<Call>>>) -> Result<()> {
    loop {
        let began = Instant::now();
        let answer = client.call("clock.Clock", "wait", json!({ "millis": WORK_MS }), DEADLINE).await?;
        let served_by = match answer {
            Ok(reading) => Ok(reading["node"].as_str().unwrap_or("nobody").to_owned()),
            Err(CallError::Failed(failure)) => Err(failure),
            Err(CallError::Service(error)) => return Err(error.into()),
        };
        calls.lock().push(Call { began, ended: Instant::now(), served_by });
        sleep(PACE).await;
    }
}

// === impl Calls ===

impl Calls {
    /// The time until the last call ended that failed or met with an obstacle.
    pub(super) fn disturbed_for(&self) -> Duration {
        let disturbed = self.calls.iter().filter(|call| call.served_by.is_err() || call.took() > SMOOTH_MAX);
        disturbed.map(|call| call.ended - self.since).max().unwrap_or_default()
    }

    /// The hosts that served calls that began at least `after` later.
    pub(super) fn served_after(&self, after: Duration) -> BTreeMap<&str, usize> {
        let later = self.calls.iter().filter(|call| call.began >= self.since + after);
        let mut served = BTreeMap::new();
        for name in later.filter_map(|call| call.served_by.as_ref().ok()) {
            *served.entry(name.as_str()).or_default() += 1;
        }
        served
    }

    /// Checks that calls were made, and that each ended in its time.
    pub(super) fn check_ends(&self) -> Result<()> {
        ensure!(!self.calls.is_empty(), "there were no calls");
        let slowest = self.slowest();
        ensure!(slowest <= DEADLINE + LATENESS_MAX, "a call with {DEADLINE:?} took {slowest:?}");
        Ok(())
    }

    /// Checks that none failed.
    pub(super) fn check_answers(&self) -> Result<()> {
        self.check_ends()?;
        ensure!(self.calls.iter().all(|call| call.served_by.is_ok()), "calls failed: {}", self.tally());
        Ok(())
    }

    fn slowest(&self) -> Duration {
        self.calls.iter().map(Call::took).max().unwrap_or_default()
    }

    fn tally(&self) -> Tally {
        let tally = Tally::default();
        for call in &self.calls {
            // The failure stays in the list of calls.
            drop(tally.count(call.served_by.clone()));
        }
        tally
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "calls: {}; by host {:?}", self.tally(), self.served_after(Duration::ZERO))?;
        write!(f, "; the slowest took {:?}", self.slowest())
    }
}

// === impl Call ===

impl Call {
    fn took(&self) -> Duration {
        self.ended - self.began
    }
}
