//! `qmesh dev`: a node to develop with.

use std::process::ExitCode;

use qmesh::{Node, OpenConsole, StartError, Telemetry};
use qmesh_services::Stock;

use crate::{
    console::ConsoleArgs,
    exit::Problem,
    hosting::{self, Hosting, Plan},
    member::DataDir,
    output::{self, OutputFormat, Shade, Table},
    signals::{self, Signals},
    text,
};

/// The node to be.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The node's name.
    #[arg(long, default_value = "dev")]
    name: String,
    #[command(flatten)]
    data_dir: DataDir,
    /// Neither tell the local network of the node nor listen for others there.
    #[arg(long)]
    no_mdns: bool,
    /// Serve no console.
    #[arg(long, conflicts_with_all = ["console", "console_token_file"])]
    no_console: bool,
    #[command(flatten)]
    pub(crate) hosting: Hosting,
    #[command(flatten)]
    console: ConsoleArgs,
}

/// Runs the node until a signal comes.
///
/// # Errors
/// The node does not start.
pub(crate) async fn run(args: Args, telemetry: Telemetry, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let signals = Signals::listen()?;
    let identity = args.data_dir.identity()?;
    let plan = Plan {
        name: &args.name,
        identity: &identity,
        data_dir: &args.data_dir.path,
        hosting: &args.hosting,
        services: &Stock::ALL,
        mdns: !args.no_mdns,
        rules: None,
        telemetry: &telemetry,
    };
    let console = (!args.no_console).then(|| args.console.by_default());
    let (node, _console) = start(plan, console.as_ref(), output, &args.data_dir).await?;
    Ok(signals::run_until_signal(node, signals).await)
}

async fn start(
    mut plan: Plan<'_>,
    console: Option<&ConsoleArgs>,
    output: OutputFormat,
    data_dir: &DataDir,
) -> anyhow::Result<(Node, Option<OpenConsole>)> {
    let mut started = plan.start().await;
    if let Err(StartError::Seeds(error)) = &started
        && plan.mdns
    {
        tracing::warn!(target: "qmesh::cli", %error, "the local network does not hear of this node");
        plan.mdns = false;
        started = plan.start().await;
    }
    let node = started.map_err(Problem::from)?;
    let console = console.map(|console| console.open(&node)).transpose()?.flatten();
    plan.announce(&node, console.as_ref(), output)?;
    if output == OutputFormat::Table {
        next_steps(data_dir)?;
        output::line(hosting::HOW_TO_END)?;
    }
    Ok((node, console))
}

/// What to type in another terminal, ready to be copied.
fn next_steps(data_dir: &DataDir) -> std::io::Result<()> {
    let (qmesh, flag) = (text::program(), data_dir.flag());
    output::line("\nIn another terminal:\n")?;
    let commands = [
        (format!(r#"{qmesh} call echo.Echo/Say '{{"text":"hello"}}'{flag}"#), "a first call"),
        (format!(r#"{qmesh} call clock.Clock/Ticks '{{"every_ms":1000}}'{flag}"#), "a stream"),
        (format!("{qmesh} serve echo.Echo --name b{flag}"), "a second node"),
        (format!("{qmesh} nodes{flag}"), "who is there"),
        (format!("{qmesh} tree{flag}"), "what this node runs"),
        (format!("{qmesh} events --follow{flag}"), "what happens"),
    ];
    let mut table = Table::new(["", ""]);
    for (command, what) in commands {
        table.row([(format!("  {command}"), Shade::Name), (format!("# {what}"), Shade::Faint)]);
    }
    table.print()
}
