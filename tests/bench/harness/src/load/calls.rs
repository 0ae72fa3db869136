//! Calls in a closed loop: each caller waits for its answer before it calls again.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use tokio::{task::JoinSet, time::Instant};

use crate::{scenarios::Scenario, system::Client};

/// The longest latency that is told apart; longer ones count as this.
const LATENCY_MAX: Duration = Duration::from_secs(60);
/// How many latencies a caller gathers before it takes the histogram's lock.
const LATENCIES_GATHERED: usize = 256;

/// The time that is measured; what happens before it is warm-up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) begin: Instant,
    pub(crate) end: Instant,
}

/// Lets the scenario's callers call, each one call at a time, until the window ends. Returns the latencies, in
/// nanoseconds, of the calls that ended within it.
pub(crate) async fn closed_loop(
    client: &impl Client,
    scenario: &Scenario,
    window: Window,
) -> Result<Histogram<u64>> {
    let longest = u64::try_from(LATENCY_MAX.as_nanos())?;
    let latencies = Arc::new(Mutex::new(Histogram::new_with_bounds(1, longest, 3)?));
    let payload = Bytes::from(vec![0x5a; scenario.payload_bytes]);
    let mut callers = JoinSet::new();
    for _ in 0..scenario.callers {
        let caller =
            Caller { latencies: latencies.clone(), gathered: Vec::with_capacity(LATENCIES_GATHERED) };
        callers.spawn_on(caller.call_until_end(client.clone(), payload.clone(), window), &client.place());
    }
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    Ok(latencies.lock().clone())
}

/// One of the callers of a closed loop.
struct Caller {
    latencies: Arc<Mutex<Histogram<u64>>>,
    gathered: Vec<u64>,
}

// === impl Caller ===

impl Caller {
    async fn call_until_end(mut self, mut client: impl Client, payload: Bytes, window: Window) -> Result<()> {
        let mut begun = Instant::now();
        loop {
            let reply = client.call(payload.clone()).await?;
            ensure!(reply.len() == payload.len(), "a reply of {} bytes", reply.len());
            let ended = Instant::now();
            if ended >= window.end {
                self.hand_over();
                return Ok(());
            }
            if ended >= window.begin {
                self.record(ended - begun);
            }
            begun = ended;
        }
    }

    fn record(&mut self, latency: Duration) {
        self.gathered.push(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        if self.gathered.len() == LATENCIES_GATHERED {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        let mut latencies = self.latencies.lock();
        for latency in self.gathered.drain(..) {
            latencies.saturating_record(latency);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenarios;

    /// Answers at once; from the third answer on wrongly, unless it is truthful.
    #[derive(Clone)]
    struct Echo {
        calls: u32,
        truthful: bool,
    }

    impl Client for Echo {
        async fn call(&mut self, payload: Bytes) -> Result<Bytes> {
            tokio::task::yield_now().await;
            self.calls += 1;
            Ok(if self.truthful || self.calls < 3 { payload } else { payload.slice(1..) })
        }
    }

    fn window() -> Window {
        let begin = Instant::now() + Duration::from_millis(10);
        Window { begin, end: begin + Duration::from_millis(500) }
    }

    #[tokio::test]
    async fn a_closed_loop_counts_calls_that_end_in_the_window() {
        let scenario = scenarios::find("S2").unwrap();
        let client = Echo { calls: 0, truthful: true };
        assert!(!closed_loop(&client, scenario, window()).await.unwrap().is_empty());
        let over = Instant::now();
        let none = closed_loop(&client, scenario, Window { begin: over, end: over }).await.unwrap();
        assert!(none.is_empty());
    }

    #[tokio::test]
    async fn a_wrong_answer_fails_the_loop() {
        let client = Echo { calls: 0, truthful: false };
        assert!(closed_loop(&client, scenarios::find("S1").unwrap(), window()).await.is_err());
    }
}
