//! `qmesh tree`: what a node runs.

use std::{collections::BTreeMap, process::ExitCode};

use qmesh::{ActorInfo, ActorState, Failure};
use serde_json::json;

use crate::{
    exit::{Exit, Problem},
    find::Target,
    output::{self, OutputFormat, Shade, Table, faint},
    text,
};

/// Whose tree.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The node whose tree it is, by name or id (default: the one that is asked).
    #[arg(value_name = "NAME", conflicts_with = "all")]
    of: Option<String>,
    /// The trees of all nodes of the mesh.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    target: Target,
}

/// Shows the supervision tree of a node, or of all.
///
/// # Errors
/// No node answers, or not the one that is meant.
pub(crate) async fn run(args: Args, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let mut client = args.target.connect().await?;
    let asked = client.node().to_owned();
    if args.all {
        let trees = client.trees().await;
        client.close().await;
        return show_all(trees?, output);
    }
    let (of, actors) = match args.of {
        None => (asked, client.tree().await.map(Ok)),
        Some(other) => {
            let actors = client.tree_of(&other).await;
            (other, actors)
        }
    };
    client.close().await;
    let actors = actors?.map_err(unanswered)?;
    if output == OutputFormat::Json {
        output::json(&actors)?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&actors)?;
    output::line(faint(&format!("\nof {of}; another node's: qmesh tree NAME, all: --all")))?;
    Ok(ExitCode::SUCCESS)
}

fn unanswered(failure: Failure) -> Problem {
    let hint = "see who is there: qmesh nodes";
    Problem::new(Exit::NoNode, failure.to_string()).hint(hint)
}

fn show_all(
    trees: BTreeMap<String, Result<Vec<ActorInfo>, Failure>>,
    output: OutputFormat,
) -> anyhow::Result<ExitCode> {
    if output == OutputFormat::Json {
        let told = |tree| match tree {
            Ok(actors) => json!({ "actors": actors }),
            Err(failure) => json!({ "failed": failure }),
        };
        output::json(&trees.into_iter().map(|(node, tree)| (node, told(tree))).collect::<BTreeMap<_, _>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    for (place, (node, tree)) in trees.into_iter().enumerate() {
        let gap = if place > 0 { "\n" } else { "" };
        output::line(faint(&format!("{gap}{node}")))?;
        match tree {
            Ok(actors) => print(&actors)?,
            Err(failure) => output::line(failure.to_string())?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(actors: &[ActorInfo]) -> anyhow::Result<()> {
    let mut table = Table::new(["ACTOR", "STATE", "FOR", "RESTARTS", "QUEUE", "OLDEST", "LAST FAILURE"]);
    for (branch, actor) in branches(actors) {
        table.row(row(branch, actor));
    }
    Ok(table.print()?)
}

/// The actors in the order of the tree, each with the branch that leads to it.
fn branches(actors: &[ActorInfo]) -> Vec<(String, &ActorInfo)> {
    let mut lines = Vec::new();
    let roots = actors.iter().filter(|actor| parent(actors, &actor.path).is_none());
    for root in roots {
        lines.push((root.path.clone(), root));
        grow(actors, root, "", &mut lines);
    }
    lines
}

fn grow<'a>(
    actors: &'a [ActorInfo],
    above: &ActorInfo,
    indent: &str,
    lines: &mut Vec<(String, &'a ActorInfo)>,
) {
    let mut below: Vec<_> =
        actors.iter().filter(|actor| parent(actors, &actor.path) == Some(&*above.path)).collect();
    // `channel/10` comes after `channel/9`.
    below.sort_by_key(|actor| (actor.path.trim_end_matches(|c: char| c.is_ascii_digit()), actor.path.len()));
    let count = below.len();
    for (place, actor) in below.into_iter().enumerate() {
        let (branch, deeper) = if place + 1 == count { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let label = actor.path.get(above.path.len() + 1..).unwrap_or(&actor.path);
        lines.push((format!("{indent}{branch}{label}"), actor));
        grow(actors, actor, &format!("{indent}{deeper}"), lines);
    }
}

/// The path of the actor above. A part of a path may hold slashes itself, as in `listener/quic://[::1]:4433`.
fn parent<'a>(actors: &'a [ActorInfo], path: &str) -> Option<&'a str> {
    let is_above = |above: &str| path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'));
    actors
        .iter()
        .map(|actor| actor.path.as_str())
        .filter(|above| is_above(above))
        .max_by_key(|above| above.len())
}

fn row(branch: String, actor: &ActorInfo) -> [(String, Shade); 7] {
    let (state, shade) = match actor.state {
        ActorState::Running => ("running", Shade::Good),
        ActorState::Warming => ("warming up", Shade::Odd),
        ActorState::Restarting => ("restarting", Shade::Odd),
        ActorState::Failed => ("failed", Shade::Bad),
        _ => ("unknown", Shade::Odd),
    };
    let restarts = if actor.restarts == 0 { Shade::Faint } else { Shade::Odd };
    let queue = actor.queue_depth.map(|depth| depth.to_string());
    // The age of nothing says nothing.
    let oldest = actor.oldest_ms.filter(|_| actor.queue_depth.is_some_and(|depth| depth > 0));
    [
        (branch, Shade::Plain),
        (state.to_owned(), shade),
        (text::duration_ms(actor.since_ms), Shade::Faint),
        (actor.restarts.to_string(), restarts),
        (queue.unwrap_or_default(), Shade::Plain),
        (oldest.map(text::duration_ms).unwrap_or_default(), Shade::Plain),
        (actor.last_failure.clone().unwrap_or_default(), Shade::Odd),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(path: &str) -> ActorInfo {
        let info = serde_json::json!({
            "path": path, "kind": "node", "state": "running", "restarts": 0, "since_ms": 0,
            "last_failure": null, "queue_depth": null, "oldest_ms": null,
        });
        serde_json::from_value(info).unwrap()
    }

    #[test]
    fn a_tree_is_indented_also_where_names_hold_slashes() {
        let actors = [
            "node",
            "node/connection/b",
            "node/connection/b/channel/10",
            "node/connection/b/channel/9",
            "node/connection/b/session",
            "node/listener/quic://[::1]:4433",
        ]
        .map(actor);
        let lines: Vec<_> = branches(&actors).into_iter().map(|(line, _)| line).collect();
        assert_eq!(
            lines,
            [
                "node",
                "├─ connection/b",
                "│  ├─ channel/9",
                "│  ├─ channel/10",
                "│  └─ session",
                "└─ listener/quic://[::1]:4433",
            ]
        );
    }
}
