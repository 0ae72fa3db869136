//! `qmesh demo`: a small mesh works on a real text, loses a process, and the result is right.
//!
//! This process starts three others, each a node of its own with a service that counts words, and calls that service
//! by its name, one call for each batch of lines. Amid the work it kills one of the three with SIGKILL and starts a new one.
//! In the end it compares the sum of all answers with a count of its own, and the answers with what the processes recorded.
//!
//! In reading order: `input` is the text, `words` the contract, `worker` a service process and `record` its file;
//! `processes` starts and kills them, `run` is the loop, `ledger` its books, `progress` and `report` are what people see.

mod input;
mod ledger;
mod processes;
mod progress;
mod record;
mod report;
mod run;
mod words;
mod worker;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use qmesh::{Console, Telemetry};
pub(crate) use worker::{WorkerArgs, work};

use crate::{
    demo::{
        input::Input,
        processes::Processes,
        progress::{Progress, Tone, number},
        report::Report,
        run::{Run, Stage},
    },
    exit::INTERRUPTED,
    output::OutputFormat,
    signals::Signals,
};

/// The name of the service.
const SERVICE: &str = "words.Counter";

/// Who serves from the beginning. The first one is the seed: the only node that all others know of.
const CAST: [&str; 3] = ["words-1", "words-2", "words-3"];

/// Who takes the place of the killed one.
const NEWCOMER: &str = "words-4";

/// What the demo is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The text to count words in (default: notes from the repository, repeated to 20,000 lines).
    file: Option<PathBuf>,
    /// Lines in a call (default: as many as make a thousand calls).
    #[arg(long, value_name = "LINES", value_parser = clap::value_parser!(u32).range(1..))]
    batch: Option<u32>,
    /// Milliseconds that a worker waits in a call on average, beside counting, so that there is something to watch.
    #[arg(long, value_name = "MS", default_value_t = 250, value_parser = clap::value_parser!(u64).range(..=4000))]
    pace: u64,
}

/// Shows it.
///
/// # Errors
/// The text cannot be shown, or the run could not be brought to its end. One that was, with a wrong result, is no
/// error but a failure.
pub(crate) async fn run(args: Args, telemetry: Telemetry, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let report = tokio::select! {
        report = Box::pin(show(args, telemetry)) => report?,
        // The processes and their directory end with `show`.
        signal = signals.next() => {
            eprintln!("{signal}: the demo was ended, nothing of it is left");
            return Ok(ExitCode::from(INTERRUPTED));
        }
    };
    report.print(output)?;
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn show(args: Args, telemetry: Telemetry) -> anyhow::Result<Report> {
    let input = Input::read(args.file.as_deref(), args.batch.map(|lines| lines as usize))?;
    let expected = input.count();
    let mut progress = Progress::new(input.batches.len());
    let (lines, calls) = (number(expected.lines), number(input.batches.len() as u64));
    progress.event(
        Tone::Plain,
        "",
        "",
        &format!("{lines} lines of {} in {calls} calls to {SERVICE}", input.title),
    );

    let data = tempfile::Builder::new().prefix("qmesh-demo-").tempdir().context("cannot make a directory")?;
    let mut stage = set_stage(&data, &args, input, telemetry).await?;
    let console = Console::at(([127, 0, 0, 1], 0).into()).serve(&stage.node)?;
    progress.event(Tone::Plain, "console", "open", &console.url());
    let outcome = Run::new(&mut stage, &mut progress).finish().await?;
    let retried = stage.node.counts().retries;
    let ((), ended) = tokio::join!(stage.node.shutdown(), stage.processes.end());
    ended?;
    progress.clear();

    let names: Vec<_> = CAST.iter().chain([&NEWCOMER]).map(|name| (*name).to_owned()).collect();
    Report::new(&outcome, expected, retried, data.path(), &names)
}

/// Starts the three processes and the node that calls them.
async fn set_stage(
    data: &tempfile::TempDir,
    args: &Args,
    input: Input,
    telemetry: Telemetry,
) -> anyhow::Result<Stage> {
    let [first, others @ ..] = CAST;
    let mut processes = Processes::new(data.path(), args.pace);
    let seed = processes.start_seed(first).await?;
    for name in others {
        processes.start(name)?;
    }
    let node = worker::node("caller", data.path())?.telemetry(telemetry).seed(seed).start().await?;
    Ok(Stage {
        node,
        processes,
        cast: CAST.map(str::to_owned).to_vec(),
        newcomer: NEWCOMER.to_owned(),
        batches: input.batches,
    })
}
