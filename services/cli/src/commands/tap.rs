//! `qmesh tap`: calls as they pass.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use jiff::Timestamp;
use qmesh::{Failure, Reason, Tap, Tapped};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    commands::services::known_instead,
    exit::{Exit, Problem},
    find::Target,
    output::{self, OutputFormat, Printer, Shade},
    text,
};

/// What is tapped.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The service whose calls are shown (default: all of the mesh).
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
    /// Show the arguments, too. Nodes do so where their configuration allows it.
    #[arg(long)]
    payload: bool,
    /// End after so many calls (default: never).
    #[arg(short = 'n', long, value_name = "COUNT")]
    count: Option<u64>,
    #[command(flatten)]
    target: Target,
}

/// How long a question waits for calls to pass.
const PATIENCE: Duration = Duration::from_millis(500);
/// The time between two questions: what comes in it is printed in the order of time.
const PAUSE: Duration = Duration::from_millis(100);

/// What the taps of all nodes gave so far.
#[derive(Debug, Default)]
struct Progress {
    /// Where each node is to go on.
    afters: BTreeMap<String, u64>,
    /// Nodes that showed none, and why, as it was told.
    silent: BTreeMap<String, String>,
}

/// Prints the calls that pass on all nodes until it is interrupted, or has enough.
///
/// # Errors
/// No node answers, or none shows what is asked for.
pub(crate) async fn run(args: Args, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let mut client = args.target.connect().await?;
    let service = args.service.unwrap_or_default();
    if !service.is_empty()
        && let Some(known) = known_instead(&mut client, &service).await?
    {
        eprintln!("no node serves {service} now; known are {known}");
    }
    let (mut progress, mut printer, mut left) = (Progress::default(), Printer::new(), args.count);
    loop {
        let taps = client.tap_everywhere(&service, progress.afters.clone(), args.payload, PATIENCE).await?;
        let news = progress.take(taps)?;
        for (node, missed) in &news.missed {
            if !told(&mut printer, output, &json!({ "node": node, "missed": missed }), || {
                missed_line(node, *missed)
            })
            .await?
            {
                return Ok(ExitCode::SUCCESS);
            }
        }
        for (node, why) in &news.silent {
            let silent = json!({ "node": node, "silent": why });
            if !told(&mut printer, output, &silent, || {
                output::shaded(&format!("{node} shows none: {why}"), Shade::Odd)
            })
            .await?
            {
                return Ok(ExitCode::SUCCESS);
            }
        }
        for call in &news.calls {
            if left == Some(0) {
                break;
            }
            left = left.map(|left| left - 1);
            if !told(&mut printer, output, call, || line(call)).await? {
                return Ok(ExitCode::SUCCESS);
            }
        }
        if left == Some(0) {
            client.close().await;
            return Ok(ExitCode::SUCCESS);
        }
        sleep(PAUSE).await;
    }
}

/// Prints; `false` if the reader went away.
async fn told(
    printer: &mut Printer,
    output: OutputFormat,
    json: &impl serde::Serialize,
    line: impl FnOnce() -> String,
) -> anyhow::Result<bool> {
    Ok(match output {
        OutputFormat::Json => printer.json(json).await?,
        OutputFormat::Table => printer.line(&line()).await?,
    })
}

/// What a round of questions gave.
#[derive(Debug, Default)]
struct News {
    calls: Vec<Tapped>,
    missed: Vec<(String, u64)>,
    silent: Vec<(String, String)>,
}

impl Progress {
    /// Takes the answers of all nodes.
    ///
    /// # Errors
    /// All of them refuse.
    fn take(&mut self, taps: BTreeMap<String, Result<Tap, Failure>>) -> Result<News, Problem> {
        let mut news = News::default();
        let all = taps.len();
        let mut refusals = Vec::new();
        for (node, tap) in taps {
            match tap {
                Ok(tap) => {
                    self.silent.remove(&node);
                    if tap.missed > 0 {
                        news.missed.push((node.clone(), tap.missed));
                    }
                    news.calls.extend(tap.calls);
                    self.afters.insert(node, tap.next);
                }
                Err(failure) => {
                    let why = failure.detail().to_owned();
                    if self.silent.insert(node.clone(), why.clone()).as_ref() != Some(&why) {
                        news.silent.push((node, why));
                    }
                    refusals.push(failure);
                }
            }
        }
        let is_refused = refusals.iter().all(|failure| failure.reason() == Reason::Refused);
        if let Some(refusal) = refusals.first().filter(|_| refusals.len() == all && is_refused) {
            return Err(Problem::new(Exit::NotExecuted, refusal.detail().to_owned())
                .hint("without the arguments, everybody may look: leave --payload out"));
        }
        news.calls.sort_by_key(|call| call.unix_ms);
        Ok(news)
    }
}

fn missed_line(node: &str, missed: u64) -> String {
    output::shaded(&format!("{missed} more passed on {node}, too fast to be shown"), Shade::Faint)
}

/// A call for people.
fn line(call: &Tapped) -> String {
    let time = i64::try_from(call.unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let time = time.map_or_else(String::new, |time| time.strftime("%H:%M:%S%.3f").to_string());
    let from = if call.from.is_empty() { String::new() } else { format!(" {}", call.from) };
    let to = if call.node.is_empty() { "nowhere" } else { &call.node };
    let shade = if call.status == "ok" { Shade::Good } else { Shade::Bad };
    let mut line = format!(
        "{} {}{from} → {} on {to}  {} {}",
        output::shaded(&time, Shade::Faint),
        call.caller,
        output::bold(&format!("{}/{}", call.service, call.method)),
        output::shaded(&call.status, shade),
        text::duration_us(call.duration_us),
    );
    if let Some(trace) = &call.trace {
        line.push_str(&output::shaded(&format!("  trace {trace}"), Shade::Faint));
    }
    if let Some(payload) = &call.payload {
        line.push_str(&format!("  {payload}"));
    }
    if let Some(why) = &call.payload_missing {
        line.push_str(&output::shaded(&format!("  (no arguments: {why})"), Shade::Faint));
    }
    if !call.detail.is_empty() {
        line.push_str(&output::shaded(&format!("  {}", call.detail), Shade::Faint));
    }
    line
}

#[cfg(test)]
mod tests {
    use qmesh::Outcome;

    use super::*;

    fn tap(next: u64, missed: u64, unix_ms: &[u64]) -> Tap {
        let calls = unix_ms.iter().map(|unix_ms| {
            json!({
                "seq": 1, "unix_ms": unix_ms, "service": "s.S", "method": "m", "caller": "a", "from": "s.R",
                "node": "b", "status": "ok", "detail": "", "duration_us": 1200, "trace": null, "payload": {"n": 1},
            })
        });
        let calls: Vec<_> = calls.collect();
        serde_json::from_value(json!({ "calls": calls, "missed": missed, "next": next })).unwrap()
    }

    fn refused(reason: Reason) -> Result<Tap, Failure> {
        Err(Failure::new(Outcome::NotExecuted, reason, "no"))
    }

    #[test]
    fn calls_of_all_nodes_come_in_the_order_of_time() {
        let mut progress = Progress::default();
        let taps =
            [("a", Ok(tap(7, 0, &[10, 30]))), ("b", Ok(tap(9, 4, &[20]))), ("c", refused(Reason::Refused))];
        let taps = taps.map(|(node, tap)| (node.to_owned(), tap));
        let news = progress.take(taps.clone().into()).unwrap();
        assert_eq!(news.calls.iter().map(|call| call.unix_ms).collect::<Vec<_>>(), [10, 20, 30]);
        assert_eq!(news.missed, [("b".to_owned(), 4)]);
        assert_eq!(news.silent, [("c".to_owned(), "no".to_owned())]);
        assert_eq!(progress.afters, BTreeMap::from([("a".to_owned(), 7), ("b".to_owned(), 9)]));
        assert_eq!(progress.take(taps.into()).unwrap().silent, [], "it is told once");
    }

    #[test]
    fn where_all_refuse_there_is_nothing_to_wait_for() {
        let mut progress = Progress::default();
        assert!(progress.take([("a".to_owned(), refused(Reason::Refused))].into()).is_err());
        assert!(progress.take([("a".to_owned(), refused(Reason::Overloaded))].into()).is_ok());
    }

    #[test]
    fn a_call_is_one_line() {
        let call = &tap(1, 0, &[1_000]).calls[0];
        // Whoever runs the tests on a terminal has colours.
        let mut parts = line(call);
        while let Some((before, rest)) = parts.split_once('\u{1b}') {
            let (_, rest) = rest.split_once('m').unwrap();
            parts = format!("{before}{rest}");
        }
        assert_eq!(parts, r#"00:00:01.000 a s.R → s.S/m on b  ok 1.2ms  {"n":1}"#);
    }
}
