//! `qmesh serve`: a node that serves stock services by name.

use std::process::ExitCode;

use qmesh::{DataDirError, Identity, Node, StartError};
use qmesh_services::Stock;

use crate::{
    exit::Problem,
    hosting::{self, Hosting, Plan},
    member::Member,
    output::{self, OutputFormat},
    signals::{self, Signals},
};

/// The node to be.
#[derive(Debug, clap::Args)]
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
    #[command(flatten)]
    member: Member,
    #[command(flatten)]
    hosting: Hosting,
}

/// How many nodes of one kind get a name by themselves.
const NAMES_MAX: usize = 100;

/// Runs the node until a signal comes.
///
/// # Errors
/// The node does not start.
pub(crate) async fn run(mut args: Args, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let signals = Signals::listen()?;
    args.services.sort_unstable();
    args.services.dedup();
    let (identity, certified) = args.member.node()?;
    let node = match args.name.clone().or(certified) {
        Some(name) => start(&args, &identity, &name, output).await.map_err(problem)?,
        None => start_with_any_name(&args, &identity, output).await?,
    };
    Ok(signals::run_until_signal(node, signals).await)
}

/// Names a node after its first service: `echo`, or `echo-2` where that runs already, so that it keeps its id when it is
/// started again.
async fn start_with_any_name(args: &Args, identity: &Identity, output: OutputFormat) -> anyhow::Result<Node> {
    let service = args.services.first().map_or("node", |stock| stock.name());
    let base = service.rsplit('.').next().unwrap_or(service).to_lowercase();
    for number in 1..=NAMES_MAX {
        let name = if number == 1 { base.clone() } else { format!("{base}-{number}") };
        match start(args, identity, &name, output).await {
            Err(Refused::Start(StartError::DataDir(DataDirError::InUse { .. }))) => {}
            started => return started.map_err(problem),
        }
    }
    Err(Problem::usage(format!(
        "{NAMES_MAX} nodes named after {service} run here; name this one: --name NAME"
    ))
    .into())
}

enum Refused {
    Start(StartError),
    Output(anyhow::Error),
}

async fn start(args: &Args, identity: &Identity, name: &str, output: OutputFormat) -> Result<Node, Refused> {
    let plan = Plan {
        name,
        identity,
        data_dir: &args.member.data_dir.path,
        hosting: &args.hosting,
        services: &args.services,
        mdns: args.mdns,
    };
    let node = plan.start().await.map_err(Refused::Start)?;
    plan.announce(&node, output).map_err(Refused::Output)?;
    if output == OutputFormat::Table {
        output::line(hosting::HOW_TO_END).map_err(|error| Refused::Output(error.into()))?;
    }
    Ok(node)
}

fn problem(refused: Refused) -> anyhow::Error {
    match refused {
        Refused::Start(error) => Problem::from(error).into(),
        Refused::Output(error) => error,
    }
}
