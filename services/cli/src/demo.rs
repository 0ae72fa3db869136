//! `qmesh demo`: a small mesh that survives the loss of a node.

use std::process::ExitCode;

use crate::output::OutputFormat;

/// What the demo is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// What a node of the demo is told.
#[derive(Debug, clap::Args)]
pub(crate) struct WorkerArgs {}

#[expect(clippy::unused_async, reason = "a stub")]
pub(crate) async fn run(_args: Args, _output: OutputFormat) -> anyhow::Result<ExitCode> {
    anyhow::bail!("the demo is not there yet")
}

#[expect(clippy::unused_async, reason = "a stub")]
pub(crate) async fn work(_args: WorkerArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("the demo is not there yet")
}
