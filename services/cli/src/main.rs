//! `qmesh`, the command line of a mesh.
//!
//! `dev`, `serve`, `load` and `demo` run nodes. Every other command is a guest: it finds one node (`find`), asks it over the
//! control channel, and is never a member. This is the only place of qmesh that reads the environment, installs a
//! subscriber and handles signals.

mod address;
mod args;
mod commands;
mod console;
mod demo;
mod exit;
mod find;
mod health;
mod hosting;
mod logs;
mod member;
mod output;
mod rules;
mod service_manager;
mod signals;
mod telemetry;
mod text;
mod top;

use std::process::ExitCode;

use clap::Parser as _;
use qmesh::Telemetry;

use crate::{
    args::{Args, Command},
    telemetry::Exporting,
};

fn main() -> ExitCode {
    let args = Args::parse();
    let output = args.output;
    logs::install(args.command.runs_a_node());
    let outcome = run(args);
    outcome.unwrap_or_else(|error| exit::report(&error, output))
}

fn run(mut args: Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let exporting = match args.command.telemetry() {
        Some(metrics) => runtime.block_on(Exporting::begin(metrics))?,
        None => Exporting::none(),
    };
    args.command.answers_metrics_at(exporting.address());
    let outcome = runtime.block_on(dispatch(args, exporting.telemetry()));
    // It sends by way of the runtime.
    exporting.shutdown();
    // Whatever still blocks a thread, such as a read of standard input, is not waited for.
    runtime.shutdown_background();
    outcome
}

async fn dispatch(args: Args, telemetry: Telemetry) -> anyhow::Result<ExitCode> {
    let output = args.output;
    match args.command {
        Command::Dev(dev) => Box::pin(commands::dev::run(dev, telemetry, output)).await,
        Command::Serve(serve) => Box::pin(commands::serve::run(serve, telemetry, output)).await,
        Command::Load(load) => Box::pin(commands::load::run(load, telemetry, output)).await,
        Command::Call(call) => {
            Box::pin(signals::or_interrupted(commands::call::run(call, telemetry, output))).await
        }
        Command::Health(target) => {
            Box::pin(signals::or_interrupted(commands::health::run(target, output))).await
        }
        Command::Nodes(target) => {
            Box::pin(signals::or_interrupted(commands::nodes::run(target, output))).await
        }
        Command::Services(services) => {
            Box::pin(signals::or_interrupted(commands::services::run(services, output))).await
        }
        Command::Tree(tree) => Box::pin(signals::or_interrupted(commands::tree::run(tree, output))).await,
        Command::Top(target) => Box::pin(signals::or_interrupted(commands::top::run(target, output))).await,
        Command::Tap(tap) => Box::pin(signals::or_interrupted(commands::tap::run(tap, output))).await,
        Command::Events(events) => {
            Box::pin(signals::or_interrupted(commands::events::run(events, output))).await
        }
        Command::Doctor(doctor) => {
            Box::pin(signals::or_interrupted(commands::doctor::run(doctor, output))).await
        }
        Command::Trace(trace) => Box::pin(signals::or_interrupted(commands::trace::run(trace, output))).await,
        Command::Why(why) => Box::pin(signals::or_interrupted(commands::why::run(why, output))).await,
        Command::Ca(ca) => commands::ca::run(&ca, output),
        Command::Demo(demo) => Box::pin(demo::run(demo, telemetry, output)).await,
        Command::Completions(completions) => commands::completions::run(&completions),
        Command::DemoWorker(worker) => Box::pin(demo::work(worker, telemetry)).await,
    }
}
