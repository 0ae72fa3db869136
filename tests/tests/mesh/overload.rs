//! More calls than a service can do: it does as much as ever, refuses the rest early, and keeps nobody waiting in vain.

use std::time::Duration;

use qmesh::{Failure, Node, Outcome, Reason};
use qmesh_tests::{Mesh, millis, secs, watch};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

/// What a call costs: a service does a hundred in a second.
const COST: Duration = millis(10);
const CAPACITY: usize = 100;
const LOAD_LASTS: Duration = secs(20);
const TIMEOUT: Duration = secs(2);

#[qmesh::service(name = "tests.Crank")]
pub(crate) trait Crank {
    async fn turn(&mut self) -> u64;
}

#[derive(Default)]
struct Millstone(u64);

impl Crank for Millstone {
    async fn turn(&mut self) -> u64 {
        sleep(COST).await;
        self.0 += 1;
        self.0
    }
}

/// What became of an even load.
#[derive(Debug)]
struct Curve {
    /// Calls answered per second.
    throughput: usize,
    /// Of those answered.
    latency_p50: Duration,
    latency_p99: Duration,
    refused: usize,
    /// Half of those refused knew after this.
    refused_p50: Duration,
    /// Calls that failed otherwise than by being refused.
    late: usize,
}

/// Calls `per_second` times a second, whatever becomes of the calls before.
async fn load(caller: &Node, per_second: u32) -> Curve {
    let client = caller.client::<CrankClient>();
    let (start, mut calls) = (Instant::now(), JoinSet::new());
    for number in 0..per_second * u32::try_from(LOAD_LASTS.as_secs()).unwrap() {
        sleep_until(start + Duration::from_secs(1) * number / per_second).await;
        let call = client.turn().timeout(TIMEOUT);
        calls.spawn(async move {
            let start = Instant::now();
            (call.await, start.elapsed())
        });
    }
    let (mut answered, mut refused, mut late) = (Vec::new(), Vec::new(), 0);
    let mut count = |(outcome, took): (Result<u64, Failure>, Duration)| match outcome {
        Ok(_) => answered.push(took),
        Err(failure) if failure.reason() == Reason::Overloaded => {
            assert_eq!(failure.outcome(), Outcome::NotExecuted, "{failure}");
            refused.push(took);
        }
        Err(_) => late += 1,
    };
    while let Some(call) = calls.join_next().await {
        count(call.unwrap());
    }
    answered.sort_unstable();
    refused.sort_unstable();
    let at = |times: &[Duration], percent: usize| {
        times
            .get((times.len() * percent / 100).min(times.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    };
    // What was queued at the end is done after it.
    let lasted = LOAD_LASTS + at(&answered, 100);
    Curve {
        throughput: answered.len() * 1000 / usize::try_from(lasted.as_millis()).unwrap(),
        latency_p50: at(&answered, 50),
        latency_p99: at(&answered, 99),
        refused: refused.len(),
        refused_p50: at(&refused, 50),
        late,
    }
}

async fn curve(queue: usize, here: bool) -> Vec<(u32, Curve)> {
    let mesh = Mesh::new();
    let server = CrankServer::new(Millstone::default).queue(queue);
    let nodes =
        [mesh.node("node-0").serve(server).start().await.unwrap(), mesh.node("guest").start().await.unwrap()];
    watch::agree(&nodes, secs(10)).await;
    let mut curve = Vec::new();
    for factor in [50, 90, 120, 200, 400] {
        let point = load(&nodes[usize::from(!here)], u32::try_from(CAPACITY).unwrap() * factor / 100).await;
        curve.push((factor, point));
        sleep(secs(5)).await;
    }
    Mesh::end(nodes).await;
    curve
}

#[tokio::test(start_paused = true)]
async fn four_times_too_much_costs_no_throughput() {
    for here in [true, false] {
        // The short queue bounds the wait by itself, to 200 ms; a few refused calls are repeated within the budget. The long one holds ten seconds of work, five times what callers wait.
        for (queue, longest) in [(20, millis(700)), (1024, TIMEOUT)] {
            for (percent, point) in curve(queue, here).await {
                println!(
                    "queue {queue:4}, load {percent:3} %: {} per s, {:?} to {:?}, {} refused after {:?}, {} late",
                    point.throughput,
                    point.latency_p50,
                    point.latency_p99,
                    point.refused,
                    point.refused_p50,
                    point.late
                );
                assert!(point.latency_p99 <= longest, "{point:?}");
                if point.refused > 0 {
                    assert!(point.throughput >= CAPACITY * 90 / 100, "{point:?}");
                    assert!(point.refused_p50 <= millis(150), "{point:?}");
                }
                assert!(point.late < point.refused / 20 + 20, "{point:?}");
            }
        }
    }
}
