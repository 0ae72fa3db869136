//! Calls in a closed loop, with or without another stream that is busy meanwhile.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::{Instant, sleep_until};

use super::{Pair, WARM_UP, Work, megabytes};
use crate::{
    load::{self, Counter, Order, Window},
    sample::{Figures, Sample},
    system::Client,
};

pub(super) async fn measure(client: &impl Client, pair: &Pair, length: Duration) -> Result<Sample> {
    let begin = Instant::now() + WARM_UP;
    let window = Window { begin, end: begin + length };
    let load = load::closed_loop(client, pair.scenario, window);
    let bulk = bulk(client.clone(), pair.scenario.bulk_bytes, WARM_UP + length);
    let (latencies, cpu, bulk_mb_per_s) = tokio::try_join!(load, pair.cpu_within(window), bulk)?;
    let work = Work { operations: latencies.len(), elapsed: length, cpu };
    let figures = Figures { bulk_mb_per_s, ..pair.figures(&work, Some(&latencies))? };
    Ok(Sample { figures, delivery: None })
}

/// Moves messages of this size for so long, if there are to be any; tells how fast.
async fn bulk(mut client: impl Client, bytes: Option<usize>, length: Duration) -> Result<Option<f64>> {
    let Some(bytes) = bytes else { return Ok(None) };
    let begin = Instant::now();
    let mut counter = Counter::new(std::sync::Arc::default(), false);
    client.receive_all(Order::new(bytes, length)?, &mut counter).await?;
    let tally = counter.tally();
    ensure!(tally.received > 0 && tally.order_breaks == 0, "the other stream went wrong: {tally:?}");
    Ok(Some(megabytes(tally.received * bytes as u64) / begin.elapsed().as_secs_f64()))
}

// === impl Pair ===

impl Pair {
    async fn cpu_within(&self, window: Window) -> Result<Duration> {
        sleep_until(window.begin).await;
        let before = self.cpu()?;
        sleep_until(window.end).await;
        Ok(self.cpu()? - before)
    }
}
