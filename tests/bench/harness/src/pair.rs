//! The driver's process: starts the servers, puts the load on, and measures all of them and itself.

mod calls;
mod idle;
mod items;
mod messages;
mod server;
mod starts;

use std::{
    io::{self, Write},
    time::Duration,
};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use self::server::Server;
use crate::{
    args::Drive,
    certificates::Certificates,
    host::Host,
    load::Tally,
    sample::{Figures, Sample},
    scenarios::{self, Placement, Scenario, Shape},
    system::{System, Target},
    usage::{self, Process},
};

/// How long a connection rests before any load, so that path discovery is not measured.
const REST: Duration = Duration::from_millis(200);
/// How long callers call before they are measured.
const WARM_UP: Duration = Duration::from_millis(500);
/// How often a receiver is asked what has arrived.
const ASK_EVERY: Duration = Duration::from_millis(1);
/// A flow of which nothing arrives for so long has ended.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// Is the driver; prints its sample.
pub(crate) fn drive<S: System>(options: &Drive) -> Result<()> {
    let scenario = scenarios::find(&options.scenario)?;
    if scenario.placement == Placement::OneCore {
        usage::stay_on_one_core()?;
    }
    let sample = S::THREADS.runtime()?.block_on(measure::<S>(scenario, options.length.duration()))?;
    Ok(writeln!(io::stdout(), "{}", serde_json::to_string(&sample)?)?)
}

async fn measure<S: System>(scenario: &'static Scenario, length: Duration) -> Result<Sample> {
    match scenario.shape {
        Shape::Starts => starts::measure::<S>(length).await,
        Shape::Idle(resource) => idle::measure::<S>(scenario, resource).await,
        Shape::Unary | Shape::OneWay | Shape::Flood(_) | Shape::Items => {
            let (mut pair, client) = Pair::start::<S>(scenario).await?;
            let sample = match scenario.shape {
                Shape::Unary => calls::measure(&client, &pair, length).await,
                Shape::Items => items::measure(client, &pair, length).await,
                _ => messages::measure(client, &mut pair, length).await,
            };
            // Servers end before their clients, so that no client has to be told in order.
            pair.end().await?;
            sample
        }
    }
}

/// A client's other side, and the processes that are measured.
struct Pair {
    scenario: &'static Scenario,
    served: Served,
    driver: Process,
    _certificates: TempDir,
}

/// Where the services are.
enum Served {
    There(Vec<Server>),
    Here(Host),
}

/// What was done, and what it took.
struct Work {
    operations: u64,
    elapsed: Duration,
    cpu: Duration,
}

// === impl Pair ===

impl Pair {
    /// Starts the servers, and a client that is connected to all of them.
    async fn start<S: System>(scenario: &'static Scenario) -> Result<(Self, S::Client)> {
        let folder = tempfile::tempdir()?;
        let certificates = Certificates::create(folder.path())?;
        let (served, client) = match scenario.placement {
            Placement::OneProcess => {
                let host = Host::new(certificates, scenario);
                let client = S::connect_here(host.clone()).await?;
                (Served::Here(host), client)
            }
            Placement::OneCore | Placement::Anywhere => {
                let mut servers = Vec::new();
                for index in 0..scenario.servers {
                    servers.push(Server::start::<S>(scenario, folder.path(), index, 0).await?);
                }
                let addresses = servers.iter().map(|server| server.address).collect();
                let client = S::connect(Target { addresses, certificates, scenario, index: 0 }).await?;
                (Served::There(servers), client)
            }
        };
        sleep(REST).await;
        Ok((Self { scenario, served, driver: Process::this()?, _certificates: folder }, client))
    }

    async fn end(self) -> Result<()> {
        if let Served::There(servers) = self.served {
            for server in servers {
                server.end().await?;
            }
        }
        Ok(())
    }

    fn servers(&self) -> impl Iterator<Item = &Process> {
        let servers: &[Server] = match &self.served {
            Served::There(servers) => servers,
            Served::Here(_) => &[],
        };
        servers.iter().flat_map(|server| &server.processes)
    }

    fn processes(&self) -> impl Iterator<Item = &Process> {
        self.servers().chain([&self.driver])
    }

    /// The processor time that all have used.
    fn cpu(&self) -> Result<Duration> {
        self.processes().map(Process::cpu).sum()
    }

    fn peak_resident_bytes(&self) -> Result<u64> {
        self.processes().map(Process::peak_resident_bytes).sum()
    }

    /// What has arrived so far.
    async fn tally(&mut self) -> Result<Tally> {
        match &mut self.served {
            Served::Here(host) => Ok(host.tally()),
            Served::There(servers) => {
                let mut tallies = Vec::new();
                for server in servers {
                    tallies.push(server.tally().await?);
                }
                Ok(tallies.into_iter().sum())
            }
        }
    }

    /// Waits until as many messages have arrived as were sent, or no more arrive. Also tells when the last one did, as
    /// closely as the server was asked.
    async fn received(&mut self, sent: u64) -> Result<(Tally, Instant)> {
        let mut last = (self.tally().await?, Instant::now());
        while last.0.received < sent && last.1.elapsed() < SILENCE_MAX {
            sleep(ASK_EVERY).await;
            let tally = self.tally().await?;
            if tally.received > last.0.received {
                last = (tally, Instant::now());
            }
        }
        Ok(last)
    }

    fn figures(&self, work: &Work, latencies: Option<&Histogram<u64>>) -> Result<Figures> {
        let quantile_us = |q| latencies.map(|latencies| latencies.value_at_quantile(q) as f64 / 1e3);
        let figures = work.figures()?;
        Ok(Figures {
            p50_us: quantile_us(0.5),
            p99_us: quantile_us(0.99),
            p999_us: quantile_us(0.999),
            mb_per_s: figures.ops_per_s.map(|rate| rate * self.scenario.payload_bytes as f64 / 1e6),
            rss_mb: Some(megabytes(self.peak_resident_bytes()?)),
            ..figures
        })
    }
}

// === impl Work ===

impl Work {
    /// What follows from the work alone.
    fn figures(&self) -> Result<Figures> {
        ensure!(self.operations > 0, "nothing was done in the time");
        let operations = self.operations as f64;
        Ok(Figures {
            ops_per_s: Some(operations / self.elapsed.as_secs_f64()),
            cpu_us_per_op: Some(self.cpu.as_secs_f64() * 1e6 / operations),
            ..Figures::default()
        })
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
