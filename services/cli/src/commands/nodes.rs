//! `qmesh nodes`: who is alive in the mesh.

use std::process::ExitCode;

use qmesh::NodeInfo;

use crate::{
    find::Target,
    output::{self, OutputFormat, Shade, Table, faint},
    text,
};

/// Lists the nodes.
///
/// # Errors
/// No node answers.
pub(crate) async fn run(target: Target, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let mut client = target.connect().await?;
    let nodes = client.nodes().await;
    let asked = client.node().to_owned();
    client.close().await;
    let nodes = nodes?;
    if output == OutputFormat::Json {
        output::json(&nodes)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(["NODE", "STATE", "ID", "ADDRESS", "SERVICES", "ZONE", "ROUND TRIP"]);
    for node in &nodes {
        table.row(row(node, &asked));
    }
    table.print()?;
    output::line(faint(&format!("\nas {asked} sees it")))?;
    Ok(ExitCode::SUCCESS)
}

fn row(node: &NodeInfo, asked: &str) -> [(String, Shade); 7] {
    let state = match node.state.as_str() {
        "ready" => Shade::Good,
        "gone" => Shade::Bad,
        _ => Shade::Odd,
    };
    let round_trip = match node.round_trip_us {
        _ if node.name == asked => ("-".to_owned(), Shade::Faint),
        _ if !node.connected => ("no session".to_owned(), Shade::Odd),
        Some(us) => (text::duration_us(us), Shade::Plain),
        None => ("-".to_owned(), Shade::Faint),
    };
    [
        (node.name.clone(), Shade::Name),
        (node.state.clone(), state),
        (node.id.chars().take(6).collect(), Shade::Faint),
        (node.addresses.join("\n"), Shade::Plain),
        (node.services.join(", "), Shade::Plain),
        (node.zone.clone().unwrap_or_default(), Shade::Plain),
        round_trip,
    ]
}
