//! `qmesh serve`: a node that serves stock services by name.

use std::{path::PathBuf, process::ExitCode};

use qmesh::{DataDirError, Identity, Node, OpenConsole, Rules, StartError, Telemetry};
use qmesh_services::Stock;

use crate::{
    console::ConsoleArgs,
    exit::Problem,
    hosting::{self, Hosting, Plan},
    member::Member,
    output::{self, OutputFormat},
    rules,
    signals::{self, Signals},
};

/// The node to be.
#[derive(Debug, clap::Args)]
#[command(after_help = rules::HELP)]
pub(crate) struct Args {
    /// The services, by name: clock.Clock, echo.Echo.
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<Stock>,
    /// The node's name (default: the certificate's, or one after the first service that no running node has).
    #[arg(long)]
    name: Option<String>,
    /// Find nodes in the local network, and be found there.
    #[arg(long)]
    mdns: bool,
    /// A file that says who may call what (default: whoever belongs to the mesh may call everything).
    #[arg(long, value_name = "FILE")]
    authorize: Option<PathBuf>,
    #[command(flatten)]
    member: Member,
    #[command(flatten)]
    pub(crate) hosting: Hosting,
    #[command(flatten)]
    console: ConsoleArgs,
}

/// How many nodes of one kind get a name by themselves.
const NAMES_MAX: usize = 100;

/// Runs the node until a signal comes.
///
/// # Errors
/// The node does not start.
pub(crate) async fn run(
    mut args: Args,
    telemetry: Telemetry,
    output: OutputFormat,
) -> anyhow::Result<ExitCode> {
    let signals = Signals::listen()?;
    args.services.sort_unstable();
    args.services.dedup();
    let rules = args.authorize.as_deref().map(rules::read).transpose()?;
    let (identity, certified) = args.member.node()?;
    let node =
        Serving { args: &args, identity: &identity, rules: rules.as_ref(), telemetry: &telemetry, output };
    let (node, _console) = match args.name.clone().or(certified) {
        Some(name) => node.start(&name).await.map_err(problem)?,
        None => node.start_with_any_name().await?,
    };
    Ok(signals::run_until_signal(node, signals).await)
}

/// A node that has everything but its name.
struct Serving<'a> {
    args: &'a Args,
    identity: &'a Identity,
    rules: Option<&'a Rules>,
    telemetry: &'a Telemetry,
    output: OutputFormat,
}

impl Serving<'_> {
    /// Names a node after its first service: `echo`, or `echo-2` where that runs already, so that it keeps its id when it is
    /// started again.
    async fn start_with_any_name(&self) -> anyhow::Result<(Node, Option<OpenConsole>)> {
        let service = self.args.services.first().map_or("node", |stock| stock.name());
        let base = service.rsplit('.').next().unwrap_or(service).to_lowercase();
        for number in 1..=NAMES_MAX {
            let name = if number == 1 { base.clone() } else { format!("{base}-{number}") };
            match self.start(&name).await {
                Err(Refused::Start(StartError::DataDir(DataDirError::InUse { .. }))) => {}
                started => return started.map_err(problem),
            }
        }
        Err(Problem::usage(format!(
            "{NAMES_MAX} nodes named after {service} run here; name this one: --name NAME"
        ))
        .into())
    }

    async fn start(&self, name: &str) -> Result<(Node, Option<OpenConsole>), Refused> {
        let Self { args, identity, rules, telemetry, output } = *self;
        let plan = Plan {
            name,
            identity,
            data_dir: &args.member.data_dir.path,
            hosting: &args.hosting,
            services: &args.services,
            mdns: args.mdns,
            rules,
            telemetry,
        };
        let node = plan.start().await.map_err(Refused::Start)?;
        let console = args.console.open(&node).map_err(Refused::Other)?;
        plan.announce(&node, console.as_ref(), output).map_err(Refused::Other)?;
        if output == OutputFormat::Table {
            output::line(hosting::HOW_TO_END).map_err(|error| Refused::Other(error.into()))?;
        }
        Ok((node, console))
    }
}

enum Refused {
    Start(StartError),
    Other(anyhow::Error),
}

fn problem(refused: Refused) -> anyhow::Error {
    match refused {
        Refused::Start(error) => Problem::from(error).into(),
        Refused::Other(error) => error,
    }
}
