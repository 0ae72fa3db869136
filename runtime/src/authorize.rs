//! Who may call what: the policies in front of a service.
//!
//! A policy is asked once for each method when a caller opens a channel, since who calls does not change on it. A call
//! then costs a look at a table.

mod rules;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

pub use rules::{RuleError, Rules};

use crate::service::Caller;

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
}

impl Guard {
    pub(crate) fn new(policies: Vec<Policy>) -> Self {
        Self { policies }
    }

    /// Whether every policy allows the call. One that panics denies.
    pub(crate) fn admits(&self, caller: &Caller, service: &str, method: &str) -> bool {
        self.policies.iter().all(|policy| {
            let decided = catch_unwind(AssertUnwindSafe(|| policy(caller, service, method)));
            decided.is_ok_and(|decision| decision == Decision::Allow)
        })
    }
}

/// The sentence for whoever is refused: it learns who it is to this node and what it may not do, and nothing of the policies.
pub(crate) fn refusal(caller: &Caller, guest: Option<&Caller>, (service, method): (&str, &str)) -> String {
    match guest {
        Some(guest) => format!("{caller:?} may not call {service}/{method} on behalf of {guest:?}"),
        None => format!("{caller:?} may not call {service}/{method}"),
    }
}

// === impl Guard ===

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("policies", &self.policies.len()).finish_non_exhaustive()
    }
}
