//! Three endpoints of one service. One is drained, one is killed, and no call fails.

#![expect(clippy::print_stdout, reason = "an example says what it shows")]

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Result, ensure};
use qmesh::prelude::*;

/// Tells where it runs.
#[qmesh::service(name = "failover.Where")]
pub trait Where {
    /// Repeating it does no harm: so a call whose outcome is unknown is made again, elsewhere.
    #[idempotent]
    async fn here(&self, cx: &Context) -> String;
}

/// Has no state.
#[derive(Debug)]
pub struct Place;

impl Where for Place {
    async fn here(&self, cx: &Context) -> String {
        tokio::time::sleep(Duration::from_millis(1)).await;
        cx.node().to_owned()
    }
}

/// Calls for a while; returns who answered. The first call that fails ends it.
async fn who_answers(client: &WhereClient, time: Duration) -> Result<BTreeSet<String>> {
    let (start, mut who) = (tokio::time::Instant::now(), BTreeSet::new());
    while start.elapsed() < time {
        let calls = (0..8).map(|_| client.here());
        who.extend(futures_util::future::try_join_all(calls).await?);
    }
    Ok(who)
}

#[tokio::main]
async fn main() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let identity = Identity::dev(directory.path())?;
    // On one host a silent peer counts as dead after a second.
    let builder = |name: &str| Node::builder(name).identity(identity.clone()).config(Config::local());
    let serve = async |name: &str| builder(name).serve(WhereServer::new(|| Place)).start().await;

    let [red, green, blue] = [serve("red").await?, serve("green").await?, serve("blue").await?];
    let caller = builder("caller").start().await?;
    let mut watch = caller.directory().watch();
    while caller.directory().snapshot().endpoints("failover.Where").len() < 3 {
        watch.next().await;
    }
    let client = caller.client::<WhereClient>();
    let (start, mut who) = (tokio::time::Instant::now(), BTreeSet::new());
    while who.len() < 3 && start.elapsed() < Duration::from_secs(10) {
        who.extend(who_answers(&client, Duration::from_millis(300)).await?);
    }
    println!("calls are answered by {who:?}");
    ensure!(who.len() == 3, "all three share the calls: {who:?}");

    // Drained: it finishes what it has, refuses what comes, and whatever it refuses goes elsewhere.
    let (who, ()) = tokio::join!(who_answers(&client, Duration::from_secs(1)), red.shutdown());
    who?;
    let who = who_answers(&client, Duration::from_millis(300)).await?;
    println!("red was drained; no call failed, and they are answered by {who:?}");
    ensure!(!who.contains("red"), "nobody asks who has left: {who:?}");

    // Dropped without a word, as if its process had been killed: its calls are made again.
    let (who, ()) = tokio::join!(who_answers(&client, Duration::from_secs(1)), async { drop(green) });
    who?;
    let who = who_answers(&client, Duration::from_millis(300)).await?;
    println!("green was dropped without a word; no call failed, and they are answered by {who:?}");
    ensure!(who == BTreeSet::from(["blue".to_owned()]), "one is left: {who:?}");

    caller.shutdown().await;
    blue.shutdown().await;
    Ok(())
}
