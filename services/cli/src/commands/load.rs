//! `qmesh load`: a node that calls stock services at an even pace.

use std::{collections::BTreeMap, convert::Infallible, process::ExitCode, time::Duration};

use qmesh::{Failure, Node, Telemetry};
use qmesh_services::Stock;
use serde::Serialize;
use tokio::{
    task::{JoinError, JoinSet},
    time::interval,
};

use crate::{
    exit::{INTERRUPTED, Problem},
    hosting::{self, Hosting, Plan},
    member::Member,
    output::{self, OutputFormat},
    signals::{self, Signals},
};

/// The load.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It counts how its calls end, and says so when it is asked to stop. The exit code is 0 if none failed."
)]
pub(crate) struct Args {
    /// The services, by name: clock.Clock, echo.Echo. They are called in turn.
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<Stock>,
    /// How many calls per second, all services together.
    #[arg(long, default_value = "10", value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// The node's name (default: the certificate's, or `load`).
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    member: Member,
    #[command(flatten)]
    pub(crate) hosting: Hosting,
}

/// How many calls are under way at most: where a mesh does not keep up, the pace waits for it.
const CALLS_MAX: usize = 1024;

/// The calls of a node, and how they ended.
struct Load<'a> {
    node: &'a Node,
    services: Vec<Stock>,
    calls: JoinSet<Result<(), Failure>>,
    ends: Ends,
}

/// How calls ended.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Ends {
    answered: u64,
    failed: u64,
    /// The failed ones by outcome and reason.
    failures: BTreeMap<String, u64>,
}

/// Calls until a signal comes.
///
/// # Errors
/// The node does not start.
pub(crate) async fn run(args: Args, telemetry: Telemetry, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let (identity, certified) = args.member.node()?;
    let name = args.name.or(certified).unwrap_or_else(|| "load".to_owned());
    let plan = Plan {
        name: &name,
        identity: &identity,
        data_dir: &args.member.data_dir.path,
        hosting: &args.hosting,
        services: &[],
        mdns: false,
        rules: None,
        telemetry: &telemetry,
    };
    let node = plan.start().await.map_err(Problem::from)?;
    plan.announce(&node, None, output)?;
    if output == OutputFormat::Table {
        output::line(hosting::HOW_TO_END)?;
    }
    let mut load =
        Load { node: &node, services: args.services, calls: JoinSet::new(), ends: Ends::default() };
    signals::until_signal(&node, &mut signals, load.keep_calling(args.rate)).await;
    let ends = tokio::select! {
        ends = load.finish() => ends,
        // Nothing is waited for any more; the node goes without a goodbye.
        _ = signals.next() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    let code = signals::end(&node, signals).await;
    ends.print(output)?;
    Ok(if ends.failed == 0 { code } else { ExitCode::FAILURE })
}

// === impl Load ===

impl Load<'_> {
    async fn keep_calling(&mut self, rate: u32) -> Infallible {
        // Late ticks come at once, so that the pace is kept on average.
        let mut pace = interval(Duration::from_secs(1) / rate);
        loop {
            for service in self.services.clone() {
                pace.tick().await;
                while self.calls.len() >= CALLS_MAX {
                    self.one_ends().await;
                }
                while let Some(call) = self.calls.try_join_next() {
                    self.ends.count(call);
                }
                let node = self.node.clone();
                self.calls.spawn(async move { service.call(&node).await });
            }
        }
    }

    /// Waits for the calls under way.
    async fn finish(&mut self) -> Ends {
        while !self.calls.is_empty() {
            self.one_ends().await;
        }
        std::mem::take(&mut self.ends)
    }

    async fn one_ends(&mut self) {
        if let Some(call) = self.calls.join_next().await {
            self.ends.count(call);
        }
    }
}

// === impl Ends ===

impl Ends {
    fn count(&mut self, call: Result<Result<(), Failure>, JoinError>) {
        let failure = match call {
            Ok(Ok(())) => {
                self.answered += 1;
                return;
            }
            Ok(Err(failure)) => {
                tracing::warn!(target: "qmesh::cli", %failure, "a call failed");
                format!("{:?}: {:?}", failure.outcome(), failure.reason())
            }
            Err(panic) => panic.to_string(),
        };
        self.failed += 1;
        *self.failures.entry(failure).or_default() += 1;
    }

    fn print(&self, output: OutputFormat) -> anyhow::Result<()> {
        if output == OutputFormat::Json {
            return Ok(output::json(self)?);
        }
        output::line(format!("{} calls were answered, {} failed", self.answered, self.failed))?;
        for (failure, count) in &self.failures {
            output::line(format!("  {count} {failure}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_what_is_known_of_them() {
        let said = serde_json::json!({
            "outcome": "NotExecuted", "reason": "Overloaded", "detail": "full", "service": "a.B", "method": "c",
            "endpoint": null
        });
        let failure: Failure = serde_json::from_value(said).unwrap();
        let mut ends = Ends::default();
        for call in [Ok(()), Err(failure.clone()), Err(failure)] {
            ends.count(Ok(call));
        }
        let failures = BTreeMap::from([("NotExecuted: Overloaded".to_owned(), 2)]);
        assert_eq!(ends, Ends { answered: 1, failed: 2, failures });
    }
}
