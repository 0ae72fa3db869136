//! `qmesh trace`: what nodes keep of recent, slow and failed calls; or one trace as a waterfall over nodes.

pub(super) mod kept;
mod waterfall;

use std::{process::ExitCode, time::Duration};

pub(crate) use kept::SHORT;

use jiff::{Timestamp, tz::TimeZone};
use qmesh::{ControlClient, TraceFilter, TraceInfo};

use crate::{
    find::Target,
    output::{self, OutputFormat, Shade, Table, faint},
    text,
};

/// Which trace, or which of them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  qmesh trace                                 slow and failed calls
  qmesh trace --all --service echo.Echo       all that is kept of a service
  qmesh trace --outcome deadline_exceeded
  qmesh trace 3f2a91                          one of them, over all nodes
  qmesh why 3f2a91                            why it went where it went

Nodes keep a share of all traces in memory for a while, and longer those that were slow or failed; of other calls that
failed, one span. `qmesh call` is always kept, and tells the id of its trace where it fails.")]
pub(crate) struct Args {
    /// The id of a trace, or how it begins.
    #[arg(value_name = "ID", value_parser = kept::id)]
    id: Option<String>,
    /// Calls of this service alone.
    #[arg(long, conflicts_with = "id")]
    service: Option<String>,
    /// Calls that ended so: ok, failed, service_error, or why they failed, for example deadline_exceeded.
    #[arg(long, conflicts_with = "id")]
    outcome: Option<String>,
    /// Calls that took so long, in seconds or for example 250ms.
    #[arg(long, value_parser = text::patience, value_name = "DURATION", conflicts_with = "id")]
    slower: Option<Duration>,
    /// Fast calls that ended well, too.
    #[arg(long, conflicts_with = "id")]
    all: bool,
    /// So many, the latest ones.
    #[arg(long, default_value_t = 20, value_name = "COUNT", conflicts_with = "id")]
    max: u32,
    #[command(flatten)]
    target: Target,
}

/// Shows a trace, or lists them.
///
/// # Errors
/// No node answers, or keeps the trace.
pub(crate) async fn run(args: Args, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let mut client = args.target.connect().await?;
    let done = match &args.id {
        Some(id) => show(&mut client, id, output).await,
        None => list(&mut client, &args, output).await,
    };
    client.close().await;
    done.map(|()| ExitCode::SUCCESS)
}

async fn show(client: &mut ControlClient, id: &str, output: OutputFormat) -> anyhow::Result<()> {
    let spans = kept::spans(client, id).await?;
    match output {
        OutputFormat::Json => output::json(&spans)?,
        OutputFormat::Table => waterfall::print(&spans)?,
    }
    Ok(())
}

async fn list(client: &mut ControlClient, args: &Args, output: OutputFormat) -> anyhow::Result<()> {
    let mut filter = TraceFilter::default();
    filter.service.clone_from(&args.service);
    filter.outcome.clone_from(&args.outcome);
    filter.min_ms = args.slower.map_or(0, |slower| u64::try_from(slower.as_millis()).unwrap_or(u64::MAX));
    let is_chosen = args.all || args.outcome.is_some() || args.slower.is_some();
    let mut traces = if is_chosen {
        filter.max = args.max;
        kept::traces(client, &filter).await?
    } else {
        notable(client, filter).await?
    };
    traces.sort_by_key(|call| std::cmp::Reverse(call.unix_us));
    traces.truncate(usize::try_from(args.max).unwrap_or(usize::MAX));
    if output == OutputFormat::Json {
        return Ok(output::json(&traces)?);
    }
    if traces.is_empty() {
        let more = if is_chosen { "" } else { "; all that is kept: --all" };
        return Ok(output::line(faint(&format!("no such call is kept{more}")))?);
    }
    let mut table = Table::new(["TRACE", "AT", "CALL", "", "NODE", "PEER", "TOOK", "ENDED"]);
    for call in &traces {
        table.row(row(call));
    }
    table.print()?;
    output::line(faint(&format!("\none of them: {} trace ID; why it went so: {0} why ID", text::program())))?;
    Ok(())
}

/// How long a call takes that a person would look at.
const SLOW_MS: u64 = 100;

/// Calls that failed or took long.
async fn notable(client: &mut ControlClient, filter: TraceFilter) -> anyhow::Result<Vec<TraceInfo>> {
    let mut failed = filter.clone();
    failed.outcome = Some("failed".to_owned());
    let mut slow = filter;
    slow.min_ms = SLOW_MS;
    let mut calls = kept::traces(client, &failed).await?;
    let slow = kept::traces(client, &slow).await?;
    calls.extend(slow.into_iter().filter(|call| matches!(&*call.status, "ok" | "service_error")));
    Ok(calls)
}

fn row(call: &TraceInfo) -> [(String, Shade); 8] {
    let at = Timestamp::from_microsecond(i64::try_from(call.unix_us).unwrap_or_default());
    let at = at.map(|at| at.to_zoned(TimeZone::UTC).strftime("%H:%M:%S").to_string());
    let shade = match &*call.status {
        "ok" => Shade::Good,
        "service_error" => Shade::Odd,
        _ => Shade::Bad,
    };
    [
        (call.trace.chars().take(SHORT).collect(), Shade::Name),
        (at.unwrap_or_default(), Shade::Faint),
        (format!("{}/{}", call.service, call.method), Shade::Plain),
        (call.kind.clone(), Shade::Faint),
        (call.node.clone(), Shade::Plain),
        (call.peer.clone().unwrap_or_default(), Shade::Plain),
        (text::duration_us(call.duration_us), Shade::Plain),
        (call.status.clone(), shade),
    ]
}
