//! Calls that handlers make: they inherit the time, the depth and the repeats of the call that the handler serves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use qmesh::{Config, Context, Failure, Node, Outcome, Reason, Receiver, RestartPolicy, stream};
use qmesh_tests::{EXPECTED, Mesh, expect_panics, millis, secs, spawn, watch, work};
use tokio::time::{Instant, sleep, timeout};
use tower::layer::util::Identity;

/// The two call each other, so that every call crosses from one node to the other.
#[qmesh::service(name = "tests.Ping")]
pub(crate) trait Ping {
    /// Serves this many calls below; the last one does what it was told.
    #[idempotent]
    async fn ping(&self, cx: &Context, below: u32) -> Vec<Duration>;
}

#[qmesh::service(name = "tests.Pong")]
pub(crate) trait Pong {
    #[idempotent]
    async fn pong(&self, cx: &Context, below: u32) -> Vec<Duration>;
}

/// What the last of a chain does.
#[derive(Clone, Copy, Default)]
enum Last {
    #[default]
    Answers,
    Panics,
    Hangs,
}

#[derive(Clone, Default)]
struct Players {
    last: Last,
    executions_of_last: Arc<AtomicU64>,
    executions: Arc<AtomicU64>,
    was_dropped: Arc<AtomicBool>,
    failure: Arc<parking_lot::Mutex<Option<Failure>>>,
    /// Whether a layer stands in front of the services.
    layered: bool,
}

/// Tells when it goes.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

impl Players {
    async fn play(
        &self,
        cx: &Context,
        below: u32,
        next: impl Future<Output = Result<Vec<Duration>, Failure>>,
    ) -> Vec<Duration> {
        self.executions.fetch_add(1, Relaxed);
        let own = cx.remaining().unwrap();
        if below > 0 {
            match next.await {
                Ok(mut remaining) => {
                    remaining.push(own);
                    return remaining;
                }
                Err(failure) => {
                    self.failure.lock().get_or_insert(failure);
                    panic!("{EXPECTED}");
                }
            }
        }
        self.executions_of_last.fetch_add(1, Relaxed);
        match self.last {
            Last::Answers => {}
            Last::Panics => panic!("{EXPECTED}"),
            Last::Hangs => {
                let _dropped = Dropped(Arc::clone(&self.was_dropped));
                std::future::pending().await
            }
        }
        vec![own]
    }
}

impl Ping for Players {
    async fn ping(&self, cx: &Context, below: u32) -> Vec<Duration> {
        let pong = cx.client::<PongClient>();
        let next = async { pong.pong(below - 1).timeout(secs(60)).await };
        self.play(cx, below, next).await
    }
}

impl Pong for Players {
    async fn pong(&self, cx: &Context, below: u32) -> Vec<Duration> {
        let ping = cx.client::<PingClient>();
        let next = async { ping.ping(below - 1).await };
        self.play(cx, below, next).await
    }
}

/// Two nodes that play, and one that asks for it.
async fn court(mesh: &Mesh, players: &Players) -> [Node; 3] {
    expect_panics();
    let mut config = Config::local();
    // The call tree's own bound is what is looked at.
    config.retries_per_second = 1_000_000;
    let restart = RestartPolicy {
        intensity: u32::MAX,
        backoff_min: millis(1),
        backoff_max: millis(1),
        ..RestartPolicy::default()
    };
    let (one, other) = (players.clone(), players.clone());
    let ping = PingServer::new(move || one.clone()).restart(restart);
    let pong = PongServer::new(move || other.clone()).restart(restart);
    let (ping, pong) = match players.layered {
        true => (ping.layer(Identity::new()), pong.layer(Identity::new())),
        false => (ping, pong),
    };
    let nodes = [
        mesh.node("node-0").config(config.clone()).serve(ping).start().await.unwrap(),
        mesh.node("pong").config(config.clone()).serve(pong).start().await.unwrap(),
        mesh.node("guest").config(config).start().await.unwrap(),
    ];
    watch::agree(&nodes, secs(10)).await;
    nodes
}

/// Waits for what other tasks do.
async fn within(limit: Duration, what: &str, holds: impl Fn() -> bool) {
    let look = async {
        while !holds() {
            sleep(millis(1)).await;
        }
    };
    assert!(timeout(limit, look).await.is_ok(), "{what}: not within {limit:?}");
}

#[tokio::test(start_paused = true)]
async fn the_time_that_remains_travels_down() {
    let mesh = Mesh::new();
    let players = Players::default();
    let nodes = court(&mesh, &players).await;
    let remaining = nodes[2].client::<PingClient>().ping(4).timeout(millis(700)).await.unwrap();
    assert_eq!(remaining.len(), 5);
    assert!(remaining.iter().all(|left| *left <= millis(700)), "{remaining:?}");
    assert!(remaining.is_sorted(), "the last has the least: {remaining:?}");
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn giving_a_call_up_ends_the_calls_that_were_made_for_it() {
    let mesh = Mesh::new();
    let players = Players { last: Last::Hangs, ..Players::default() };
    let nodes = court(&mesh, &players).await;
    let client = nodes[2].client::<PingClient>();
    let call = spawn(async move { client.ping(3).await });
    within(secs(5), "the last runs", || players.executions_of_last.load(Relaxed) == 1).await;
    call.abort();
    within(millis(100), "the last is dropped", || players.was_dropped.load(Relaxed)).await;
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn repeats_of_a_chain_are_not_multiplied() {
    for layered in [false, true] {
        let mesh = Mesh::new();
        let players = Players { last: Last::Panics, layered, ..Players::default() };
        let nodes = court(&mesh, &players).await;
        let failure = nodes[2].client::<PingClient>().ping(4).retries(3).timeout(secs(60)).await.unwrap_err();
        assert_eq!((failure.outcome(), failure.reason()), (Outcome::Unknown, Reason::Panicked), "{failure}");
        assert!(failure.detail().contains("call tree"), "{failure}");
        let last = players.executions_of_last.swap(0, Relaxed);
        assert_eq!(last, 4, "one attempt and three repeats, wherever they were spent");

        // By default there are more, and no more than these.
        nodes[2].client::<PingClient>().ping(4).timeout(secs(60)).await.unwrap_err();
        assert_eq!(players.executions_of_last.load(Relaxed), 17);
        Mesh::end(nodes).await;
    }
}

#[tokio::test(start_paused = true)]
async fn services_that_call_each_other_in_a_circle_are_stopped() {
    let mesh = Mesh::new();
    let players = Players::default();
    let nodes = court(&mesh, &players).await;
    nodes[2].client::<PingClient>().ping(u32::MAX).retries(0).await.unwrap_err();
    let failure = players.failure.lock().clone().unwrap();
    assert_eq!((failure.outcome(), failure.reason()), (Outcome::NotSent, Reason::TooManyHops), "{failure}");
    assert_eq!(players.executions.load(Relaxed), 33, "the first, and 32 below it");
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn work_that_ran_although_it_was_cancelled_is_counted() {
    let mesh = Mesh::new();
    let server = mesh.node("node-0").serve(work::server()).start().await.unwrap();
    let guest = mesh.node("guest").start().await.unwrap();
    let nodes = [server, guest];
    watch::agree(&nodes, secs(10)).await;
    let client = nodes[1].client::<work::WorkClient>();
    assert!(timeout(millis(100), client.add(1, 500)).await.is_err());
    sleep(millis(50)).await;
    assert_eq!(nodes[0].counts().ran_cancelled, 0, "it still runs");
    sleep(secs(1)).await;
    assert_eq!(nodes[0].counts().ran_cancelled, 1);
    assert_eq!(client.add(0, 0).await.unwrap(), 1, "it ran");
    Mesh::end(nodes).await;
}

#[qmesh::service(name = "tests.Pump")]
pub(crate) trait Pump {
    /// Sends a stream to the well that goes on for as long as the well takes it.
    async fn pump(&mut self, cx: &Context);
}

#[qmesh::service(name = "tests.Well")]
pub(crate) trait Well {
    /// Takes the stream, and never answers.
    async fn fill(&self, cx: &Context, drops: Receiver<u64>) -> u64;
}

/// When the well's call ended after its begin, and why; how long the well had.
#[derive(Clone, Default)]
struct Poured {
    ended: Arc<parking_lot::Mutex<Option<(Duration, Failure)>>>,
    had: Arc<parking_lot::Mutex<Option<Duration>>>,
    was_dropped: Arc<AtomicBool>,
}

impl Pump for Poured {
    async fn pump(&mut self, cx: &Context) {
        let start = Instant::now();
        let (_open, drops) = stream(1);
        let failure = cx.client::<WellClient>().fill(drops).timeout(secs(60)).await.unwrap_err();
        *self.ended.lock() = Some((start.elapsed(), failure));
    }
}

impl Well for Poured {
    async fn fill(&self, cx: &Context, drops: Receiver<u64>) -> u64 {
        let _open = drops;
        *self.had.lock() = cx.remaining();
        let _dropped = Dropped(Arc::clone(&self.was_dropped));
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_with_an_upload_ends_with_the_call_that_the_handler_serves() {
    for is_near in [true, false] {
        let mesh = Mesh::new();
        let poured = Poured::default();
        let (pump, well) = (poured.clone(), poured.clone());
        let (pump, well) = (PumpServer::new(move || pump.clone()), WellServer::new(move || well.clone()));
        let (mut host, mut other) = (mesh.node("node-0").serve(pump), mesh.node("other"));
        if is_near {
            host = host.serve(well);
        } else {
            other = other.serve(well);
        }
        let nodes = [host.start().await.unwrap(), other.start().await.unwrap()];
        watch::agree(&nodes, secs(10)).await;
        let pumping = nodes[1].client::<PumpClient>().pump().timeout(millis(500)).await.unwrap_err();
        assert_eq!(pumping.reason(), Reason::DeadlineExceeded, "{pumping}");
        within(millis(50), "the call below ends", || poured.ended.lock().is_some()).await;
        let (after, failure) = poured.ended.lock().clone().unwrap();
        let facts = (failure.outcome(), failure.reason());
        assert_eq!(facts, (Outcome::Unknown, Reason::DeadlineExceeded), "{failure}");
        assert!(after <= millis(500), "{after:?}");
        assert!(poured.had.lock().is_some_and(|had| had <= millis(500)), "the well knows its time");
        within(millis(100), "the well stops", || poured.was_dropped.load(Relaxed)).await;
        Mesh::end(nodes).await;
    }
}
