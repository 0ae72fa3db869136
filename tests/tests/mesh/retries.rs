//! Failed attempts are repeated where that is safe, within a budget, until the call's time is over.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use futures_util::future::join_all;
use qmesh::{Config, Context, Node, Outcome, Reason, RestartPolicy};
use qmesh_tests::{
    Background, EXPECTED, Mesh, expect_panics, millis, secs, spawn, watch,
    work::{self, WorkClient},
};
use tokio::time::{Instant, timeout};

const CALLS: u64 = 300;

#[qmesh::service(name = "tests.Risky")]
pub(crate) trait Risky {
    #[idempotent]
    async fn read(&self, cx: &Context) -> String;
    async fn write(&self, cx: &Context) -> String;
}

/// Panics at each call on a node that is told to.
#[derive(Clone, Default)]
struct Risk {
    panics: bool,
    runs: Arc<AtomicU64>,
}

impl Risk {
    fn run(&self, cx: &Context) -> String {
        self.runs.fetch_add(1, Relaxed);
        assert!(!self.panics, "{EXPECTED}");
        cx.node().to_owned()
    }
}

impl Risky for Risk {
    async fn read(&self, cx: &Context) -> String {
        self.run(cx)
    }

    async fn write(&self, cx: &Context) -> String {
        self.run(cx)
    }
}

/// Restarts as often as it takes.
fn forever() -> RestartPolicy {
    RestartPolicy {
        intensity: u32::MAX,
        backoff_min: millis(1),
        backoff_max: millis(1),
        ..RestartPolicy::default()
    }
}

async fn risky_node(mesh: &Mesh, name: &str, risk: &Risk) -> Node {
    expect_panics();
    let risk = risk.clone();
    mesh.node(name).serve(RiskyServer::new(move || risk.clone()).restart(forever())).start().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_call_of_unknown_outcome_is_repeated_for_idempotent_methods_alone() {
    let mesh = Mesh::new();
    let (bad, good) = (Risk { panics: true, ..Risk::default() }, Risk::default());
    let nodes = [
        risky_node(&mesh, "node-0", &bad).await,
        risky_node(&mesh, "good", &good).await,
        mesh.node("reader").start().await.unwrap(),
        mesh.node("writer").start().await.unwrap(),
    ];
    watch::agree(&nodes, secs(10)).await;
    let runs = || bad.runs.load(Relaxed) + good.runs.load(Relaxed);

    let reader = nodes[2].client::<RiskyClient>();
    for _ in 0..CALLS {
        assert_eq!(reader.read().await.unwrap(), "good");
    }
    assert!(runs() > CALLS, "some went to the bad one first");

    let (before, mut unknown) = (runs(), 0);
    let writer = nodes[3].client::<RiskyClient>();
    for _ in 0..CALLS {
        if let Err(failure) = writer.write().await {
            assert_eq!(
                (failure.outcome(), failure.reason()),
                (Outcome::Unknown, Reason::Panicked),
                "{failure}"
            );
            assert_eq!(failure.endpoint(), Some("node-0"), "{failure}");
            unknown += 1;
        }
    }
    assert!(unknown > 0, "some went to the bad one");
    assert_eq!(runs() - before, CALLS, "each write ran once, whatever became of it");
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_not_executed_is_repeated_elsewhere_for_any_method() {
    let mesh = Mesh::new();
    let narrow = mesh.node("node-0").serve(work::server().queue(1)).start().await.unwrap();
    let wide = mesh.node("wide").serve(work::server()).start().await.unwrap();
    let guest = mesh.node("guest").start().await.unwrap();
    let nodes = [narrow, wide, guest];
    watch::agree(&nodes, secs(10)).await;

    // The narrow one has a single place, and it is taken.
    let busy = nodes[0].client::<WorkClient>();
    let busy = spawn(async move { busy.add(1, 5_000).await });
    tokio::time::sleep(millis(10)).await;
    let client = nodes[2].client::<WorkClient>();
    let start = Instant::now();
    let calls = (0..20).map(|_| client.add(1, 0).timeout(secs(4)));
    let mut sums: Vec<_> = join_all(calls).await.into_iter().map(|sum| sum.unwrap()).collect();
    sums.sort_unstable();
    assert_eq!(sums, (1..=20).collect::<Vec<_>>(), "all were executed by the wide one, each once");
    assert!(start.elapsed() < secs(3), "{:?}", start.elapsed());
    assert!(nodes[2].counts().retries > 0, "some were refused by the narrow one first");
    assert_eq!(busy.await.unwrap().unwrap(), 1);
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn a_budget_bounds_the_retries() {
    let mesh = Mesh::new();
    let bad = Risk { panics: true, ..Risk::default() };
    let mut config = Config::local();
    config.retry_share = 0.1;
    config.retries_per_second = 1;
    let nodes = [
        risky_node(&mesh, "node-0", &bad).await,
        risky_node(&mesh, "also-bad", &bad).await,
        mesh.node("guest").config(config).start().await.unwrap(),
    ];
    watch::agree(&nodes, secs(10)).await;
    // Where both sides dialled, one of the two sessions goes; an attempt that meets it in that moment is not sent.
    tokio::time::sleep(secs(1)).await;
    let client = nodes[2].client::<RiskyClient>();
    for _ in 0..CALLS {
        let failure = client.read().timeout(secs(5)).await.unwrap_err();
        assert_eq!(failure.outcome(), Outcome::Unknown, "{failure}");
    }
    // A tenth of the calls, and one per second over the ten seconds that the budget looks back.
    let (retries, bound) = (nodes[2].counts().retries, CALLS / 10 + 10 + 10);
    assert!((1..=bound).contains(&retries), "{retries} retries; the budget grants {bound}");
    assert_eq!(bad.runs.load(Relaxed), CALLS + retries, "each attempt ran once");
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_an_endpoint_until_its_deadline() {
    let mesh = Mesh::new();
    let lobby = mesh.node("node-0").start().await.unwrap();
    let client = lobby.client::<WorkClient>();
    let start = Instant::now();
    let failure = client.whoami().timeout(secs(3)).await.unwrap_err();
    assert_eq!((failure.outcome(), failure.reason()), (Outcome::NotSent, Reason::NoEndpoint), "{failure}");
    assert!((secs(3)..millis(3100)).contains(&start.elapsed()), "{:?}", start.elapsed());

    let waiting = spawn(async move { client.whoami().timeout(secs(30)).await });
    tokio::time::sleep(secs(5)).await;
    let late = mesh.node("late").serve(work::server()).start().await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), "late");
    Mesh::end([late, lobby]).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_drains_under_load_fails_no_call() {
    let mesh = Mesh::new();
    let lobby = mesh.node("node-0").start().await.unwrap();
    let serve = async |name: &str| mesh.node(name).serve(work::server()).start().await.unwrap();
    let stay = [serve("one").await, serve("two").await];
    let guest = mesh.node("guest").start().await.unwrap();
    let client = guest.client::<WorkClient>();
    // Idempotent or not, shared or exclusive: a refused call was not executed, and an accepted one is finished.
    let turn = Arc::new(AtomicBool::new(false));
    let load = Background::start(32, millis(1), move || {
        let (client, idempotent) = (client.clone(), turn.fetch_xor(true, Relaxed));
        async move {
            if idempotent { client.pause(20).await } else { client.add(1, 1).await.map(|_| String::new()) }
        }
    });
    for round in 0..5 {
        let name = format!("drains-{round}");
        let drains = serve(&name).await;
        load.served_by(&name).await;
        timeout(secs(5), drains.shutdown()).await.expect("a drain ends");
        watch::until(&guest, secs(1), "it has left", |view| view.nodes().all(|node| node.name != name)).await;
        load.answers(100).await;
    }
    let tally = load.stop().await;
    println!("5 drains: {} calls", tally.answered());
    tally.assert_no_failure();
    Mesh::end(stay.into_iter().chain([guest, lobby])).await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_was_never_reached_costs_no_call() {
    let mesh = Mesh::new();
    let lobby = mesh.node("node-0").start().await.unwrap();
    // Gossip tells of both; one of them cannot be reached from here.
    mesh.network.cut("guest", "behind");
    let serve = async |name: &str| mesh.node(name).serve(work::server()).start().await.unwrap();
    let nodes =
        [lobby, serve("near").await, serve("behind").await, mesh.node("guest").start().await.unwrap()];
    watch::endpoints(&nodes[3], "tests.Work", 2).await;
    let client = nodes[3].client::<WorkClient>();
    for _ in 0..50 {
        let start = Instant::now();
        assert_eq!(client.whoami().timeout(secs(2)).await.unwrap(), "near");
        assert!(start.elapsed() < millis(1_500), "{:?}", start.elapsed());
        tokio::time::sleep(millis(50)).await;
    }
    Mesh::end(nodes).await;
}
