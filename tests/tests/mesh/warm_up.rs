//! A service that warms up takes no calls, and nobody is sent to it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use qmesh::{ActorState, Node, NodeState, Receiver, RestartPolicy, Server, WarmUp};
use qmesh_tests::{
    EXPECTED, Mesh, expect_panics, millis, secs, spawn,
    stranger::{self, Stranger, frame, kind, opening, read_frame},
    watch,
    work::{self, WorkClient},
};
use tokio::time::{Instant, sleep};

#[qmesh::service(name = "tests.Cache")]
pub(crate) trait Cache {
    async fn node(&self, cx: &qmesh::Context) -> String;
    async fn list(&self) -> Receiver<u64>;
    #[oneway]
    async fn note(&self);
    async fn fall(&mut self);
}

struct Full;

impl Cache for Full {
    async fn node(&self, cx: &qmesh::Context) -> String {
        cx.node().to_owned()
    }

    async fn list(&self) -> Receiver<u64> {
        let (sender, receiver) = qmesh::stream(1);
        sender.finish();
        receiver
    }

    async fn note(&self) {}

    async fn fall(&mut self) {
        panic!("{EXPECTED}");
    }
}

/// A cache that takes so long to fill.
fn slow(time: Duration) -> Server<CacheContract, Full> {
    CacheServer::new(|| Full).ready_when(move |_| async move {
        sleep(time).await;
        Ok::<_, String>(())
    })
}

fn state(node: &Node) -> (ActorState, u64) {
    let tree = node.tree();
    let service = tree.iter().find(|actor| actor.path == "node/service/tests.Cache").unwrap();
    (service.state, service.restarts)
}

fn announced(node: &Node) -> Vec<String> {
    let snapshot = node.directory().snapshot();
    let record = snapshot.node(node.id()).unwrap();
    assert_eq!(record.state, NodeState::Ready);
    record.services.iter().map(|service| service.name.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_service_is_in_no_directory_until_it_is_warm() {
    let mesh = Mesh::new();
    let start = Instant::now();
    let host = mesh.node("node-0").serve(slow(secs(3))).serve(work::server()).start().await.unwrap();
    let guest = mesh.node("guest").start().await.unwrap();
    watch::endpoints(&guest, "tests.Work", 1).await;
    assert!(start.elapsed() < secs(3), "the node waits for no service");
    assert_eq!(guest.client::<WorkClient>().whoami().await.unwrap(), "node-0");
    assert_eq!((announced(&host), state(&host)), (vec!["tests.Work".to_owned()], (ActorState::Warming, 0)));
    let service = host.services().into_iter().find(|service| service.name == "tests.Cache").unwrap();
    assert_eq!((service.nodes.len(), service.warming), (0, vec!["node-0".to_owned()]));

    // Who comes all the same is refused.
    let stranger = Stranger::in_memory(&mesh.network, &mesh.identity, "node-0").unwrap();
    let (session, _control) = stranger.introduce("tests").await.unwrap();
    let request = opening("tests.Cache", "msgpack", &[("node", "node() -> String")]);
    let mut channel = stranger::open(&*session, frame(kind::OPEN, &request)).await.unwrap();
    let (refused, why) = read_frame(&mut channel).await.unwrap().unwrap();
    assert_eq!(refused, kind::REFUSED);
    assert!(String::from_utf8_lossy(&why).contains("tests.Cache warms up on node-0"));

    // Callers wait, here and elsewhere.
    let calls = [&host, &guest].map(|node| {
        let (cache, node) = (node.client::<CacheClient>(), node.clone());
        spawn(async move {
            let json = serde_json::json!({});
            let by_name = node.call_json("tests.Cache", "node", &json, secs(10));
            let (called, listed, noted, by_name) =
                tokio::join!(cache.node(), cache.list(), cache.note(), by_name);
            assert_eq!(called.unwrap(), "node-0");
            listed.unwrap();
            noted.unwrap();
            assert_eq!(by_name.unwrap(), "node-0");
        })
    });
    for call in calls {
        call.await.unwrap();
        assert!(start.elapsed() >= secs(3), "{:?}", start.elapsed());
    }
    assert_eq!((announced(&host).len(), state(&host)), (2, (ActorState::Running, 0)));
    Mesh::end([host, guest]).await;
}

#[tokio::test(start_paused = true)]
async fn calls_go_elsewhere_while_a_service_warms_up() {
    let mesh = Mesh::new();
    let host = mesh.node("node-0").serve(CacheServer::new(|| Full)).start().await.unwrap();
    let other = mesh.node("other").serve(slow(secs(100))).start().await.unwrap();
    watch::endpoints(&other, "tests.Cache", 1).await;
    assert_eq!(other.client::<CacheClient>().node().await.unwrap(), "node-0");
    Mesh::end([host, other]).await;
}

#[tokio::test(start_paused = true)]
async fn a_warm_up_may_call_and_is_tried_again_when_it_fails() {
    expect_panics();
    let (mesh, tries) = (Mesh::new(), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&tries);
    let warm_up = move |with: WarmUp| {
        let number = counted.fetch_add(1, Relaxed);
        async move {
            assert!(number != 0, "{EXPECTED}");
            let served_by =
                with.client::<WorkClient>().whoami().await.map_err(|failure| failure.to_string())?;
            if number == 1 { Err(format!("only {served_by} is there")) } else { Ok(()) }
        }
    };
    let server = CacheServer::new(|| Full).ready_when(warm_up);
    let host = mesh.node("node-0").serve(server).serve(work::server()).start().await.unwrap();
    assert_eq!(host.client::<CacheClient>().node().await.unwrap(), "node-0");
    assert_eq!((tries.load(Relaxed), state(&host)), (3, (ActorState::Running, 2)));
    let tree = host.tree();
    let service = tree.iter().find(|actor| actor.path == "node/service/tests.Cache").unwrap();
    assert_eq!(service.last_failure.as_deref(), Some("its warm-up failed: only node-0 is there"));
    Mesh::end([host]).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_never_gets_warm_is_given_up() {
    let mesh = Mesh::new();
    let policy = RestartPolicy { intensity: 2, ..RestartPolicy::default() };
    let server = CacheServer::new(|| Full).ready_when(|_| async { Err("no database") }).restart(policy);
    let host = mesh.node("node-0").serve(server).start().await.unwrap();
    sleep(secs(1)).await;
    assert_eq!((announced(&host), state(&host)), (vec![], (ActorState::Failed, 2)));
    let failure = host.client::<CacheClient>().node().timeout(millis(100)).await.unwrap_err();
    assert_eq!(failure.outcome(), qmesh::Outcome::NotSent, "{failure}");
    Mesh::end([host]).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_falls_warms_up_anew() {
    expect_panics();
    let mesh = Mesh::new();
    let host = mesh.node("node-0").serve(slow(secs(3))).start().await.unwrap();
    let guest = mesh.node("guest").start().await.unwrap();
    let cache = guest.client::<CacheClient>();
    cache.node().await.unwrap();
    assert_eq!(cache.fall().await.unwrap_err().outcome(), qmesh::Outcome::Unknown);
    let fallen = Instant::now();
    // It comes on a channel that is open, and waits.
    assert_eq!(cache.node().await.unwrap(), "node-0");
    assert!(fallen.elapsed() >= secs(3), "{:?}", fallen.elapsed());
    cache.fall().await.unwrap_err();
    watch::endpoints(&guest, "tests.Cache", 0).await;
    assert_eq!(state(&host), (ActorState::Warming, 2));
    watch::endpoints(&guest, "tests.Cache", 1).await;
    Mesh::end([host, guest]).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_ends_drops_a_warm_up() {
    let (mesh, alive) = (Mesh::new(), Arc::new(()));
    let held = Arc::clone(&alive);
    let server = CacheServer::new(|| Full).ready_when(move |_| {
        let held = Arc::clone(&held);
        async move {
            sleep(secs(1000)).await;
            drop(held);
            Ok::<_, String>(())
        }
    });
    let host = mesh.node("node-0").serve(server).start().await.unwrap();
    sleep(secs(1)).await;
    assert_eq!(Arc::strong_count(&alive), 3, "the test, the hook, the warm-up");
    let start = Instant::now();
    Mesh::end([host]).await;
    assert!(start.elapsed() < secs(2), "{:?}", start.elapsed());
    sleep(millis(10)).await;
    assert_eq!(Arc::strong_count(&alive), 1);
}
