//! The driver's process of a pair: starts the server, puts the load on, and measures both.

mod server;

use std::{
    io::{self, Write},
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use tokio::time::{Instant, sleep, sleep_until};

use self::server::Server;
use crate::{
    args::Drive,
    certificates::Certificates,
    load::{self, Flow, Window},
    sample::{Delivery, Figures, Sample},
    scenarios::{self, Placement, Scenario, Shape},
    systems::{Client, System, Target},
    usage::{self, Process},
};

/// How long a connection rests before any load, so that path discovery is not measured.
const REST: Duration = Duration::from_millis(200);
/// How long callers call before they are measured.
const WARM_UP: Duration = Duration::from_millis(500);

/// Is the driver of a pair; prints its sample.
pub(crate) fn drive<S: System>(options: &Drive) -> Result<()> {
    let scenario = scenarios::find(&options.scenario)?;
    if scenario.placement == Placement::OneCore {
        usage::stay_on_one_core()?;
    }
    let sample = S::THREADS.runtime()?.block_on(measure::<S>(scenario, options.length.duration()))?;
    Ok(writeln!(io::stdout(), "{}", serde_json::to_string(&sample)?)?)
}

async fn measure<S: System>(scenario: &Scenario, length: Duration) -> Result<Sample> {
    let folder = tempfile::tempdir()?;
    let certificates = Certificates::create(folder.path())?;
    let mut server = Server::start(S::NAME, folder.path()).await?;
    let client = S::connect(Target { address: server.address, certificates }).await?;
    sleep(REST).await;
    let pair = Pair { server: server.process, driver: Process::this()? };
    let sample = match scenario.shape {
        Shape::Unary => calls(&client, scenario, &pair, length).await,
        Shape::OneWay => messages(client, scenario, &pair, length, &mut server).await,
    };
    server.end().await?;
    sample
}

async fn calls(client: &impl Client, scenario: &Scenario, pair: &Pair, length: Duration) -> Result<Sample> {
    let begin = Instant::now() + WARM_UP;
    let window = Window { begin, end: begin + length };
    let load = load::closed_loop(client, scenario, window);
    let (latencies, cpu) = tokio::try_join!(load, pair.cpu_within(window))?;
    let work = Work { operations: latencies.len(), elapsed: length, cpu };
    Ok(Sample { figures: work.figures(scenario, Some(&latencies), pair)?, delivery: None })
}

async fn messages(
    mut client: impl Client,
    scenario: &Scenario,
    pair: &Pair,
    length: Duration,
    server: &mut Server,
) -> Result<Sample> {
    let cpu_before = pair.cpu()?;
    let begin = Instant::now();
    let (flow, made) = Flow::new(scenario.payload_bytes, begin + length)?;
    client.send_all(flow).await?;
    let sent = made.load(Relaxed);
    let (tally, last) = server.received(sent).await?;
    let cpu = pair.cpu()? - cpu_before;
    let work = Work { operations: tally.received, elapsed: last - begin, cpu };
    let delivery = Delivery { sent, received: tally.received, order_breaks: tally.order_breaks };
    Ok(Sample { figures: work.figures(scenario, None, pair)?, delivery: Some(delivery) })
}

/// The two processes that are measured.
struct Pair {
    server: Process,
    driver: Process,
}

/// What was done, and what it took.
struct Work {
    operations: u64,
    elapsed: Duration,
    cpu: Duration,
}

// === impl Pair ===

impl Pair {
    /// The processor time that both have used.
    fn cpu(&self) -> Result<Duration> {
        Ok(self.server.cpu()? + self.driver.cpu()?)
    }

    async fn cpu_within(&self, window: Window) -> Result<Duration> {
        sleep_until(window.begin).await;
        let before = self.cpu()?;
        sleep_until(window.end).await;
        Ok(self.cpu()? - before)
    }

    fn peak_resident_bytes(&self) -> Result<u64> {
        Ok(self.server.peak_resident_bytes()? + self.driver.peak_resident_bytes()?)
    }
}

// === impl Work ===

impl Work {
    fn figures(
        &self,
        scenario: &Scenario,
        latencies: Option<&Histogram<u64>>,
        pair: &Pair,
    ) -> Result<Figures> {
        ensure!(self.operations > 0, "nothing was done in the time");
        let operations = self.operations as f64;
        let ops_per_s = operations / self.elapsed.as_secs_f64();
        let quantile_us = |q| latencies.map(|latencies| latencies.value_at_quantile(q) as f64 / 1e3);
        Ok(Figures {
            ops_per_s,
            p50_us: quantile_us(0.5),
            p99_us: quantile_us(0.99),
            p999_us: quantile_us(0.999),
            mb_per_s: ops_per_s * scenario.payload_bytes as f64 / 1e6,
            cpu_us_per_op: self.cpu.as_secs_f64() * 1e6 / operations,
            rss_mb: pair.peak_resident_bytes()? as f64 / 1e6,
        })
    }
}
