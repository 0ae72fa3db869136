//! `qmesh doctor`: what is wrong with the mesh, and what to do about it.

mod findings;

use std::{process::ExitCode, time::Duration};

use qmesh::{ControlClient, Severity};
use serde_json::json;
use tokio::time::{Instant, sleep};

use self::findings::{Finding, Seen};
use crate::{
    exit::Exit,
    find::Target,
    output::{self, OutputFormat, Shade, coloured, faint, has_colours},
    text,
};

/// Which mesh.
#[derive(Debug, clap::Args)]
#[command(after_help = "It ends with 1 if it finds anything, and with 0 if not.")]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
}

/// What is found is looked at again after this time: a mesh in which something just changes is no sick one.
const SECOND_LOOK: Duration = Duration::from_secs(2);

/// Looks at all nodes, and says what is wrong.
///
/// # Errors
/// No node answers.
pub(crate) async fn run(args: Args, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let mut client = args.target.connect().await?;
    let mut seen = look(&mut client).await?;
    let mut found = findings::of(&seen);
    if !found.is_empty() {
        sleep(SECOND_LOOK).await;
        seen = look(&mut client).await?.since(&seen);
        found = findings::lasting(&found, findings::of(&seen));
    }
    client.close().await;
    match output {
        OutputFormat::Json => {
            let nodes: Vec<_> = seen.abouts.keys().collect();
            output::json(&json!({ "nodes": nodes, "findings": found }))?;
        }
        OutputFormat::Table => print(&seen, &found)?,
    }
    Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(Exit::Failed as u8) })
}

async fn look(client: &mut ControlClient) -> anyhow::Result<Seen> {
    let start = Instant::now();
    let mut seen = Seen::default();
    for (node, about) in client.abouts().await? {
        match about {
            Ok(about) => drop(seen.abouts.insert(node, about)),
            Err(failure) => drop(seen.silent.insert(node, failure.to_string())),
        }
    }
    seen.took_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(seen)
}

fn print(seen: &Seen, found: &[Finding]) -> anyhow::Result<()> {
    let colours = has_colours(&std::io::stdout());
    for finding in found {
        let (word, shade) = match finding.severity {
            Severity::Error => ("error", Shade::Bad),
            _ => ("warning", Shade::Odd),
        };
        let word = coloured(&format!("{word:<8}"), shade, colours);
        output::line(format!("{word} {}\n         {}", finding.what, faint(&finding.advice)))?;
    }
    let nodes = text::count(seen.abouts.len(), "node");
    let verdict = match found.len() {
        0 => coloured("nothing is wrong", Shade::Good, colours),
        count => text::count(count, "finding"),
    };
    output::line(format!("{nodes} looked at, {verdict}"))?;
    Ok(())
}
