//! Waiting for what a directory says, and for sessions.

use std::time::Duration;

use futures_util::future::join_all;
use qmesh::{Node, NodeState, Snapshot};
use tokio::time::{Instant, sleep, timeout};

/// A session that is so old has no replaced one beside it, unless calls take long.
const SETTLED: Duration = Duration::from_millis(800);

/// Waits until the directory of `node` is as wanted; returns how long that took.
///
/// # Panics
/// If it is not within `limit`: the message is `what`, and what the directory says instead.
pub async fn until(node: &Node, limit: Duration, what: &str, holds: impl Fn(&Snapshot) -> bool) -> Duration {
    let start = Instant::now();
    let mut watch = node.directory().watch();
    let reached = timeout(limit, async {
        while !holds(&node.directory().snapshot()) {
            watch.next().await;
        }
    });
    if reached.await.is_err() {
        panic!("{} does not see within {limit:?}: {what}; it sees {:?}", node.name(), view(node));
    }
    start.elapsed()
}

/// Waits until every one of `nodes` sees exactly these nodes, ready and in the same lives; returns how long that took.
///
/// # Panics
/// If they do not agree within `limit`.
pub async fn agree(nodes: &[Node], limit: Duration) -> Duration {
    let start = Instant::now();
    let wanted = own_records(nodes);
    let all = nodes
        .iter()
        .map(|node| until(node, limit, "the same as all others", |snapshot| records(snapshot) == wanted));
    join_all(all).await;
    start.elapsed()
}

/// Waits until `node` has so many endpoints of a service.
///
/// # Panics
/// If it has not within thirty seconds.
pub async fn endpoints(node: &Node, service: &str, count: usize) {
    let what = format!("{count} endpoints of {service}");
    until(node, Duration::from_secs(30), &what, |snapshot| snapshot.endpoints(service).len() == count).await;
}

/// Waits until the session of `node` with `peer` has been up for a while: one that it replaced, whose calls might end at another
/// time, has ended then.
///
/// # Panics
/// If there is none within thirty seconds.
pub async fn settled(node: &Node, peer: &str) {
    let settled = timeout(Duration::from_secs(30), async {
        while session_age(node, peer).is_none_or(|age| age < SETTLED) {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(settled.await.is_ok(), "{} keeps no session with {peer}", node.name());
}

/// For how long the session of `node` with `peer` has been up. Whoever asks has the node measure its calls for ten seconds.
#[must_use]
pub fn session_age(node: &Node, peer: &str) -> Option<Duration> {
    let sessions = node.traffic().sessions;
    sessions
        .into_iter()
        .find(|session| session.peer == peer)
        .map(|session| Duration::from_millis(session.up_ms))
}

/// Who is alive by name, as `node` sees it.
#[must_use]
pub fn view(node: &Node) -> Vec<String> {
    let mut names: Vec<_> = node.directory().snapshot().nodes().map(|record| record.name.clone()).collect();
    names.sort_unstable();
    names
}

/// Names, lives and services of those that are ready.
fn records(snapshot: &Snapshot) -> Vec<(String, u64, Vec<String>)> {
    let ready = snapshot.nodes().filter(|record| record.state == NodeState::Ready);
    let mut records: Vec<_> = ready
        .map(|record| {
            let services = record.services.iter().map(|service| service.name.clone()).collect();
            (record.name.clone(), record.incarnation, services)
        })
        .collect();
    records.sort_unstable();
    records
}

/// What each node says of itself.
fn own_records(nodes: &[Node]) -> Vec<(String, u64, Vec<String>)> {
    let own = |node: &Node| {
        let snapshot = node.directory().snapshot();
        let record =
            snapshot.node(node.id()).unwrap_or_else(|| panic!("{} does not see itself", node.name()));
        let services = record.services.iter().map(|service| service.name.clone()).collect();
        (record.name.clone(), record.incarnation, services)
    };
    let mut records: Vec<_> = nodes.iter().map(own).collect();
    records.sort_unstable();
    records
}
