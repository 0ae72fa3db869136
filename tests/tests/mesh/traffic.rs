//! What a node tells of its traffic while somebody looks: who calls whom, how fast, what waits, and what passes.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt as _, future::join_all};
use qmesh::{
    Config, Context, Failure, Flow, Latency, Node, Outcome, Reason, Receiver, Traffic, deadlocks,
    prelude::CallError,
};
use qmesh_tests::{Mesh, millis, secs, spawn, watch};
use tokio::time::sleep;

#[qmesh::service(name = "tests.Back")]
pub(crate) trait Back {
    async fn ask(&self, number: u64) -> u64;
    async fn wait(&self, millis: u64);
    async fn fail(&mut self) -> Result<(), String>;
    #[oneway]
    async fn tell(&mut self);
    async fn download(&self) -> Receiver<u64>;
    async fn sum(&self, numbers: Receiver<u64>) -> u64;
    /// Calls `tests.Front`, alone.
    async fn back(&mut self, cx: &Context) -> Result<u64, Failure>;
}

#[qmesh::service(name = "tests.Front")]
pub(crate) trait Front {
    async fn ask(&self) -> u64;
    /// Calls `tests.Back`.
    async fn relay(&self, cx: &Context, number: u64) -> Result<u64, Failure>;
    /// Calls `tests.Back`, alone, which calls back.
    async fn forth(&mut self, cx: &Context) -> Result<u64, Failure>;
    /// Calls it as long.
    async fn relay_wait(&mut self, cx: &Context, millis: u64) -> Result<(), Failure>;
}

struct Service;

impl Back for Service {
    async fn ask(&self, number: u64) -> u64 {
        number
    }

    async fn wait(&self, millis: u64) {
        sleep(Duration::from_millis(millis)).await;
    }

    async fn fail(&mut self) -> Result<(), String> {
        Err("no".to_owned())
    }

    async fn tell(&mut self) {}

    async fn download(&self) -> Receiver<u64> {
        Receiver::of([1, 2])
    }

    async fn sum(&self, numbers: Receiver<u64>) -> u64 {
        numbers.collect().await.map_or(0, |numbers| numbers.iter().sum())
    }

    async fn back(&mut self, cx: &Context) -> Result<u64, Failure> {
        cx.client::<FrontClient>().ask().await
    }
}

impl Front for Service {
    async fn ask(&self) -> u64 {
        7
    }

    async fn relay(&self, cx: &Context, number: u64) -> Result<u64, Failure> {
        cx.client::<BackClient>().ask(number).await
    }

    async fn forth(&mut self, cx: &Context) -> Result<u64, Failure> {
        cx.client::<BackClient>().back().await.map_err(|error| match error {
            CallError::Service(failure) | CallError::Failed(failure) => failure,
        })
    }

    async fn relay_wait(&mut self, cx: &Context, millis: u64) -> Result<(), Failure> {
        cx.client::<BackClient>().wait(millis).await
    }
}

/// `caller`, `front` which serves `tests.Front`, and `back` which serves `tests.Back`.
async fn three(mesh: &Mesh) -> [Node; 3] {
    let mut config = Config::local();
    config.tap_payloads = true;
    let back = mesh.node("node-0").serve(BackServer::new(|| Service)).start().await.unwrap();
    let front = mesh.node("front").serve(FrontServer::new(|| Service)).config(config).start().await.unwrap();
    let caller = mesh.node("caller").start().await.unwrap();
    let nodes = [caller, front, back];
    watch::agree(&nodes, secs(10)).await;
    nodes
}

/// For each method, how many calls of a flow ended, how they failed, and how many are under way.
fn told(flows: &[Flow]) -> BTreeMap<String, (u64, BTreeMap<String, u64>, u64)> {
    let told = flows.iter().map(|flow| {
        let Flow { from, node, service, method, calls, failed, in_flight, .. } = flow.clone();
        (format!("{from}>{service}/{method}@{node}"), (calls, failed, in_flight))
    });
    told.collect()
}

fn failed(status: &str, count: u64) -> BTreeMap<String, u64> {
    BTreeMap::from([(status.to_owned(), count)])
}

#[tokio::test(start_paused = true)]
async fn calls_of_every_shape_are_counted_on_both_sides() {
    let mesh = Mesh::new();
    let nodes = three(&mesh).await;
    let [caller, _, back] = &nodes;
    let client = caller.client::<BackClient>();
    client.ask(1).await.unwrap();
    assert_eq!(caller.traffic().flows, [], "the first question begins it");
    assert_eq!(back.traffic().served, []);

    for number in 0..30 {
        client.ask(number).await.unwrap();
    }
    for _ in 0..5 {
        client.fail().await.unwrap_err();
    }
    for _ in 0..10 {
        client.tell().await.unwrap();
    }
    client.tell().try_send().unwrap();
    assert_eq!(client.download().await.unwrap().count().await, 2);
    assert_eq!(client.sum(Receiver::of([1, 2])).await.unwrap(), 3);
    client.wait(1000).timeout(millis(100)).await.unwrap_err();
    for number in 0..4 {
        let arguments = serde_json::json!({"number": number});
        caller.call_json("tests.Back", "ask", &arguments, secs(1)).await.unwrap();
    }
    sleep(secs(2)).await;
    let expected = |node: &str, late: &str| {
        let key = |method: &str| format!(">tests.Back/{method}@{node}");
        BTreeMap::from([
            (key("ask"), (34, BTreeMap::new(), 0)),
            (key("fail"), (5, failed("service_error", 5), 0)),
            (key("tell"), (11, BTreeMap::new(), 0)),
            (key("download"), (1, BTreeMap::new(), 0)),
            (key("sum"), (1, BTreeMap::new(), 0)),
            (key("wait"), (1, failed(late, 1), 0)),
        ])
    };
    assert_eq!(told(&caller.traffic().flows), expected("node-0", "deadline_exceeded"));
    // The service was told that nobody waits any more.
    assert_eq!(told(&back.traffic().served), expected("caller", "cancelled"));
    shut_down(&nodes).await;
}

#[tokio::test(start_paused = true)]
async fn latencies_and_calls_under_way_are_those_of_the_load() {
    let mesh = Mesh::new();
    let nodes = three(&mesh).await;
    let [caller, _, back] = &nodes;
    let client = caller.client::<BackClient>();
    client.ask(1).await.unwrap();
    let before = (caller.traffic(), back.traffic());
    let waits = (1..=100_u64).map(|wait| client.wait(wait));
    let under_way = spawn(join_all(waits.map(|call| async move { call.await.unwrap() })));
    sleep(millis(50)).await;
    let half = caller.traffic().flows[0].clone();
    assert!((40..=60).contains(&half.in_flight) && half.calls + half.in_flight == 100, "{half:?}");
    under_way.await.unwrap();

    let after = (caller.traffic(), back.traffic());
    let rate = |one: &Traffic, other: &Traffic| {
        assert_eq!(one.since_us, other.since_us);
        other.clock_us - one.clock_us
    };
    assert!((100_000..150_000).contains(&rate(&before.0, &after.0)));
    for flow in [&after.0.flows[0], &after.1.served[0]] {
        assert_eq!((flow.calls, flow.in_flight), (100, 0));
        let p50 = Latency::quantile_us(&flow.latency, 0.5).unwrap();
        let p99 = Latency::quantile_us(&flow.latency, 0.99).unwrap();
        assert!((50_000..60_000).contains(&p50) && (99_000..120_000).contains(&p99), "{p50} {p99}");
        let since = flow.since(Some(&half));
        assert_eq!(since.calls, 100 - half.calls);
    }
    shut_down(&nodes).await;
}

#[tokio::test(start_paused = true)]
async fn an_edge_begins_at_the_service_whose_handler_calls() {
    let mesh = Mesh::new();
    let nodes = three(&mesh).await;
    let [caller, front, back] = &nodes;
    for node in &nodes {
        drop(node.traffic());
    }
    for number in 0..3 {
        assert_eq!(caller.client::<FrontClient>().relay(number).await.unwrap(), number);
    }
    back.client::<BackClient>().ask(1).await.unwrap();
    let ok = |calls: u64| (calls, BTreeMap::new(), 0);
    let edges = |node: &Node| told(&node.traffic().flows);
    assert_eq!(edges(caller), BTreeMap::from([(">tests.Front/relay@front".to_owned(), ok(3))]));
    assert_eq!(edges(front), BTreeMap::from([("tests.Front>tests.Back/ask@node-0".to_owned(), ok(3))]));
    assert_eq!(
        edges(back),
        BTreeMap::from([(">tests.Back/ask@node-0".to_owned(), ok(1))]),
        "on one node, too"
    );
    let served = BTreeMap::from([
        (">tests.Back/ask@front".to_owned(), ok(3)),
        (">tests.Back/ask@node-0".to_owned(), ok(1)),
    ]);
    assert_eq!(told(&back.traffic().served), served);
    shut_down(&nodes).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_measured_unless_somebody_looks() {
    let mesh = Mesh::new();
    let nodes = three(&mesh).await;
    let [caller, ..] = &nodes;
    let client = caller.client::<BackClient>();
    client.ask(1).await.unwrap();
    let first = caller.traffic();
    assert_eq!((first.flows.len(), first.waiting.len()), (0, 0));
    client.ask(1).await.unwrap();
    sleep(secs(9)).await;
    assert_eq!(caller.traffic().flows[0].calls, 1, "nine seconds later it still measures");
    client.ask(1).await.unwrap();
    sleep(secs(11)).await;
    client.ask(1).await.unwrap();
    let second = caller.traffic();
    assert_eq!(second.flows, [], "eleven seconds later it has forgotten, and begins anew");
    assert!(second.since_us > first.since_us && second.clock_us >= second.since_us);
    shut_down(&nodes).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_comes_nowhere_has_no_node() {
    let mesh = Mesh::new();
    let nodes = three(&mesh).await;
    let [_, _, back] = &nodes;
    back.shutdown().await;
    drop(nodes[0].traffic());
    nodes[0].client::<BackClient>().ask(1).timeout(millis(100)).await.unwrap_err();
    assert_eq!(
        told(&nodes[0].traffic().flows),
        BTreeMap::from([(">tests.Back/ask@".to_owned(), (1, failed("no_endpoint", 1), 0))])
    );
    shut_down(&nodes).await;
}

#[tokio::test(start_paused = true)]
async fn services_and_sessions_say_what_they_are_at() {
    let mesh = Mesh::new();
    let nodes = three(&mesh).await;
    let [caller, front, _] = &nodes;
    let client = caller.client::<FrontClient>();
    client.ask().await.unwrap();
    drop(front.traffic());
    let waits = spawn(client.relay_wait(3000));
    sleep(millis(10)).await;
    let behind = spawn(client.ask());
    sleep(secs(2)).await;
    let Traffic { services, waiting, sessions, .. } = front.traffic();
    let load = &services[0];
    assert_eq!((load.service.as_str(), load.ready, load.depth), ("tests.Front", true, 2));
    assert_eq!((load.running.as_deref(), load.held_up.as_deref()), (Some("relay_wait"), None));
    assert!((1990..=2020).contains(&load.running_ms) && load.oldest_ms >= 1990, "{load:?}");
    let [wait] = waiting.as_slice() else { panic!("{waiting:?}") };
    assert_eq!(
        (wait.from.as_str(), wait.handler.as_str(), wait.exclusive),
        ("tests.Front", "relay_wait", true)
    );
    assert_eq!((wait.service.as_str(), wait.method.as_str()), ("tests.Back", "wait"));
    assert_eq!(wait.node, "node-0");
    assert!((1990..=2020).contains(&wait.for_ms));
    assert_eq!(deadlocks([&front.traffic(), &nodes[2].traffic()]), [], "it is slow, and not stuck");

    assert_eq!(sessions.iter().map(|session| session.peer.as_str()).collect::<Vec<_>>().len(), 2);
    let session = sessions.iter().find(|session| session.peer == "caller").unwrap();
    assert_eq!((session.path.as_str(), session.channels), ("memory", 1));
    waits.await.unwrap().unwrap();
    behind.await.unwrap().unwrap();
    let idle = front.traffic();
    assert_eq!((idle.services[0].running.as_deref(), idle.services[0].depth), (None, 0));
    assert_eq!(idle.waiting, []);
    shut_down(&nodes).await;
}

#[tokio::test(start_paused = true)]
async fn two_services_that_wait_for_each_other_are_found() {
    let mesh = Mesh::new();
    let nodes = three(&mesh).await;
    let [caller, front, back] = &nodes;
    let look = || [caller.traffic(), front.traffic(), back.traffic()];
    assert_eq!(deadlocks(&look()), []);
    let stuck = spawn(caller.client::<FrontClient>().forth().timeout(secs(4)));
    sleep(millis(500)).await;
    assert_eq!(deadlocks(&look()), [], "too early to say");
    sleep(secs(1)).await;
    let found = deadlocks(&look());
    let [deadlock] = found.as_slice() else { panic!("{found:?}") };
    let circle = deadlock.circle.iter().map(|(node, wait)| {
        format!(
            "{}/{}@{node} waits for {}/{}@{}",
            wait.from, wait.handler, wait.service, wait.method, wait.node
        )
    });
    let circle: Vec<_> = circle.collect();
    assert!(
        circle.contains(&"tests.Front/forth@front waits for tests.Back/back@node-0".to_owned()),
        "{circle:?}"
    );
    assert!(
        circle.contains(&"tests.Back/back@node-0 waits for tests.Front/ask@front".to_owned()),
        "{circle:?}"
    );
    assert_eq!(circle.len(), 2);
    stuck.await.unwrap().unwrap_err();
    sleep(secs(1)).await;
    assert_eq!(deadlocks(&look()), [], "their time was over");
    shut_down(&nodes).await;
}

#[tokio::test(start_paused = true)]
async fn calls_are_seen_as_they_pass() {
    let mesh = Mesh::new();
    let nodes = three(&mesh).await;
    let [caller, front, _] = &nodes;
    let refused = caller.tap("tests.Back", (0, 10), true, Duration::ZERO).await.unwrap_err();
    assert_eq!((refused.reason(), refused.outcome()), (Reason::Refused, Outcome::NotExecuted));
    assert!(refused.detail().contains("tap_payloads"), "{refused}");

    for node in [caller, front] {
        assert_eq!(node.tap("tests.Back", (0, 10), false, Duration::ZERO).await.unwrap().calls, []);
    }
    front.tap("tests.Back", (0, 10), true, Duration::ZERO).await.unwrap();
    let waiter = spawn({
        let front = front.clone();
        async move { front.tap("tests.Back", (0, 10), true, secs(5)).await.unwrap() }
    });
    caller.client::<FrontClient>().relay(4).await.unwrap();
    let tap = waiter.await.unwrap();
    let [call] = tap.calls.as_slice() else { panic!("{tap:?}") };
    assert_eq!((call.service.as_str(), call.method.as_str()), ("tests.Back", "ask"));
    assert_eq!(
        (call.caller.as_str(), call.from.as_str(), call.node.as_str()),
        ("front", "tests.Front", "node-0")
    );
    assert_eq!((call.status.as_str(), call.seq, tap.missed, tap.next), ("ok", 1, 0, 1));
    assert_eq!(call.payload, Some(serde_json::json!({"number": 4})));

    let client = caller.client::<BackClient>();
    client.fail().await.unwrap_err();
    client.tell().await.unwrap();
    client.sum(Receiver::of([1])).await.unwrap();
    client.wait(50).timeout(millis(20)).await.unwrap_err();
    let tap = caller.tap("tests.Back", (0, 10), false, Duration::ZERO).await.unwrap();
    let calls: Vec<_> = tap.calls.iter().map(|call| (call.method.as_str(), call.status.as_str())).collect();
    let expected = [("fail", "service_error"), ("tell", "ok"), ("sum", "ok"), ("wait", "deadline_exceeded")];
    assert_eq!(calls, expected);
    assert!(tap.calls.iter().all(|call| call.payload.is_none() && call.caller == "caller"));
    assert!((20_000..30_000).contains(&tap.calls[3].duration_us) && !tap.calls[3].detail.is_empty());
    let rest = caller.tap("tests.Back", (tap.calls[1].seq, 1), false, Duration::ZERO).await.unwrap();
    assert_eq!((rest.calls.len(), rest.calls[0].method.as_str(), rest.next), (1, "sum", 3));
    shut_down(&nodes).await;
}

async fn shut_down(nodes: &[Node]) {
    join_all(nodes.iter().map(Node::shutdown)).await;
}
