//! What waits in front of a service: places come free in time, and what has not begun when a node stops never begins.

use std::time::Duration;

use futures_util::future::join_all;
use qmesh::{Config, Failure, Node, Outcome, Reason};
use qmesh_tests::{
    EXPECTED, Mesh, expect_panics, millis, secs, spawn, watch,
    work::{self, WorkClient},
};
use serde_json::json;
use tokio::time::{Instant, sleep};

async fn host_and_guest(host: qmesh::NodeBuilder, mesh: &Mesh) -> [Node; 2] {
    let nodes = [host.start().await.unwrap(), mesh.node("guest").start().await.unwrap()];
    watch::agree(&nodes, secs(10)).await;
    nodes
}

#[tokio::test(start_paused = true)]
async fn a_place_is_free_as_soon_as_its_call_has_ended() {
    let mesh = Mesh::new();
    let nodes = host_and_guest(mesh.node("node-0").serve(work::server().queue(2)), &mesh).await;
    for node in &nodes {
        let client = node.client::<WorkClient>();
        client.whoami().await.unwrap();
        // Both have a place, and come to the actor together. Whoever is done asks at once for the next.
        let caller = async || {
            for _ in 0..3 {
                client.add(1, 1_000).timeout(secs(10)).await?;
            }
            Ok::<_, Failure>(())
        };
        let (one, other) = tokio::join!(caller(), caller());
        one.unwrap();
        other.unwrap();
    }
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn what_has_not_begun_when_the_drain_is_over_never_begins() {
    let mesh = Mesh::new();
    let mut config = Config::local();
    config.drain_timeout = millis(2_500);
    let [host, guest] = host_and_guest(mesh.node("node-0").config(config).serve(work::server()), &mesh).await;
    let client = guest.client::<WorkClient>();
    client.whoami().await.unwrap();
    let calls = join_all((0..10).map(|_| client.add(1, 2_000).timeout(secs(30))));
    let calls = spawn(calls);
    sleep(millis(100)).await;
    host.shutdown().await;
    let mut outcomes = [0; 2];
    let mut ran = 0;
    for call in calls.await.unwrap() {
        match call {
            Ok(_) => ran += 1,
            Err(failure) => match failure.outcome() {
                Outcome::Unknown => outcomes[0] += 1,
                _ => outcomes[1] += 1,
            },
        }
    }
    // One had its two seconds, the second was cut.
    assert_eq!((ran, outcomes), (1, [1, 8]), "ran, [unknown, not executed]");
    Mesh::end([guest]).await;
}

#[tokio::test]
async fn who_waits_in_vain_hears_of_the_deadline() {
    let mesh = Mesh::new();
    let host = mesh.quic_node("host", None).serve(work::server()).start().await.unwrap();
    let guest = mesh.quic_node("guest", Some(&host)).start().await.unwrap();
    watch::endpoints(&guest, "tests.Work", 1).await;
    for node in [&host, &guest] {
        let client = node.client::<WorkClient>();
        client.whoami().await.unwrap();
        let calls = (0..100).map(|at| client.pause(10_000).timeout(Duration::from_micros(30_000 + at * 500)));
        for call in join_all(calls).await {
            let failure = call.unwrap_err();
            assert_eq!(failure.reason(), Reason::DeadlineExceeded, "{failure}");
        }
    }
    Mesh::end([guest, host]).await;
}

#[qmesh::service(name = "tests.Fragile")]
pub(crate) trait Fragile {
    async fn touch(&mut self, breaks: bool) -> u64;
}

struct Vase;

impl Fragile for Vase {
    async fn touch(&mut self, breaks: bool) -> u64 {
        assert!(!breaks, "{EXPECTED}");
        1
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_leaves_no_age_behind() {
    expect_panics();
    let mesh = Mesh::new();
    let host = mesh.node("node-0").serve(FragileServer::new(|| Vase).queue(1)).start().await.unwrap();
    let client = host.client::<FragileClient>();
    assert_eq!(client.touch(true).await.unwrap_err().reason(), Reason::Panicked);
    sleep(secs(60)).await;
    let tree = host.tree();
    let service = tree.iter().find(|actor| actor.path.ends_with("tests.Fragile")).unwrap();
    assert_eq!((service.queue_depth, service.oldest_ms), (Some(0), Some(0)));
    // One waits for the place of the other, and gets it.
    let (one, other) = tokio::join!(client.touch(false), client.touch(false));
    assert_eq!((one.unwrap(), other.unwrap()), (1, 1));
    Mesh::end([host]).await;
}

#[tokio::test(start_paused = true)]
async fn an_argument_of_a_megabyte_is_not_quoted_whole() {
    let mesh = Mesh::new();
    let nodes = host_and_guest(mesh.node("node-0").serve(work::server()), &mesh).await;
    let start = Instant::now();
    let wrong = json!({"amount": "\u{7f}".repeat(1 << 20), "millis": 0});
    let error = nodes[1].call_json("tests.Work", "add", &wrong, secs(5)).await.unwrap_err();
    let failure = error.failure().unwrap();
    assert_eq!((failure.outcome(), failure.reason()), (Outcome::NotExecuted, Reason::BadArguments));
    assert!(failure.detail().len() < 2_000 && failure.detail().contains("cannot read the arguments of `"));
    assert!(start.elapsed() < secs(1));
    Mesh::end(nodes).await;
}
