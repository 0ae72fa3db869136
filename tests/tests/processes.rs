//! Real processes over QUIC: they start, serve, are killed, and nobody's call fails.

use std::{path::Path, time::Duration};

use anyhow::Result;
use qmesh::prelude::*;
use qmesh_tests::{Background, Process, Stalls, millis, secs, watch, work::WorkClient};
use tokio::time::{Instant, sleep_until};

const BINARY: &str = env!("CARGO_BIN_EXE_qmesh-tests-endpoint");

/// How long after the end of its session an endpoint may still be picked.
const PICKED_LATEST: Duration = millis(100);

/// After so long a node trusts its own ears: twice the silence that counts as death.
const GROWN_UP: Duration = millis(3200);

/// A client, an endpoint that stays, and callers that never rest for long.
struct Lane {
    client: Node,
    load: Background,
    data_dir: tempfile::TempDir,
    _stays: Process,
}

impl Lane {
    async fn start() -> Result<Self> {
        let data_dir = tempfile::tempdir()?;
        let stays = Process::start(BINARY, data_dir.path(), "stays").await?;
        let identity = Identity::dev(data_dir.path())?;
        let client = Node::builder("client").identity(identity).config(Config::local()).start().await?;
        let work = client.client::<WorkClient>();
        let load = Background::start(4, millis(2), move || {
            let work = work.clone();
            async move { work.pause(1).await }
        });
        load.served_by("stays").await;
        // A node that has just started takes nobody's silence for death yet.
        tokio::time::sleep(GROWN_UP).await;
        Ok(Self { client, load, data_dir, _stays: stays })
    }

    /// Start, call, SIGKILL, call. Returns how long the directory was wrong.
    async fn round(&self, name: &str) -> Result<Duration> {
        let victim = Process::start(BINARY, self.path(), name).await?;
        self.load.served_by(name).await;

        let stalls = Stalls::watch();
        let killed_at = Instant::now();
        victim.kill().await?;
        let client = &self.client;
        while client.nodes().iter().any(|node| node.name == name && node.connected) {
            tokio::time::sleep(millis(5)).await;
        }
        // The dead can answer nothing: from here on, a pick of it would be a failed attempt, and so a retry.
        sleep_until(Instant::now() + PICKED_LATEST + stalls.lost()).await;
        let retries = client.counts().retries;
        watch::until(client, secs(10), &format!("{name} is gone"), |view| {
            view.nodes().all(|node| node.name != name)
        })
        .await;
        let (took, lost) = (killed_at.elapsed(), stalls.lost());
        assert!(took < secs(2) + lost, "{name} stayed for {took:?}, of which the machine slept {lost:?}");
        self.load.answers(50).await;
        assert_eq!(
            client.counts().retries,
            retries,
            "{name} was picked later than {PICKED_LATEST:?} after its session had ended"
        );
        Ok(took)
    }

    fn path(&self) -> &Path {
        self.data_dir.path()
    }

    async fn end(self) -> u64 {
        let tally = self.load.stop().await;
        tally.assert_no_failure();
        self.client.shutdown().await;
        tally.answered()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_fail_no_idempotent_call() -> Result<()> {
    // Two meshes beside each other: in one the same node comes back each time, in the other always a new one.
    let lane = async |names: fn(u32) -> String| -> Result<(u64, Duration)> {
        let lane = Lane::start().await?;
        let mut slowest = millis(0);
        for round in 0..10 {
            slowest = slowest.max(lane.round(&names(round)).await?);
        }
        Ok((lane.end().await, slowest))
    };
    let (again, anew) = tokio::join!(lane(|_| "victim".to_owned()), lane(|round| format!("victim-{round}")));
    for (calls, slowest) in [again?, anew?] {
        println!(
            "10 kills: {calls} calls, none failed; the dead were gone from the directory after {slowest:?} at most"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_whose_input_ends_shuts_down_in_order() -> Result<()> {
    let data_dir = tempfile::tempdir()?;
    let process = Process::start(BINARY, data_dir.path(), "brief").await?;
    let identity = Identity::dev(data_dir.path())?;
    let client = Node::builder("client").identity(identity).config(Config::local()).start().await?;
    watch::endpoints(&client, "tests.Work", 1).await;
    process.end().await?;
    watch::until(&client, secs(1), "nobody else", |view| view.nodes().len() == 1).await;
    client.shutdown().await;
    Ok(())
}
