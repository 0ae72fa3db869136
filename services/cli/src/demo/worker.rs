//! A service process of the demo: a node of its own that counts words until its standard input ends.
//!
//! On its standard output it tells the process that started it where it listens and which batches it begins, so that
//! after a kill it is known what it had in hand.

use std::{
    fmt,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use qmesh::{Telemetry, prelude::*};
use tokio::{io::AsyncReadExt as _, time::sleep};

use crate::demo::{
    record::Record,
    words::{self, CountError, Counted, Counter, CounterServer},
};

/// What a service process of the demo needs to know.
#[derive(Debug, clap::Args)]
pub(crate) struct WorkerArgs {
    /// The node's name.
    #[arg(long)]
    pub(crate) name: String,
    /// The demo's data directory.
    #[arg(long)]
    pub(crate) data: PathBuf,
    /// The node to ask first.
    #[arg(long)]
    pub(crate) seed: Option<Address>,
    /// Milliseconds that a call waits on average.
    #[arg(long)]
    pub(crate) pace: u64,
}

/// A line on a service process's standard output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It runs and can be reached here.
    Listens(Address),
    /// It has a batch in hand.
    Begins(u64),
}

/// The service.
#[derive(Debug)]
struct Worker {
    name: String,
    record: Arc<Record>,
    pace: Duration,
}

/// Runs a service process until its standard input ends, as it does when the process that started it is gone.
pub(crate) async fn work(args: WorkerArgs, telemetry: Telemetry) -> anyhow::Result<ExitCode> {
    let record = Arc::new(Record::create(&args.data, &args.name)?);
    let (name, pace) = (args.name.clone(), Duration::from_millis(args.pace));
    let server = CounterServer::new(move || Worker { name: name.clone(), record: Arc::clone(&record), pace });
    let mut builder = node(&args.name, &args.data)?.telemetry(telemetry).serve(server);
    if let Some(seed) = args.seed {
        builder = builder.seed(seed);
    }
    let node = builder.start().await?;
    let address = node.addresses().into_iter().next().context("the node listens nowhere")?;
    say(&Sign::Listens(address));
    // Nobody writes there; whatever ends it ends the process.
    tokio::io::stdin().read_u8().await.ok();
    node.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

/// A node of the demo. What it keeps on disk is its own, so that nobody is found but through the seed.
pub(crate) fn node(name: &str, data: &Path) -> anyhow::Result<qmesh::NodeBuilder> {
    let mut config = Config::local();
    config.drain_timeout = Duration::from_secs(2);
    let identity = Identity::dev(data)?;
    Ok(Node::builder(name).identity(identity).data_dir(data.join(name)).config(config))
}

/// Between half and one and a half of the pace, so that calls do not march in step.
fn wait(pace: Duration, batch: u64) -> Duration {
    pace.mul_f64(0.5 + (batch * 37 % 101) as f64 / 100.0)
}

/// Tells the process that started this one. If it is gone, standard input ends too.
fn say(sign: &Sign) {
    writeln!(io::stdout(), "{sign}").ok();
}

// === impl Worker ===

impl Counter for Worker {
    /// Half of the wait is before the record and half after it, so that a kill finds calls on both sides.
    async fn count(&self, batch: u64, lines: Vec<String>) -> Result<Counted, CountError> {
        say(&Sign::Begins(batch));
        let wait = wait(self.pace, batch);
        sleep(wait / 2).await;
        let counts = words::count(&lines);
        self.record.append(batch).map_err(|error| CountError::NotRecorded {
            by: self.name.clone(),
            batch,
            problem: error.to_string(),
        })?;
        sleep(wait / 2).await;
        Ok(Counted { by: self.name.clone(), counts })
    }
}

// === impl Sign ===

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listens(address) => write!(f, "listens {address}"),
            Self::Begins(batch) => write!(f, "begins {batch}"),
        }
    }
}

impl FromStr for Sign {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        match line.split_once(' ') {
            Some(("listens", address)) => Ok(Self::Listens(address.parse()?)),
            Some(("begins", batch)) => Ok(Self::Begins(batch.parse()?)),
            _ => anyhow::bail!("`{line}` is no sign of a service process"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_wait_as_told_on_average() {
        let pace = Duration::from_millis(100);
        let sum: Duration = (0..101).map(|batch| wait(pace, batch)).sum();
        assert_eq!(sum, pace * 101);
        assert_eq!(wait(Duration::ZERO, 7), Duration::ZERO);
    }

    #[test]
    fn signs_are_read_as_they_are_written() {
        for sign in [Sign::Listens("quic://127.0.0.1:4433".parse().unwrap()), Sign::Begins(7)] {
            assert_eq!(sign.to_string().parse::<Sign>().unwrap(), sign);
        }
        assert!("begins soon".parse::<Sign>().is_err());
        assert!("hello".parse::<Sign>().is_err());
    }
}
