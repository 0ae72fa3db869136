//! One call, one trace: whatever its shape, and wherever it goes.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use futures_util::StreamExt as _;
use opentelemetry::{
    Context as OtelContext, KeyValue,
    baggage::BaggageExt as _,
    trace::{
        FutureExt as _, SpanContext, TraceContextExt as _, TraceState, Tracer as _, TracerProvider as _,
    },
};
use qmesh::{CallError, Context, Failure, Node, Reason, Receiver, Sampling};
use qmesh_tests::{EXPECTED, Mesh, expect_panics, millis, secs, spans::Spans, watch};
use tokio::time::{sleep, timeout};

#[qmesh::service(name = "tests.Traced")]
pub(crate) trait Traced {
    async fn ask(&self) -> u64;
    async fn alter(&mut self) -> Result<u64, String>;
    #[oneway]
    async fn tell(&mut self);
    async fn download(&self) -> Receiver<u64>;
    async fn upload(&mut self, numbers: Receiver<u64>) -> u64;
    #[idempotent]
    async fn panics_once(&self) -> u64;
    async fn wait(&self, millis: u64);
    /// Calls `tests.Below` twice: at once, and after a pause.
    async fn nested(&self, cx: &Context) -> Result<String, Failure>;
}

#[qmesh::service(name = "tests.Below")]
pub(crate) trait Below {
    /// What OpenTelemetry's current context has.
    async fn seen(&self, cx: &Context) -> String;
}

#[derive(Default)]
struct Service;

static PANICKED: AtomicBool = AtomicBool::new(false);

impl Traced for Service {
    async fn ask(&self) -> u64 {
        7
    }

    async fn alter(&mut self) -> Result<u64, String> {
        Err("no".to_owned())
    }

    async fn tell(&mut self) {}

    async fn download(&self) -> Receiver<u64> {
        Receiver::of([1, 2])
    }

    async fn upload(&mut self, numbers: Receiver<u64>) -> u64 {
        numbers.count().await as u64
    }

    async fn panics_once(&self) -> u64 {
        assert!(PANICKED.swap(true, Relaxed), "{EXPECTED}");
        7
    }

    async fn wait(&self, millis: u64) {
        sleep(Duration::from_millis(millis)).await;
    }

    async fn nested(&self, cx: &Context) -> Result<String, Failure> {
        let below = cx.client::<BelowClient>();
        let first = below.seen().await?;
        sleep(millis(5)).await;
        assert_eq!(below.seen().await?, first);
        Ok(first)
    }
}

impl Below for Service {
    async fn seen(&self, _cx: &Context) -> String {
        let context = OtelContext::current();
        let baggage = context.baggage().get("tenant").map(ToString::to_string).unwrap_or_default();
        let span = context.span().span_context().clone();
        format!("{baggage} {} {}", span.trace_state().header(), span.is_sampled())
    }
}

/// `caller`, `far` which serves `tests.Traced`, and `below` which serves `tests.Below`; all of them are recorded.
async fn three(mesh: &Mesh, sampling: Sampling) -> (Spans, [Node; 3]) {
    let mut spans = Spans::default();
    let below = mesh.node("node-0").serve(BelowServer::new(Service::default));
    let far = mesh.node("far").serve(TracedServer::new(Service::default));
    let nodes = [
        spans.record("below", below, Sampling::Always).start().await.unwrap(),
        spans.record("far", far, Sampling::Always).start().await.unwrap(),
        spans.record("caller", mesh.node("caller"), sampling).start().await.unwrap(),
    ];
    watch::agree(&nodes, secs(10)).await;
    (spans, nodes)
}

/// Waits until so many spans have ended, and no more come; the tree of them.
async fn tree(spans: &Spans, count: usize) -> Vec<String> {
    let all = timeout(secs(10), async {
        while spans.all().len() < count {
            sleep(millis(1)).await;
        }
    });
    assert!(all.await.is_ok(), "{:#?}", spans.tree());
    sleep(millis(100)).await;
    let tree = spans.tree();
    spans.reset();
    tree
}

#[tokio::test(start_paused = true)]
async fn a_call_of_every_shape_is_one_trace() {
    let mesh = Mesh::new();
    let (spans, nodes) = three(&mesh, Sampling::Always).await;
    let client = nodes[2].client::<TracedClient>();

    client.ask().await.unwrap();
    let unary = |method: &str, caller_says: &str, service_says: &str| {
        vec![
            format!("caller: client tests.Traced/{method} {caller_says}"),
            format!("  caller: client tests.Traced/{method} #1 @far {caller_says}"),
            format!("    far: server tests.Traced/{method} @caller {service_says}"),
            "      far: queue".to_owned(),
            "      far: handler".to_owned(),
        ]
    };
    assert_eq!(tree(&spans, 5).await, unary("ask", "=ok", "=ok"));

    assert!(matches!(client.alter().await, Err(CallError::Service(_))));
    let own_error = "=service_error !service_error";
    assert_eq!(tree(&spans, 5).await, unary("alter", own_error, own_error));

    client.tell().await.unwrap();
    let one_way = [
        "caller: producer tests.Traced/tell =ok",
        "  far: consumer tests.Traced/tell @caller =ok",
        "    far: queue",
        "    far: handler",
    ];
    assert_eq!(tree(&spans, 4).await, one_way);
    client.tell().try_send().unwrap();
    assert_eq!(tree(&spans, 4).await, one_way);

    let items = client.download().await.unwrap().collect().await.unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!(tree(&spans, 5).await, unary("download", "=ok", "=ok"));

    assert_eq!(client.upload(Receiver::of([1, 2, 3])).await.unwrap(), 3);
    assert_eq!(tree(&spans, 5).await, unary("upload", "=ok", "=ok"));

    let failure = client.wait(1000).timeout(millis(20)).await.unwrap_err();
    assert_eq!(failure.reason(), Reason::DeadlineExceeded);
    let mut late = unary(
        "wait",
        "=deadline_exceeded !deadline_exceeded ?unknown (error)",
        "=cancelled !cancelled (error)",
    );
    late[0] = "caller: client tests.Traced/wait @far =deadline_exceeded !deadline_exceeded ?unknown (error)"
        .to_owned();
    late[4] += " (error)";
    assert_eq!(tree(&spans, 5).await, late);

    drop(timeout(millis(5), async { client.wait(1000).await }).await);
    let mut given_up = unary("wait", "=cancelled !cancelled (error)", "=cancelled !cancelled (error)");
    given_up[4] += " (error)";
    assert_eq!(tree(&spans, 5).await, given_up);
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_within_a_node_is_a_trace_too() {
    let mesh = Mesh::new();
    let (spans, nodes) = three(&mesh, Sampling::Always).await;
    let client = nodes[1].client::<TracedClient>();
    client.ask().await.unwrap();
    let expected = |method: &str| {
        [
            format!("far: client tests.Traced/{method} =ok"),
            format!("  far: client tests.Traced/{method} #1 @far =ok"),
            format!("    far: server tests.Traced/{method} @far =ok"),
            "      far: queue".to_owned(),
            "      far: handler".to_owned(),
        ]
    };
    assert_eq!(tree(&spans, 5).await, expected("ask"));
    client.download().await.unwrap();
    assert_eq!(tree(&spans, 5).await, expected("download"));
    nodes[1].call_json("tests.Traced", "ask", &serde_json::json!({}), secs(1)).await.unwrap();
    assert_eq!(tree(&spans, 5).await, expected("ask"));
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_a_handler_are_below_it_and_baggage_and_state_go_along() {
    let mesh = Mesh::new();
    let (spans, nodes) = three(&mesh, Sampling::Always).await;
    let client = nodes[2].client::<TracedClient>();
    let tracer = spans.provider("caller").tracer("a program");
    let root = OtelContext::new().with_span(tracer.start("the program's own"));
    let root = root.with_baggage([KeyValue::new("tenant", "blue")]);
    assert_eq!(client.nested().with_context(root.clone()).await.unwrap(), "blue  true");
    root.span().end();
    let mut expected = vec![
        "caller: the program's own".to_owned(),
        "  caller: client tests.Traced/nested =ok".to_owned(),
        "    caller: client tests.Traced/nested #1 @far =ok".to_owned(),
        "      far: server tests.Traced/nested @caller =ok".to_owned(),
        "        far: queue".to_owned(),
        "        far: handler".to_owned(),
    ];
    for _ in 0..2 {
        expected.extend([
            "          far: client tests.Below/seen =ok".to_owned(),
            "            far: client tests.Below/seen #1 @node-0 =ok".to_owned(),
            "              below: server tests.Below/seen @far =ok".to_owned(),
            "                below: queue".to_owned(),
            "                below: handler".to_owned(),
        ]);
    }
    assert_eq!(tree(&spans, expected.len()).await, expected);
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn a_repeated_call_has_a_span_for_each_attempt() {
    expect_panics();
    let mesh = Mesh::new();
    let (spans, nodes) = three(&mesh, Sampling::Always).await;
    assert_eq!(nodes[2].client::<TracedClient>().panics_once().await.unwrap(), 7);
    let expected = [
        "caller: client tests.Traced/panics_once =ok",
        "  caller: client tests.Traced/panics_once #1 @far =panicked !panicked ?unknown (error)",
        "    far: server tests.Traced/panics_once @caller =panicked !panicked (error)",
        "      far: queue",
        "      far: handler (error)",
        "  caller: client tests.Traced/panics_once #2 @far =ok",
        "    far: server tests.Traced/panics_once @caller =ok",
        "      far: queue",
        "      far: handler",
    ];
    assert_eq!(tree(&spans, expected.len()).await, expected);
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_recorded_at_its_beginning_is_recorded_nowhere() {
    let mesh = Mesh::new();
    let (spans, nodes) = three(&mesh, Sampling::Never).await;
    let client = nodes[2].client::<TracedClient>();
    for _ in 0..10 {
        client.ask().await.unwrap();
        client.tell().await.unwrap();
        drop(client.download().await.unwrap());
        assert_eq!(client.nested().await.unwrap(), "  false");
    }
    let baggage = OtelContext::new().with_baggage([KeyValue::new("tenant", "blue")]);
    assert_eq!(client.nested().with_context(baggage).await.unwrap(), "blue  false");
    let unsampled = SpanContext::new(7.into(), 8.into(), Default::default(), true, TraceState::default());
    let unsampled = OtelContext::new().with_remote_span_context(unsampled);
    assert_eq!(client.nested().with_context(unsampled).await.unwrap(), "  false");
    sleep(secs(1)).await;
    assert_eq!(spans.tree(), Vec::<String>::new());
    // A trace that begins with these is another one.
    nodes[1].client::<TracedClient>().ask().await.unwrap();
    assert_eq!(tree(&spans, 5).await.len(), 5);
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn a_share_of_the_traces_is_recorded_and_each_of_them_whole() {
    let mesh = Mesh::new();
    let (spans, nodes) = three(&mesh, Sampling::Ratio(0.25)).await;
    let client = nodes[2].client::<TracedClient>();
    let mut recorded = 0;
    for _ in 0..400 {
        client.ask().await.unwrap();
        let before = spans.all().len();
        if before > 0 {
            assert_eq!(tree(&spans, 5).await.len(), 5);
            recorded += 1;
        }
    }
    // Further away than that it is in one of ten million runs.
    assert!((50..150).contains(&recorded), "{recorded} of 400");
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_without_telemetry_hands_a_trace_on() {
    let mesh = Mesh::new();
    let mut spans = Spans::default();
    let nodes = [
        spans
            .record("below", mesh.node("node-0").serve(BelowServer::new(Service::default)), Sampling::Always)
            .start()
            .await
            .unwrap(),
        mesh.node("far").serve(TracedServer::new(Service::default)).start().await.unwrap(),
        spans.record("caller", mesh.node("caller"), Sampling::Always).start().await.unwrap(),
    ];
    watch::agree(&nodes, secs(10)).await;
    let context = OtelContext::new().with_baggage([KeyValue::new("tenant", "blue")]);
    let state = TraceState::from_key_value([("vendor", "x")]).unwrap();
    let parent = SpanContext::new(7.into(), 8.into(), opentelemetry::trace::TraceFlags::SAMPLED, true, state);
    let client = nodes[2].client::<TracedClient>();
    assert_eq!(
        client.nested().with_context(context.with_remote_span_context(parent)).await.unwrap(),
        "blue vendor=x true"
    );
    sleep(secs(1)).await;
    let all = spans.all();
    let of = |node: &str| all.iter().filter(|(of, _)| of == node).map(|(_, span)| span).collect::<Vec<_>>();
    let (caller, below) = (of("caller"), of("below"));
    assert_eq!((caller.len(), below.len()), (2, 6));
    let attempt =
        caller.iter().find(|span| span.attributes.iter().any(|a| a.key.as_str() == "qmesh.attempt")).unwrap();
    let server = below.iter().filter(|span| span.parent_span_is_remote).collect::<Vec<_>>();
    assert_eq!(server.len(), 2);
    assert!(server.iter().all(|span| span.parent_span_id == attempt.span_context.span_id()));
    assert!(all.iter().all(|(_, span)| span.span_context.trace_id() == 7.into()));
    // A call that brings no trace begins one where it comes to a node with telemetry.
    spans.reset();
    nodes[1].client::<BelowClient>().seen().await.unwrap();
    let expected = ["below: server tests.Below/seen @far =ok", "  below: queue", "  below: handler"];
    assert_eq!(tree(&spans, 3).await, expected);
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn refused_calls_are_on_record() {
    let mesh = Mesh::new();
    let mut spans = Spans::default();
    let server = TracedServer::new(Service::default).queue(1).authorize(|_, _, method| match method {
        "tell" | "upload" | "ask" => qmesh::Decision::Deny,
        _ => qmesh::Decision::Allow,
    });
    let nodes = [
        spans.record("far", mesh.node("node-0").serve(server), Sampling::Always).start().await.unwrap(),
        spans.record("caller", mesh.node("caller"), Sampling::Always).start().await.unwrap(),
    ];
    watch::agree(&nodes, secs(10)).await;
    let client = nodes[1].client::<TracedClient>();
    assert_eq!(client.ask().await.unwrap_err().reason(), Reason::Refused);
    let refused = "=refused !refused ?not_executed (error)";
    let expected = |method: &str| {
        [
            format!("caller: client tests.Traced/{method} @node-0 {refused}"),
            format!("  caller: client tests.Traced/{method} #1 @node-0 {refused}"),
            format!("    far: server tests.Traced/{method} @caller {refused}"),
        ]
    };
    assert_eq!(tree(&spans, 3).await, expected("ask"));
    assert_eq!(client.upload(Receiver::of([1])).await.unwrap_err().reason(), Reason::Refused);
    assert_eq!(tree(&spans, 3).await, expected("upload"));
    assert_eq!(client.tell().await.unwrap_err().reason(), Reason::Refused);
    let sent = tree(&spans, 2).await;
    assert_eq!(sent[1], format!("  far: consumer tests.Traced/tell @caller {refused}"));
    // The second call waits until its time is over.
    let (first, second) = tokio::join!(client.wait(3000).timeout(secs(5)), async {
        sleep(millis(20)).await;
        client.wait(1).timeout(secs(1)).await
    });
    assert!(first.is_ok());
    assert_eq!(second.unwrap_err().reason(), Reason::Overloaded);
    let all = spans.all();
    let overloaded = all.iter().filter(|(node, span)| {
        node == "far" && span.attributes.iter().any(|attribute| attribute.value.as_str() == "overloaded")
    });
    assert!(overloaded.count() > 0, "{all:#?}");
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn spans_of_the_handlers_own_are_below_its_span() {
    use tracing_subscriber::layer::SubscriberExt as _;

    #[qmesh::service(name = "tests.Spanning")]
    pub(crate) trait Spanning {
        async fn work(&self, cx: &Context) -> Result<String, Failure>;
    }
    struct Spanned;
    impl Spanning for Spanned {
        async fn work(&self, cx: &Context) -> Result<String, Failure> {
            let below = cx.client::<BelowClient>();
            let span = tracing::info_span!("of the handler");
            let call = async move { below.seen().await };
            tracing::Instrument::instrument(call, span).await
        }
    }

    let mesh = Mesh::new();
    let mut spans = Spans::default();
    let below = mesh.node("node-0").serve(BelowServer::new(Service::default));
    let far = mesh.node("far").serve(SpanningServer::new(|| Spanned));
    let nodes = [
        spans.record("below", below, Sampling::Always).start().await.unwrap(),
        spans.record("far", far, Sampling::Always).start().await.unwrap(),
    ];
    watch::agree(&nodes, secs(10)).await;
    let layer = tracing_opentelemetry::layer().with_tracer(spans.provider("far").tracer("a program"));
    let filter = tracing_subscriber::filter::filter_fn(|metadata| metadata.name() == "of the handler");
    let layer = tracing_subscriber::Layer::with_filter(layer, filter);
    let _subscriber = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    nodes[0].client::<SpanningClient>().work().await.unwrap();
    let expected = [
        "below: client tests.Spanning/work =ok",
        "  below: client tests.Spanning/work #1 @far =ok",
        "    far: server tests.Spanning/work @node-0 =ok",
        "      far: queue",
        "      far: handler",
        "        far: of the handler",
        "          far: client tests.Below/seen =ok",
        "            far: client tests.Below/seen #1 @node-0 =ok",
        "              below: server tests.Below/seen @far =ok",
        "                below: queue",
        "                below: handler",
    ];
    assert_eq!(tree(&spans, expected.len()).await, expected);
    Mesh::end(nodes).await;
}
