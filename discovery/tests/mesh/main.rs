//! A mesh of many nodes in one thread and in virtual time: they join, leave, die, come back, and lie.

#![expect(clippy::unwrap_used, reason = "a helper's failure is the test's")]

mod attacks;
mod forge;
mod lifecycle;
mod network;
mod partition;
