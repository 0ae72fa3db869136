//! `qmesh services`: what the mesh offers, and where; or what one service can do.

use std::{process::ExitCode, time::Duration};

use qmesh::{ControlClient, ControlError, MethodInfo, ServiceInfo};

use crate::{
    exit::Problem,
    find::Target,
    output::{self, OutputFormat, Shade, Table, faint},
};

/// What to list.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// List the methods of this service, for example echo.Echo.
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
    #[command(flatten)]
    target: Target,
}

/// How long a service may take to describe itself.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same for one that the node does not know: it may be about to.
const UNKNOWN_PATIENCE: Duration = Duration::from_secs(1);

/// Lists the services, or the methods of one.
///
/// # Errors
/// No node answers, or none serves it.
pub(crate) async fn run(args: Args, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let client = args.target.connect().await?;
    match &args.service {
        Some(service) => methods(client, service, output).await?,
        None => services(client, output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn services(mut client: ControlClient, output: OutputFormat) -> anyhow::Result<()> {
    let services = client.services().await;
    let asked = client.node().to_owned();
    client.close().await;
    let services = services?;
    if output == OutputFormat::Json {
        return Ok(output::json(&services)?);
    }
    if services.is_empty() {
        return Ok(output::line("no node serves anything; `qmesh serve echo.Echo` does")?);
    }
    let mut table = Table::new(["SERVICE", "NODES", "VERSION"]);
    for service in &services {
        table.row([
            (service.name.clone(), Shade::Name),
            (nodes(service), Shade::Plain),
            (service.versions.join(", "), Shade::Plain),
        ]);
    }
    table.print()?;
    Ok(output::line(faint(&format!("\nas {asked} sees it")))?)
}

/// The names of what the mesh offers, if `service` is not among it.
///
/// # Errors
/// The node does not answer.
pub(crate) async fn known_instead(
    client: &mut ControlClient,
    service: &str,
) -> Result<Option<String>, ControlError> {
    let services = client.services().await?;
    if services.iter().any(|known| known.name == service) {
        return Ok(None);
    }
    let known: Vec<_> = services.into_iter().map(|known| known.name).collect();
    Ok(Some(if known.is_empty() { "none".to_owned() } else { known.join(", ") }))
}

async fn methods(mut client: ControlClient, service: &str, output: OutputFormat) -> anyhow::Result<()> {
    let is_known = known_instead(&mut client, service).await?.is_none();
    let described = client.methods(service, if is_known { PATIENCE } else { UNKNOWN_PATIENCE }).await;
    client.close().await;
    let methods = described?.map_err(Problem::from)?;
    if output == OutputFormat::Json {
        return Ok(output::json(&methods)?);
    }
    let mut table = Table::new(["METHOD", "STREAMS", ""]);
    for method in &methods {
        table.row([
            (method.signature.clone(), Shade::Name),
            (streams(method).to_owned(), Shade::Plain),
            (if method.one_way { "no answer" } else { "" }.to_owned(), Shade::Faint),
        ]);
    }
    Ok(table.print()?)
}

/// Which way streams go, as the caller sees it.
const fn streams(method: &MethodInfo) -> &'static str {
    match (method.upload, method.download) {
        (false, false) => "",
        (true, false) => "in",
        (false, true) => "out",
        (true, true) => "in, out",
    }
}

/// The nodes that serve it, and those that are about to.
fn nodes(service: &ServiceInfo) -> String {
    let warming = service.warming.iter().map(|node| format!("{node} (warming up)"));
    service.nodes.iter().cloned().chain(warming).collect::<Vec<_>>().join(", ")
}
