//! Who may call what: the policies in front of a service.
//!
//! A policy is asked once for each method when a caller opens a channel, since who calls does not change on it. A call
//! then costs a look at a table.

mod rules;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

pub use rules::{RuleError, Rules};

use crate::{
    failure::{Failure, Reason},
    service::Caller,
};

/// What a policy says of a caller and a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may call, unless another policy denies it.
    Allow,
    /// It may not call.
    Deny,
}

/// Decides by caller, service and method.
pub(crate) type Policy = Arc<dyn Fn(&Caller, &str, &str) -> Decision + Send + Sync>;

/// All policies in front of one service: each must allow. Without any, whoever belongs to the mesh may call.
#[derive(Default)]
pub(crate) struct Guard {
    policies: Vec<Policy>,
    told: Mutex<Told>,
}

/// What the log was told of refusals.
#[derive(Debug, Default)]
struct Told {
    last: Option<Instant>,
    /// Refusals since.
    since: u64,
}

/// The log of a service tells of one refusal in this time, and of how many there were since the last.
const TELL_EVERY: Duration = Duration::from_secs(1);

impl Guard {
    pub(crate) fn new(policies: Vec<Policy>) -> Self {
        Self { policies, told: Mutex::default() }
    }

    /// Whether every policy allows the call. One that panics denies.
    pub(crate) fn admits(&self, caller: &Caller, service: &str, method: &str) -> bool {
        self.policies.iter().all(|policy| {
            let decided = catch_unwind(AssertUnwindSafe(|| policy(caller, service, method)));
            decided.is_ok_and(|decision| decision == Decision::Allow)
        })
    }

    /// The refusal of a call, told to the log now and then.
    ///
    /// Whoever is refused learns who it is to this node and what it may not do, and nothing of the policies.
    pub(crate) fn refuse(&self, caller: &Caller, guest: Option<&Caller>, what: (&str, &str)) -> Failure {
        let (service, method) = what;
        if let Some(refused) = self.told.lock().tell(Instant::now()) {
            let (caller, guest) = (format!("{caller:?}"), guest.map(|guest| format!("{guest:?}")));
            tracing::warn!(target: "qmesh::service", service, method, caller, guest, refused, "refused a caller");
        }
        Failure::not_executed(Reason::Refused, refusal(caller, guest, what))
    }
}

/// The sentence for whoever is refused.
pub(crate) fn refusal(caller: &Caller, guest: Option<&Caller>, (service, method): (&str, &str)) -> String {
    match guest {
        Some(guest) => format!("{caller:?} may not call {service}/{method} on behalf of {guest:?}"),
        None => format!("{caller:?} may not call {service}/{method}"),
    }
}

impl Told {
    /// Counts a refusal; if it is time to tell, how many there were since.
    fn tell(&mut self, now: Instant) -> Option<u64> {
        self.since += 1;
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < TELL_EVERY) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.since))
    }
}

// === impl Guard ===

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("policies", &self.policies.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_told_of_a_flood_once_in_a_while() {
        let (mut told, now) = (Told::default(), Instant::now());
        let tell: Vec<_> = (0..1000).filter_map(|_| told.tell(now)).collect();
        assert_eq!(tell, [1]);
        assert_eq!(told.tell(now + TELL_EVERY), Some(1000));
    }
}
