//! `qmesh why`: the decisions about a call, replayed.

mod story;

use std::process::ExitCode;

use crate::{
    commands::trace::kept,
    find::Target,
    output::{self, OutputFormat, Shade, Table, bold, faint, shaded},
    text,
};
use story::{Attempt, Call, Candidate, calls};

/// Which call.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  qmesh call echo.Echo/Say '{\"text\":\"hello\"}' --timeout 0.001
  qmesh why 3f2a91

For each call of the trace: which endpoints there were, with their scores (less is better) and states, which was taken and
by what path, what came of each attempt, what was left to be repeated, and where the time went.")]
pub(crate) struct Args {
    /// The id of its trace, or how it begins.
    #[arg(value_name = "ID", value_parser = kept::id)]
    id: String,
    #[command(flatten)]
    target: Target,
}

/// Tells why.
///
/// # Errors
/// No node answers, or keeps the trace.
pub(crate) async fn run(args: Args, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let mut client = args.target.connect().await?;
    let spans = kept::spans(&mut client, &args.id).await;
    client.close().await;
    let spans = spans?;
    let calls = calls(&spans);
    if output == OutputFormat::Json {
        output::json(&calls)?;
        return Ok(ExitCode::SUCCESS);
    }
    let trace = spans.first().map_or("", |span| &span.trace);
    output::line(format!("trace {}", bold(trace)))?;
    for call in &calls {
        tell(call)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(call: &Call) -> anyhow::Result<()> {
    let who = who(call);
    let method = &call.method;
    let ended = ended(&call.status, call.duration_us);
    output::line(format!("\n{} {who}: {ended}", bold(method)))?;
    if !call.detail.is_empty() {
        output::line(format!("  {}", call.detail))?;
    }
    if call.is_alone {
        return Ok(output::line(faint(
            "  it was not kept while it ran: of how it went, only its end is known",
        ))?);
    }
    if call.attempts.is_empty() && call.node.is_some() && !call.is_one_way {
        output::line("  no attempt was made: it found no endpoint that it could be sent to")?;
    }
    for attempt in &call.attempts {
        tell_attempt(attempt, call)?;
    }
    if call.attempts.is_empty() {
        return tell_times(&call.served, call.duration_us, "  ");
    }
    Ok(())
}

/// Who called.
fn who(call: &Call) -> String {
    let by_itself =
        |caller: &String| call.guest.as_ref().is_some_and(|guest| *guest == format!("client/{caller}"));
    let guest = call.guest.as_ref().map(|guest| format!(" for {guest}")).unwrap_or_default();
    match (&call.node, &call.caller) {
        (Some(node), _) => format!("called by {node}{guest}"),
        (None, Some(caller)) if by_itself(caller) => format!("asked for by client/{caller}"),
        (None, Some(caller)) => format!("asked for by {caller}{guest}, which keeps no trace of it"),
        (None, None) => "asked for".to_owned(),
    }
}

fn tell_attempt(attempt: &Attempt, call: &Call) -> anyhow::Result<()> {
    let at = if attempt.path.as_deref() == Some("here") {
        format!("{}, on the same node", attempt.peer)
    } else {
        let path = attempt.path.as_deref().map(|path| format!(" by {path}")).unwrap_or_default();
        let round_trip = attempt.round_trip_us.filter(|us| *us > 0);
        let round_trip =
            round_trip.map(|us| format!(", round trip {}", text::duration_us(us))).unwrap_or_default();
        format!("{}{path}{round_trip}", attempt.peer)
    };
    let ended = ended(&attempt.status, attempt.duration_us);
    output::line(format!("\n  attempt {} at {}: {ended}", attempt.number, bold(&at)))?;
    if !attempt.detail.is_empty() && attempt.detail != call.detail {
        output::line(format!("    {}", attempt.detail))?;
    }
    if attempt.after_us > 0 {
        let what = if attempt.number > 1 { "the one before" } else { "the call began" };
        output::line(faint(&format!("    begun {} after {what}", text::duration_us(attempt.after_us))))?;
    }
    output::line(format!("    {}", reason(attempt)))?;
    if attempt.candidates.len() > 1 {
        let mut table = Table::new(["    CANDIDATE", "SCORE", "STATE", ""]);
        for candidate in &attempt.candidates {
            table.row(row(candidate));
        }
        table.print()?;
        if attempt.candidates_left_out > 0 {
            output::line(faint(&format!("    and {} more", attempt.candidates_left_out)))?;
        }
    }
    if let Some(left) = attempt.retries_left {
        output::line(faint(&format!("    {left} repeats were left, beside what the attempt was given")))?;
    }
    tell_times(&attempt.served, attempt.duration_us, "    ")
}

/// Where the time of a call or an attempt went.
fn tell_times(served: &story::Served, took: u64, indent: &str) -> anyhow::Result<()> {
    let Some((queue, handler)) = served.queue_us.zip(served.handler_us) else {
        let word = if served.is_known {
            "it was refused there, before its handler began"
        } else {
            "no node keeps what became of it there"
        };
        return Ok(output::line(faint(&format!("{indent}{word}")))?);
    };
    let rest = took.saturating_sub(queue).saturating_sub(handler);
    let times = [("queue", queue), ("handler", handler), ("way and rest", rest)];
    let times = times.map(|(what, us)| format!("{what} {}", text::duration_us(us)));
    Ok(output::line(format!("{indent}time: {}", times.join(", ")))?)
}

/// Why an attempt went there.
fn reason(attempt: &Attempt) -> String {
    let others = attempt.candidates.iter().filter(|candidate| !candidate.chosen);
    let connected = others.clone().filter(|other| other.state == "connected").count();
    let tried = attempt.tried.join(", ");
    if attempt.pinned {
        "the client is pinned to it".to_owned()
    } else if attempt.path.as_deref() == Some("here") {
        "an endpoint on the caller's own node is taken before all others".to_owned()
    } else if attempt.candidates.len() <= 1 {
        "it was the only endpoint".to_owned()
    } else if connected == 0 && !tried.is_empty() {
        format!("the only one left with a session, after {tried}")
    } else if connected == 0 {
        "the only one with a session".to_owned()
    } else {
        let after = if tried.is_empty() { String::new() } else { format!(", {tried} left out") };
        format!("the better of two that were drawn from {} with a session{after}", connected + 1)
    }
}

fn row(candidate: &Candidate) -> [(String, Shade); 4] {
    let shade = if candidate.state == "connected" { Shade::Good } else { Shade::Odd };
    let chosen = if candidate.chosen { "taken" } else { "" };
    [
        (format!("    {}", candidate.node), Shade::Plain),
        (candidate.score.to_string(), Shade::Plain),
        (candidate.state.replace('_', " "), shade),
        (chosen.to_owned(), Shade::Name),
    ]
}

fn ended(status: &str, took: u64) -> String {
    let shade = match status {
        "ok" => Shade::Good,
        "service_error" => Shade::Odd,
        _ => Shade::Bad,
    };
    format!("{} after {}", shaded(&status.replace('_', " "), shade), text::duration_us(took))
}
