//! `qmesh services`: what the mesh offers, and where.

use std::process::ExitCode;

use crate::{
    find::Target,
    output::{self, OutputFormat, Shade, Table, faint},
};

/// Lists the services.
///
/// # Errors
/// No node answers.
pub(crate) async fn run(target: Target, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let mut client = target.connect().await?;
    let services = client.services().await;
    let asked = client.node().to_owned();
    client.close().await;
    let services = services?;
    if output == OutputFormat::Json {
        output::json(&services)?;
        return Ok(ExitCode::SUCCESS);
    }
    if services.is_empty() {
        output::line("no node serves anything; `qmesh serve echo.Echo` does")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(["SERVICE", "NODES", "VERSION"]);
    for service in &services {
        table.row([
            (service.name.clone(), Shade::Name),
            (service.nodes.join(", "), Shade::Plain),
            (service.versions.join(", "), Shade::Plain),
        ]);
    }
    table.print()?;
    output::line(faint(&format!("\nas {asked} sees it")))?;
    Ok(ExitCode::SUCCESS)
}
