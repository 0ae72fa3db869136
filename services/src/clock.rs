//! `clock.Clock`: tells the time of its node.

use std::time::Duration;

use jiff::Timestamp;
use qmesh::{Context, Receiver, Server, stream};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// Tells the time of the node that answers: what its clock says, and how long it has run.
#[qmesh::service(name = "clock.Clock")]
pub trait Clock {
    /// The time now.
    #[idempotent]
    async fn now(&self, cx: &Context) -> Reading;

    /// How long the service has run since its start, or since its last restart, in milliseconds.
    #[idempotent]
    async fn uptime_ms(&self) -> u64;

    /// The time after `millis` milliseconds: a call that takes a while, to try deadlines and shutdowns with.
    #[idempotent]
    async fn wait(&self, cx: &Context, millis: u64) -> Reading;

    /// The time now and every `every_ms` milliseconds (at least 1), `count` times, or until the node drains.
    async fn ticks(&self, cx: &Context, every_ms: u64, count: Option<u64>) -> Receiver<Reading>;
}

/// What the clock of a node says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reading {
    /// The time in UTC, to the millisecond: `2025-01-31T12:00:00.000Z`.
    pub utc: String,
    /// The same in milliseconds since 1970.
    pub unix_ms: i64,
    /// The name of the node whose clock it is.
    pub node: String,
}

/// The service, for a node to run.
pub fn server() -> Server<ClockContract, impl Clock> {
    ClockServer::new(|| Tower { since: Instant::now() }).version(env!("CARGO_PKG_VERSION"))
}

struct Tower {
    /// The start of this life of the service.
    since: Instant,
}

// === impl Tower ===

impl Clock for Tower {
    async fn now(&self, cx: &Context) -> Reading {
        Reading::at(Timestamp::now(), cx.node())
    }

    async fn uptime_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn wait(&self, cx: &Context, millis: u64) -> Reading {
        sleep(Duration::from_millis(millis)).await;
        self.now(cx).await
    }

    async fn ticks(&self, cx: &Context, every_ms: u64, count: Option<u64>) -> Receiver<Reading> {
        let mut pace = interval(Duration::from_millis(every_ms.max(1)));
        // Whoever is slow misses ticks, and gets none late.
        pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (sender, ticks) = stream(1);
        let (node, draining) = (cx.node().to_owned(), cx.draining());
        cx.spawn(async move {
            // A count is a promise; where there is none, every end is in order.
            let ends = async {
                match count {
                    None => draining.await,
                    Some(_) => std::future::pending().await,
                }
            };
            tokio::pin!(ends);
            for _ in 0..count.unwrap_or(u64::MAX) {
                tokio::select! {
                    _ = pace.tick() => {}
                    () = &mut ends => break,
                    () = sender.closed() => return,
                }
                if sender.send(Reading::at(Timestamp::now(), &node)).await.is_err() {
                    return;
                }
            }
            sender.finish();
        });
        ticks
    }
}

// === impl Reading ===

impl Reading {
    fn at(time: Timestamp, node: &str) -> Self {
        Self { utc: format!("{time:.3}"), unix_ms: time.as_millisecond(), node: node.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_says_the_same_twice() {
        let time = Timestamp::from_millisecond(1_738_324_800_000).unwrap();
        let reading = Reading::at(time, "lobby");
        assert_eq!(reading.utc, "2025-01-31T12:00:00.000Z");
        assert_eq!((reading.unix_ms, reading.node.as_str()), (1_738_324_800_000, "lobby"));
    }
}
