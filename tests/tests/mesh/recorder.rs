//! What nodes keep of their traces, without any other tool.

use std::time::Duration;

use futures_util::future::join_all;
use qmesh::{Config, Context, Failure, Node, NodeBuilder, Reason, Receiver, SpanInfo, TraceFilter};
use qmesh_tests::{EXPECTED, Mesh, expect_panics, millis, secs, watch};
use tokio::time::sleep;

#[qmesh::service(name = "tests.Front")]
pub(crate) trait Front {
    async fn fast(&self) -> u64;
    async fn slow(&self) -> u64;
    #[oneway]
    async fn tell(&self);
    async fn download(&self) -> Receiver<u64>;
    /// Calls `tests.Back`, which panics.
    async fn breaks(&self, cx: &Context) -> Result<u64, Failure>;
}

#[qmesh::service(name = "tests.Back")]
pub(crate) trait Back {
    async fn panics(&self) -> u64;
}

struct Service;

impl Front for Service {
    async fn fast(&self) -> u64 {
        7
    }

    async fn slow(&self) -> u64 {
        sleep(millis(150)).await;
        7
    }

    async fn tell(&self) {}

    async fn download(&self) -> Receiver<u64> {
        Receiver::of([1])
    }

    async fn breaks(&self, cx: &Context) -> Result<u64, Failure> {
        cx.client::<BackClient>().panics().await
    }
}

impl Back for Service {
    async fn panics(&self) -> u64 {
        panic!("{EXPECTED}")
    }
}

fn keeps(builder: NodeBuilder, per_second: u32) -> NodeBuilder {
    let mut config = Config::local();
    config.kept_traces_per_second = per_second;
    builder.config(config)
}

/// `back`, `front` and `caller`, which keep so many traces each second.
async fn three(mesh: &Mesh, per_second: [u32; 3]) -> [Node; 3] {
    let [back, front, caller] = per_second;
    let back = keeps(mesh.node("node-0"), back).serve(BackServer::new(|| Service));
    let front = keeps(mesh.node("front"), front).serve(FrontServer::new(|| Service));
    let nodes = [
        back.start().await.unwrap(),
        front.start().await.unwrap(),
        keeps(mesh.node("caller"), caller).start().await.unwrap(),
    ];
    watch::agree(&nodes, secs(10)).await;
    nodes
}

fn with_outcome(outcome: &str) -> TraceFilter {
    let mut filter = TraceFilter::default();
    filter.outcome = Some(outcome.to_owned());
    filter
}

/// The spans that all nodes keep of a trace.
fn spans(nodes: &[Node], trace: &str) -> Vec<SpanInfo> {
    nodes.iter().flat_map(|node| node.trace(trace)).collect()
}

/// The spans as lines, each below its parent.
fn tree(spans: &[SpanInfo]) -> Vec<String> {
    fn below(spans: &[SpanInfo], parent: Option<&str>, depth: usize, lines: &mut Vec<String>) {
        let mut children: Vec<_> = spans.iter().filter(|span| span.parent.as_deref() == parent).collect();
        children.sort_by_key(|span| span.unix_us);
        for span in children {
            let SpanInfo { node, kind, name, status, .. } = span;
            lines.push(format!("{}{node}: {kind} {name} {status}", "  ".repeat(depth)).trim_end().to_owned());
            below(spans, Some(&span.span), depth + 1, lines);
        }
    }
    let mut lines = Vec::new();
    below(spans, None, 0, &mut lines);
    assert_eq!(lines.len(), spans.len(), "parents are missing: {lines:#?} of {spans:#?}");
    lines
}

#[tokio::test(start_paused = true)]
async fn a_failed_call_across_three_nodes_is_kept_by_each_of_them() {
    expect_panics();
    let mesh = Mesh::new();
    let nodes = three(&mesh, [50, 50, 50]).await;
    assert!(nodes[2].client::<FrontClient>().breaks().await.is_err());
    sleep(millis(10)).await;
    let failed = nodes[1].traces(&with_outcome("panicked"));
    // The front's own call at the back has failed: its answer to the caller is one of its own, an error.
    assert!(failed.is_empty(), "{failed:#?}");
    let failed = nodes[0].traces(&with_outcome("failed"));
    assert_eq!(failed.len(), 1, "{failed:#?}");
    let call = &failed[0];
    assert_eq!((&*call.service, &*call.method, &*call.kind), ("tests.Back", "panics", "server"));
    assert_eq!((&*call.status, &*call.node, call.peer.as_deref()), ("panicked", "node-0", Some("front")));
    let all = spans(&nodes, &call.trace);
    let expected = [
        "caller: client tests.Front/breaks service_error",
        "  caller: client tests.Front/breaks service_error",
        "    front: server tests.Front/breaks service_error",
        "      front: internal queue",
        "      front: internal handler",
        "        front: client tests.Back/panics panicked",
        "          front: client tests.Back/panics panicked",
        "            node-0: server tests.Back/panics panicked",
        "              node-0: internal queue",
        "              node-0: internal handler panicked",
    ];
    assert_eq!(tree(&all), expected);
    assert!(nodes.iter().all(|node| !node.trace(&call.trace[..6]).is_empty()));
    let of_caller = |span: &&SpanInfo| span.node == "caller" && span.attributes.contains_key("qmesh.attempt");
    let attempt = all.iter().find(of_caller).unwrap();
    assert_eq!(attempt.attributes["qmesh.candidates"], serde_json::json!(["front 1000 connected"]));
    assert_eq!(attempt.attributes["qmesh.path"], "memory");
    assert_eq!(attempt.attributes["qmesh.retries.left"], 8);
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_stays_after_thousands_of_fast_ones() {
    let mesh = Mesh::new();
    let nodes = three(&mesh, [100_000; 3]).await;
    let client = nodes[2].client::<FrontClient>();
    client.fast().await.unwrap();
    client.slow().await.unwrap();
    for _ in 0..50 {
        join_all((0..100).map(|_| async { client.fast().await.unwrap() })).await;
    }
    let mut slow = TraceFilter::default();
    slow.min_ms = 100;
    for node in [&nodes[1], &nodes[2]] {
        let kept = node.traces(&slow);
        assert_eq!(kept.len(), 1, "{kept:#?}");
        assert_eq!(kept[0].method, "slow");
        assert!((150_000..200_000).contains(&kept[0].duration_us), "{kept:#?}");
    }
    let all = spans(&nodes, &nodes[1].traces(&slow)[0].trace);
    assert_eq!(tree(&all).len(), 5);
    let mut everything = TraceFilter::default();
    everything.max = u32::MAX;
    assert_eq!(nodes[1].traces(&everything).len(), 1024, "as many as an answer holds");
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn so_many_traces_are_kept_each_second_and_each_of_them_whole() {
    let mesh = Mesh::new();
    let nodes = three(&mesh, [10, 10, 10]).await;
    let client = nodes[2].client::<FrontClient>();
    sleep(secs(1)).await;
    for _ in 0..3000 {
        client.fast().await.unwrap();
        sleep(millis(1)).await;
    }
    let kept = nodes[2].traces(&TraceFilter::default());
    // A second's worth at once, and what came in three and a bit.
    assert!((38..=42).contains(&kept.len()), "{}", kept.len());
    assert_eq!(nodes[1].traces(&TraceFilter::default()).len(), kept.len());
    for call in &kept {
        assert_eq!(tree(&spans(&nodes, &call.trace)).len(), 5);
    }
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_by_whoever_does_not_want_to_and_what_others_keep_passes_through() {
    expect_panics();
    let mesh = Mesh::new();
    let nodes = three(&mesh, [50, 0, 50]).await;
    let client = nodes[2].client::<FrontClient>();
    client.fast().await.unwrap();
    assert!(client.breaks().await.is_err());
    assert!(client.slow().timeout(Duration::ZERO).await.is_err());
    nodes[1].client::<FrontClient>().fast().await.unwrap();
    assert!(nodes[1].client::<BackClient>().panics().await.is_err());
    sleep(millis(10)).await;
    assert_eq!(nodes[1].traces(&TraceFilter::default()), []);
    assert_eq!(nodes[0].traces(&TraceFilter::default()).len(), 1, "what the middle begins is kept nowhere");
    let call = &nodes[0].traces(&with_outcome("panicked"))[0];
    let expected = [
        "caller: client tests.Front/breaks service_error",
        "  caller: client tests.Front/breaks service_error",
        "    node-0: server tests.Back/panics panicked",
        "      node-0: internal queue",
        "      node-0: internal handler panicked",
    ];
    assert_eq!(tree(&spans(&nodes, &call.trace)), expected);
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn sends_and_calls_with_streams_are_kept_and_so_are_calls_within_a_node() {
    let mesh = Mesh::new();
    let nodes = three(&mesh, [50; 3]).await;
    let client = nodes[2].client::<FrontClient>();
    client.tell().await.unwrap();
    client.tell().try_send().unwrap();
    client.download().await.unwrap().collect().await.unwrap();
    let within = nodes[1].client::<FrontClient>();
    within.fast().await.unwrap();
    nodes[2].call_json("tests.Front", "fast", &serde_json::json!({}), secs(1)).await.unwrap();
    sleep(millis(10)).await;
    let told = |node: &Node| {
        let calls = node.traces(&TraceFilter::default()).into_iter();
        calls.map(|call| format!("{} {} {}", call.kind, call.method, call.status)).collect::<Vec<_>>()
    };
    assert_eq!(
        told(&nodes[2]),
        ["client fast ok", "client download ok", "producer tell ok", "producer tell ok"]
    );
    assert_eq!(
        told(&nodes[1]),
        ["server fast ok", "client fast ok", "server download ok", "consumer tell ok", "consumer tell ok"]
    );
    for call in nodes[2].traces(&TraceFilter::default()) {
        let count = if call.method == "tell" { 4 } else { 5 };
        assert_eq!(tree(&spans(&nodes, &call.trace)).len(), count, "{call:?}");
    }
    let here = &nodes[1].traces(&TraceFilter::default())[1];
    let here = spans(&nodes, &here.trace);
    assert_eq!(tree(&here).len(), 5);
    assert!(here.iter().any(|span| span.attributes.get("qmesh.path") == Some(&"here".into())));
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_call_that_was_not_kept_leaves_one_span() {
    let mesh = Mesh::new();
    let nodes = three(&mesh, [1, 1, 1]).await;
    let client = nodes[2].client::<FrontClient>();
    client.fast().await.unwrap();
    let failure = client.slow().timeout(millis(60)).await.unwrap_err();
    assert_eq!(failure.reason(), Reason::DeadlineExceeded);
    let failed = nodes[2].traces(&with_outcome("failed"));
    assert_eq!(failed.len(), 1, "{failed:#?}");
    let call = &failed[0];
    assert_eq!((&*call.status, call.outcome.as_deref()), ("deadline_exceeded", Some("unknown")));
    assert_eq!((&*call.detail, &*call.node), (failure.detail(), "caller"));
    assert!((60_000..=70_000).contains(&call.duration_us), "{call:?}");
    let left = nodes[2].trace(&call.trace);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].attributes["qmesh.alone"], true);
    // However many fail, they leave no more than there is room for.
    for _ in 0..5000 {
        assert!(client.slow().timeout(Duration::ZERO).await.is_err());
    }
    assert_eq!(nodes[2].traces(&with_outcome("failed")).len(), 100);
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_service_refuses_is_kept_where_it_was_refused() {
    let mesh = Mesh::new();
    let front = FrontServer::new(|| Service).authorize(|_, _, _| qmesh::Decision::Deny);
    let nodes = [
        keeps(mesh.node("node-0"), 50).serve(front).start().await.unwrap(),
        keeps(mesh.node("caller"), 0).start().await.unwrap(),
    ];
    watch::agree(&nodes, secs(10)).await;
    assert_eq!(nodes[1].client::<FrontClient>().fast().await.unwrap_err().reason(), Reason::Refused);
    let refused = nodes[0].traces(&with_outcome("refused"));
    assert_eq!(refused.len(), 1, "{refused:#?}");
    assert_eq!((&*refused[0].kind, refused[0].peer.as_deref()), ("server", Some("caller")));
    Mesh::end(nodes).await;
}
