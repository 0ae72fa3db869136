//! `qmesh health`: whether a node is ready, for probes.

use std::process::ExitCode;

use serde_json::json;

use crate::{
    exit::{Exit, Problem},
    find::Target,
    health,
    output::{self, OutputFormat},
};

/// Asks one node whether it and its services are ready.
///
/// # Errors
/// It is not ready, or does not answer.
pub(crate) async fn run(target: Target, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let mut client = target.connect().await?;
    let (nodes, tree) = (client.nodes().await, client.tree().await);
    let asked = client.node().to_owned();
    client.close().await;
    let (nodes, tree) = (nodes?, tree?);
    let own = nodes.iter().find(|node| node.name == asked);
    let state = own.map_or("gone", |node| node.state.as_str());
    let complaints = health::complaints(state, &tree);
    if !complaints.is_empty() {
        let facts = json!({ "node": asked, "state": state, "complaints": complaints });
        let problem = Problem::new(Exit::Failed, format!("{asked} is not ready")).hint(complaints.join("\n"));
        return Err(problem.facts(facts).into());
    }
    match output {
        OutputFormat::Json => output::json(&json!({ "node": asked, "state": state }))?,
        OutputFormat::Table => output::line(format!("{asked} is ready"))?,
    }
    Ok(ExitCode::SUCCESS)
}
