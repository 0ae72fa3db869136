//! The command line as people and scripts use it: the real binary, in processes of its own.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod authorize;
mod calls;
mod diagnostics;
mod endings;
mod errors;
mod host;
mod identities;
mod load;
mod probes;
mod streams;
mod traces;
mod traffic;
