//! A service that panics on every tenth call, under load.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use futures_util::future::join_all;
use parking_lot::Mutex;
use qmesh::{Failure, Node, Outcome, Reason, RestartPolicy};
use qmesh_tests::{Background, EXPECTED, Mesh, Tally, expect_panics, millis, secs, spawn, watch, work};

const CALLERS: u64 = 64;
const CALLS_EACH: u64 = 10;
const CALLS: u64 = CALLERS * CALLS_EACH;

#[qmesh::service(name = "tests.Shaky")]
pub(crate) trait Shaky {
    async fn step(&mut self, number: u64) -> u64;
}

/// What all lives of the service did, in order.
#[derive(Clone, Default)]
struct Log {
    begun: Arc<Mutex<Vec<u64>>>,
    lives: Arc<AtomicU64>,
}

struct Steps(Log);

impl Steps {
    fn new(log: &Log) -> Self {
        log.lives.fetch_add(1, Relaxed);
        Self(log.clone())
    }
}

impl Shaky for Steps {
    async fn step(&mut self, number: u64) -> u64 {
        let count = {
            let mut begun = self.0.begun.lock();
            begun.push(number);
            begun.len()
        };
        assert!(!count.is_multiple_of(10), "{EXPECTED}");
        number
    }
}

/// A node with the shaky service and a steady one, and a guest that calls both.
struct Scene {
    log: Log,
    host: Node,
    guest: Node,
    steady: Background,
}

impl Scene {
    async fn start(restart: RestartPolicy) -> Self {
        expect_panics();
        let mesh = Mesh::new();
        let log = Log::default();
        let kept = log.clone();
        let shaky = ShakyServer::new(move || Steps::new(&kept)).restart(restart);
        let host = mesh.node("node-0").serve(shaky).serve(work::server()).start().await.unwrap();
        let guest = mesh.node("guest").start().await.unwrap();
        watch::endpoints(&guest, "tests.Work", 1).await;
        let client = guest.client::<work::WorkClient>();
        let steady = Background::start(4, millis(1), move || {
            let client = client.clone();
            async move { client.whoami().await }
        });
        steady.answers(10).await;
        Self { log, host, guest, steady }
    }

    /// Every caller makes all of its calls at once: half of the callers on the same node, half on another one.
    async fn storm(&self) -> Vec<Result<u64, Failure>> {
        let caller = |caller: u64| {
            let node = if caller.is_multiple_of(2) { &self.guest } else { &self.host };
            let client = node.client::<ShakyClient>();
            spawn(async move {
                let numbers = caller * CALLS_EACH..(caller + 1) * CALLS_EACH;
                join_all(numbers.map(|number| client.step(number).timeout(secs(5)))).await
            })
        };
        let answers = join_all((0..CALLERS).map(caller)).await;
        answers.into_iter().flat_map(|answers| answers.unwrap()).collect()
    }

    async fn end(self) -> Log {
        self.steady.answers(100).await;
        self.steady.stop().await.assert_no_failure();
        Mesh::end([self.guest, self.host]).await;
        self.log
    }
}

fn tally(answers: Vec<Result<u64, Failure>>) -> Tally {
    let tally = Tally::default();
    for answer in answers {
        if let Err(failure) = tally.count(answer)
            && failure.outcome() == Outcome::Unknown
        {
            assert_eq!(failure.reason(), Reason::Panicked, "{failure}");
        }
    }
    assert_eq!(tally.total(), CALLS, "every call has an outcome: {tally}");
    tally
}

#[tokio::test(start_paused = true)]
async fn within_its_intensity_a_service_that_panics_executes_its_whole_queue() {
    let restart = RestartPolicy { intensity: 1000, backoff_max: millis(20), ..RestartPolicy::default() };
    let scene = Scene::start(restart).await;
    let tally = tally(scene.storm().await);
    assert_eq!(tally.failed(Outcome::Unknown), CALLS / 10, "those that panicked, and no others: {tally}");
    assert_eq!(tally.answered(), CALLS - CALLS / 10, "{tally}");
    let log = scene.end().await;
    let mut begun = log.begun.lock().clone();
    begun.sort_unstable();
    assert!(begun.into_iter().eq(0..CALLS), "every call began exactly once");
    assert_eq!(log.lives.load(Relaxed), CALLS / 10 + 1, "the factory made each life's state");
}

#[tokio::test(start_paused = true)]
async fn beyond_its_intensity_a_service_that_panics_executes_nothing_of_its_queue() {
    let restart = RestartPolicy { intensity: 3, ..RestartPolicy::default() };
    let scene = Scene::start(restart).await;
    let tally = tally(scene.storm().await);
    assert_eq!(tally.failed(Outcome::Unknown), 4, "three restarts, and the end: {tally}");
    assert_eq!(tally.answered(), 36, "{tally}");
    assert_eq!(tally.failed(Outcome::NotExecuted), CALLS - 40, "{tally}");
    watch::endpoints(&scene.guest, "tests.Shaky", 0).await;
    let log = scene.end().await;
    assert_eq!(log.begun.lock().len(), 40, "nothing of the queue began");
    assert_eq!(log.lives.load(Relaxed), 4);
}

/// Panics while it is encoded, behind its first field.
#[derive(Clone, Debug, serde::Deserialize)]
struct Touchy {
    text: String,
}

impl serde::Serialize for Touchy {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut fields = serializer.serialize_struct("Touchy", 1)?;
        fields.serialize_field("text", &self.text)?;
        panic!("{EXPECTED}");
    }
}

#[qmesh::service(name = "tests.Touchy")]
trait Touching {
    async fn touch(&self) -> Touchy;
    async fn numbers(&self) -> Vec<u64>;
}

struct Finger;

impl Touching for Finger {
    async fn touch(&self) -> Touchy {
        Touchy { text: "nobody else's".to_owned() }
    }

    async fn numbers(&self) -> Vec<u64> {
        vec![7]
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_answer_left_that_could_not_be_encoded_is_in_no_other() {
    expect_panics();
    let mesh = Mesh::new();
    let host = mesh.node("node-0").serve(TouchingServer::new(|| Finger)).start().await.unwrap();
    let guest = mesh.node("guest").start().await.unwrap();
    let nodes = [host, guest];
    watch::endpoints(&nodes[1], "tests.Touchy", 1).await;
    let touching = nodes[1].client::<TouchingClient>();
    assert_eq!(touching.touch().await.unwrap_err().reason(), Reason::Panicked);
    assert_eq!(touching.numbers().await.unwrap(), [7]);
    Mesh::end(nodes).await;
}
