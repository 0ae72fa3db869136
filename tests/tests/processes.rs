//! Real processes over QUIC: they start, serve, are killed, and nobody's call fails.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use qmesh::{MeshEvent, prelude::*};
use qmesh_tests::{Background, Process, Stalls, millis, secs, watch, work::WorkClient};
use tokio::time::{Instant, sleep, timeout};

const BINARY: &str = env!("CARGO_BIN_EXE_qmesh-tests-endpoint");

/// How long after the end of its last session an endpoint may still be picked.
const PICKED_LATEST: Duration = millis(100);

/// How often a round is tried that the machine disturbs.
const ROUNDS_AGAIN: usize = 3;

/// After so long a node trusts its own ears: twice the silence that counts as death.
const GROWN_UP: Duration = millis(3200);

/// A client, an endpoint that stays, and callers that never rest for long.
struct Lane {
    client: Node,
    load: Background,
    data_dir: tempfile::TempDir,
    _stays: Process,
}

/// What became of a killed node.
struct Gone {
    /// How long it was in the directory.
    after: Duration,
    /// The retries until it could not be picked any more. The dead answer nothing: each pick of it is a failed attempt, and a
    /// retry.
    retries: u64,
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
        sleep(GROWN_UP).await;
        Ok(Self { client, load, data_dir, _stays: stays })
    }

    /// Start, call, SIGKILL, call. Returns how long the directory was wrong.
    async fn round(&self, name: &str) -> Result<Duration> {
        for _ in 0..ROUNDS_AGAIN {
            let victim = Process::start(BINARY, self.path(), name).await?;
            self.load.served_by(name).await;
            watch::settled(&self.client, name).await;

            let stalls = Stalls::watch();
            let killed_at = Instant::now();
            victim.kill().await?;
            let gone = timeout(secs(10), self.gone(name, &stalls)).await;
            let Gone { after, retries } = gone.with_context(|| format!("{name} stays for ten seconds"))?;
            let lost = stalls.lost();
            assert!(
                after < secs(2) + lost,
                "{name} stayed for {after:?}, of which the machine slept {lost:?}"
            );
            self.load.answers(50).await;
            let retries_since = self.client.counts().retries - retries;
            let stayed =
                watch::session_age(&self.client, "stays").is_some_and(|age| age > killed_at.elapsed());
            if stayed {
                assert_eq!(retries_since, 0, "{name} was picked after {PICKED_LATEST:?} without a session");
                return Ok(after);
            }
            // So long a pause of the machine ends sessions with those who live, whose calls are repeated then.
            let longest = stalls.longest();
            ensure!(
                longest > millis(300),
                "the session with one who lives was lost, and the machine slept {longest:?}"
            );
        }
        bail!("the machine stands still again and again")
    }

    /// Waits until a killed node has neither a place in the directory nor a session, whichever ends last.
    async fn gone(&self, name: &str, stalls: &Stalls) -> Gone {
        let killed_at = Instant::now();
        let (mut known_at, mut connected_at, mut retries) = (killed_at, killed_at, 0);
        let mut lost_before = stalls.lost();
        loop {
            let is_known = self.client.nodes().iter().any(|node| node.name == name);
            if is_known {
                known_at = Instant::now();
            }
            if watch::session_age(&self.client, name).is_some() {
                (connected_at, lost_before) = (Instant::now(), stalls.lost());
            }
            if connected_at.elapsed() < PICKED_LATEST + (stalls.lost() - lost_before) {
                retries = self.client.counts().retries;
            } else if !is_known {
                return Gone { after: known_at - killed_at, retries };
            }
            sleep(millis(5)).await;
        }
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
    let mut events = client.events();
    watch::endpoints(&client, "tests.Work", 1).await;
    process.end().await?;
    let how = async {
        loop {
            let event = events.next().await.context("the client runs")?.event;
            if matches!(event, MeshEvent::Left { .. } | MeshEvent::Died { .. }) {
                return anyhow::Ok(event);
            }
        }
    };
    let how = timeout(secs(10), how).await.context("it neither left nor died")??;
    assert_eq!(how, MeshEvent::Left { peer: "brief".to_owned() });
    client.shutdown().await;
    Ok(())
}
