//! Three hosts of a mesh on one machine, each with an address and a network of its own.
//!
//! All of it lives in namespaces that nobody else sees (network, mounts, processes): they end with the program, however
//! it ends, and with them every process, link, rule and file. Host `a` is called through: a command line asks it for
//! `clock.Clock`, which `b` and `c` serve. The command line and those who watch the directories have a network card of
//! their own on the bridge, and are never cut off.
//!
//! - `network`: the bridge, the hosts' namespaces, and the rules that cut links
//! - `host`: one `qmesh serve`
//! - `directory`: what a host's directory said, and when
//! - `callers`: calls without end, and what became of them
//! - `world`: all of these together
//! - `scenarios`: what is done to them, and what must hold

mod callers;
mod directory;
mod host;
mod network;
mod scenarios;
mod world;

use std::{os::unix::process::CommandExt as _, process::Command, time::Duration};

use anyhow::{Context as _, Error, Result};
use tokio::time::{sleep, timeout};

use crate::{Stalls, millis};

/// The argument of the program within its namespaces.
pub const INSIDE: &str = "--inside";
/// All scenarios together take no longer.
const RUN_MAX: Duration = Duration::from_secs(90);
/// A machine that stands still for so long may end sessions that fall silent after a second, and delay whatever is timed.
const DISTURBANCE: Duration = Duration::from_millis(300);

/// What did not hold while the machine stood still: it says nothing of the mesh.
#[derive(Debug, thiserror::Error)]
#[error("the machine stood still for {0:?}: {1:#}")]
pub struct Disturbed(Duration, Error);

/// Becomes the same program within new namespaces. Returns only if that fails.
#[must_use]
pub fn enter() -> Error {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error.into(),
    };
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
    Error::new(unshare.arg(program).arg(INSIDE).exec()).context("unshare (util-linux) does not start")
}

/// Runs all scenarios, and prints their figures.
///
/// # Errors
/// The network cannot be made, or something does not hold: [`Disturbed`] if the machine stood still meanwhile. Whatever was
/// made ends with the process.
pub async fn run() -> Result<()> {
    tokio::select! {
        biased;
        stopped = tokio::signal::ctrl_c() => Err(stopped.err().map_or_else(|| Error::msg("interrupted"), Error::new)),
        ran = timeout(RUN_MAX, scenarios::run()) => ran.with_context(|| format!("not done within {RUN_MAX:?}")).flatten(),
    }
}

/// Runs a scenario, and tells if the machine stood still while something did not hold.
async fn calmly(what: &'static str, scenario: impl Future<Output = Result<()>>) -> Result<()> {
    let stalls = Stalls::watch();
    let ran = scenario.await.context(what);
    // After a pause both are awake, and this one may be the first.
    sleep(millis(30)).await;
    let longest = stalls.longest();
    ran.map_err(|error| if longest < DISTURBANCE { error } else { Disturbed(longest, error).into() })
}
