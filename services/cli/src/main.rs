//! `qmesh`, the command line of a mesh.

mod args;
mod demo;
mod output;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Args, Command};

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(run(args)));
    outcome.unwrap_or_else(|error| {
        eprintln!("qmesh: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Demo(demo) => demo::run(demo, args.output).await,
        Command::DemoWorker(worker) => demo::work(worker).await,
    }
}
