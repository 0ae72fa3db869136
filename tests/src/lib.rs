//! What the tests of whole meshes share.
//!
//! - [`Mesh`]: nodes in this process, over memory or QUIC
//! - [`watch`]: waiting for what a directory says, and for sessions
//! - [`work`]: a service that tells who serves
//! - [`shapes`]: a service with calls of each shape, and what its handlers saw
//! - [`Tally`]: what became of calls; no call is without an outcome
//! - [`Background`]: callers that go on while a test does its worst
//! - [`Stalls`]: what the machine itself cost
//! - [`Process`]: an endpoint in a process of its own, to be killed
//! - [`swarm`]: a mesh, a load and faults, all drawn from one seed
//! - [`gossip`]: what the directory costs, by the number of nodes
//! - [`hosts`]: three hosts in network namespaces, whose links are cut
//! - [`spans`]: what nodes recorded of traces, as a tree
//! - [`stranger`]: a peer with valid credentials that says what it likes

mod background;
mod mesh;
mod process;
mod stalls;
mod tally;

pub mod gossip;
pub mod hosts;
pub mod shapes;
pub mod spans;
pub mod stranger;
pub mod swarm;
pub mod watch;
pub mod work;

use std::{panic, sync::Once, time::Duration};

pub use self::{
    background::Background,
    mesh::Mesh,
    process::{PATIENT, Process, resident_bytes},
    stalls::Stalls,
    tally::Tally,
};

/// So many seconds.
#[must_use]
pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// So many milliseconds.
#[must_use]
pub const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Runs work beside the test.
#[expect(clippy::disallowed_methods, reason = "a user of the library spawns as usual")]
pub fn spawn<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::spawn(work)
}

/// The message of a panic that a test wants. Use [`expect_panics`] first, and nothing is printed.
pub const EXPECTED: &str = "a panic that the test wants";

/// Prints no panic whose message is [`EXPECTED`]: a thousand backtraces take longer than the test.
pub fn expect_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if info.payload_as_str() != Some(EXPECTED) {
                print(info);
            }
        }));
    });
}
