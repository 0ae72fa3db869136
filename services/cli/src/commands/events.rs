//! `qmesh events`: what happened in the mesh, and what happens.

mod merge;

use std::{io, process::ExitCode, time::Duration};

use clap::builder::PossibleValuesParser;
use jiff::Timestamp;
use qmesh::{ControlClient, Happened, MeshEvent, Severity};
use tokio::time::sleep;

use self::merge::Merge;
use crate::{
    find::Target,
    output::{self, OutputFormat, Shade, coloured, faint, has_colours},
};

/// Which events.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Go on with what happens, until interrupted.
    #[arg(short, long)]
    follow: bool,
    /// Only the last N of those that the nodes remember (default: all).
    #[arg(short = 'n', long, value_name = "N")]
    last: Option<usize>,
    /// Only events of these kinds, for example session_down,died.
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = PossibleValuesParser::new(MeshEvent::KINDS), hide_possible_values = true)]
    kind: Vec<String>,
    /// Only what this node saw, or what was seen of it.
    #[arg(long, value_name = "NAME")]
    of: Option<String>,
    /// Only events of this service.
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    /// Only warnings and errors.
    #[arg(short, long)]
    warnings: bool,
    #[command(flatten)]
    target: Target,
}

/// How often the nodes are asked for more.
const PAUSE: Duration = Duration::from_secs(1);
/// Questions of one look.
const ROUNDS_MAX: usize = 64;
/// How many nodes may be silent before each is named no more.
const NAMED_MAX: usize = 8;

/// Prints events of all nodes, by time.
///
/// # Errors
/// No node answers.
pub(crate) async fn run(args: Args, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let mut client = args.target.connect().await?;
    let mut merge = Merge::new();
    let mut known = all(&mut client, &mut merge).await?;
    warn_of_silent(&merge);
    known.retain(|happened| args.wants(happened));
    let skipped = args.last.map_or(0, |last| known.len().saturating_sub(last));
    print(&known[skipped..], output)?;
    if args.follow {
        loop {
            sleep(PAUSE).await;
            let mut news = all(&mut client, &mut merge).await?;
            news.retain(|happened| args.wants(happened));
            print(&news, output)?;
        }
    }
    client.close().await;
    Ok(ExitCode::SUCCESS)
}

/// All that the nodes have and did not tell yet, by time.
async fn all(client: &mut ControlClient, merge: &mut Merge) -> anyhow::Result<Vec<Happened>> {
    let mut news = Vec::new();
    // Where events come as fast as they are read, the next look has the rest.
    for _round in 0..ROUNDS_MAX {
        let answers = client.events_everywhere(merge.read(), merge.share()).await?;
        let more = merge.take(answers);
        if more.is_empty() {
            break;
        }
        news.extend(more);
    }
    for (node, missed) in merge.missed() {
        eprintln!("{}", faint(&format!("{missed} events of {node} were forgotten before they were read")));
    }
    merge::by_time(&mut news);
    Ok(news)
}

fn warn_of_silent(merge: &Merge) {
    let silent = merge.silent();
    for (node, why) in silent.iter().take(NAMED_MAX) {
        eprintln!("{}", faint(&format!("{node} does not tell: {why}")));
    }
    if silent.len() > NAMED_MAX {
        eprintln!("{}", faint(&format!("nor do {} others", silent.len() - NAMED_MAX)));
    }
}

fn print(events: &[Happened], output: OutputFormat) -> anyhow::Result<()> {
    for happened in events {
        match output {
            OutputFormat::Json => output::json(happened)?,
            OutputFormat::Table => output::line(line(happened, has_colours(&io::stdout())))?,
        }
    }
    Ok(())
}

/// An event for people: when, where, what.
fn line(happened: &Happened, colours: bool) -> String {
    let at = i64::try_from(happened.unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let at = at.unwrap_or_default().strftime("%Y-%m-%d %H:%M:%S%.3f").to_string();
    let shade = match happened.event.severity() {
        Severity::Error => Shade::Bad,
        Severity::Warning => Shade::Odd,
        _ if is_good(&happened.event) => Shade::Good,
        _ => Shade::Plain,
    };
    let mut line = format!(
        "{}  {}  {}",
        coloured(&at, Shade::Faint, colours),
        coloured(&happened.node, Shade::Name, colours),
        coloured(&happened.event.to_string(), shade, colours)
    );
    if happened.left_out > 0 {
        let left_out = format!(" (and {} more of its kind before)", happened.left_out);
        line.push_str(&coloured(&left_out, Shade::Faint, colours));
    }
    line
}

const fn is_good(event: &MeshEvent) -> bool {
    matches!(
        event,
        MeshEvent::Started { .. }
            | MeshEvent::Joined { .. }
            | MeshEvent::SessionUp { .. }
            | MeshEvent::ServiceReady { .. }
            | MeshEvent::SeedAnswers { .. }
    )
}

// === impl Args ===

impl Args {
    fn wants(&self, happened: &Happened) -> bool {
        let event = &happened.event;
        let of = self.of.as_deref();
        (self.kind.is_empty() || self.kind.iter().any(|kind| kind == event.kind()))
            && of.is_none_or(|name| happened.node == name || event.peer() == Some(name))
            && self.service.as_deref().is_none_or(|service| event.service() == Some(service))
            && (!self.warnings || event.severity() != Severity::Info)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        args: Args,
    }

    fn happened(event: serde_json::Value) -> Happened {
        let mut all = json!({"seq": 1, "unix_ms": 1_764_137_525_250_u64, "node": "cellar"});
        all.as_object_mut().unwrap().extend(event.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn filters_are_combined() {
        let died = happened(json!({"event": "died", "peer": "attic"}));
        let ready = happened(json!({"event": "service_ready", "service": "echo.Echo"}));
        for (typed, wants_died, wants_ready) in [
            (&["events"][..], true, true),
            (&["events", "--kind", "died,left"], true, false),
            (&["events", "--of", "attic"], true, false),
            (&["events", "--of", "cellar"], true, true),
            (&["events", "--service", "echo.Echo"], false, true),
            (&["events", "-w"], true, false),
            (&["events", "--of", "attic", "--kind", "left"], false, false),
        ] {
            let Typed { args } = Typed::parse_from(typed);
            assert_eq!((args.wants(&died), args.wants(&ready)), (wants_died, wants_ready), "{typed:?}");
        }
        assert!(Typed::try_parse_from(["events", "--kind", "dead"]).is_err());
    }

    #[test]
    fn an_event_is_one_line_that_says_when_where_and_what() {
        let mut died = happened(json!({"event": "died", "peer": "attic"}));
        assert_eq!(line(&died, false), "2025-11-26 06:12:05.250  cellar  attic fell silent");
        died.left_out = 3;
        assert!(line(&died, false).ends_with(" (and 3 more of its kind before)"));
        assert!(line(&died, true).contains("\u{1b}[33mattic fell silent\u{1b}[0m"));
    }
}
