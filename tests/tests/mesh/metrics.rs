//! What a node measures and counts, and whether `docs/METRICS.md` says so.

use std::{collections::BTreeMap, fs, time::Duration};

use opentelemetry_sdk::metrics::{
    InMemoryMetricExporter, SdkMeterProvider,
    data::{AggregatedMetrics, MetricData, ResourceMetrics},
};
use qmesh::{Context, Node, Receiver, Telemetry};
use qmesh_tests::{EXPECTED, Mesh, expect_panics, millis, secs, watch};
use tokio::time::{sleep, timeout};

#[qmesh::service(name = "tests.Measured")]
pub(crate) trait Measured {
    async fn ask(&self) -> u64;
    async fn fail(&mut self) -> Result<(), String>;
    async fn panic(&self);
    async fn wait(&self, cx: &Context, millis: u64);
    #[oneway]
    async fn tell(&mut self);
    async fn sum(&self, numbers: Receiver<u64>) -> u64;
    async fn secret(&self);
}

struct Service;

impl Measured for Service {
    async fn ask(&self) -> u64 {
        7
    }

    async fn fail(&mut self) -> Result<(), String> {
        Err("no".to_owned())
    }

    async fn panic(&self) {
        panic!("{EXPECTED}");
    }

    async fn wait(&self, _cx: &Context, millis: u64) {
        sleep(Duration::from_millis(millis)).await;
    }

    async fn tell(&mut self) {}

    async fn sum(&self, numbers: Receiver<u64>) -> u64 {
        numbers.collect().await.map_or(0, |numbers| numbers.iter().sum())
    }

    async fn secret(&self) {}
}

/// The meter of one node.
struct Meter(SdkMeterProvider, InMemoryMetricExporter);

/// For each set of attributes, a number.
type Points = BTreeMap<Vec<(String, String)>, f64>;

/// A metric as it was exported: its kind, its unit, and for each set of attributes its number (of a histogram, its count).
#[derive(Debug, Default)]
struct Exported {
    kind: &'static str,
    unit: String,
    points: Points,
}

impl Meter {
    fn new() -> Self {
        let exporter = InMemoryMetricExporter::default();
        Self(SdkMeterProvider::builder().with_periodic_exporter(exporter.clone()).build(), exporter)
    }

    fn read(&self) -> BTreeMap<String, Exported> {
        self.0.force_flush().unwrap();
        let read = self.1.get_finished_metrics().unwrap();
        let all = exported(read.last().expect("the node tells of itself"));
        self.1.reset();
        all
    }
}

fn exported(read: &ResourceMetrics) -> BTreeMap<String, Exported> {
    let mut all = BTreeMap::new();
    for scope in read.scope_metrics() {
        assert_eq!(scope.scope().name(), "qmesh");
        for metric in scope.metrics() {
            let (kind, points) = match metric.data() {
                AggregatedMetrics::U64(data) => points(data, |number| *number as f64),
                AggregatedMetrics::F64(data) => points(data, |number| *number),
                AggregatedMetrics::I64(_) => panic!("{} counts below 0", metric.name()),
            };
            let metrics = Exported { kind, unit: metric.unit().to_owned(), points };
            let twice = all.insert(metric.name().to_owned(), metrics);
            assert!(twice.is_none(), "{} is there twice", metric.name());
        }
    }
    all
}

fn points<T>(data: &MetricData<T>, number: impl Fn(&T) -> f64) -> (&'static str, Points)
where
    T: Copy,
{
    let labels = |attributes: &mut dyn Iterator<Item = &opentelemetry::KeyValue>| {
        let mut labels: Vec<_> = attributes.map(|one| (one.key.to_string(), one.value.to_string())).collect();
        labels.sort();
        labels
    };
    match data {
        MetricData::Gauge(gauge) => (
            "gauge",
            gauge
                .data_points()
                .map(|point| (labels(&mut point.attributes()), number(&point.value())))
                .collect(),
        ),
        MetricData::Sum(sum) => {
            assert!(sum.is_monotonic());
            let points = sum.data_points();
            (
                "counter",
                points.map(|point| (labels(&mut point.attributes()), number(&point.value()))).collect(),
            )
        }
        MetricData::Histogram(histogram) => {
            let points = histogram.data_points();
            (
                "histogram",
                points.map(|point| (labels(&mut point.attributes()), point.count() as f64)).collect(),
            )
        }
        MetricData::ExponentialHistogram(_) => panic!("no histogram of this kind is used"),
    }
}

impl Exported {
    /// The sum of all points that have this label.
    fn of(&self, key: &str, value: &str) -> f64 {
        let has =
            |labels: &[(String, String)]| labels.iter().any(|(one, other)| one == key && other == value);
        self.points.iter().filter(|(labels, _)| has(labels)).map(|(_, number)| number).sum()
    }

    fn sum(&self) -> f64 {
        self.points.values().sum()
    }
}

async fn two(mesh: &Mesh) -> (Meter, Meter, [Node; 2]) {
    expect_panics();
    let (serving, calling) = (Meter::new(), Meter::new());
    let server = MeasuredServer::new(|| Service).authorize(|_, _, method| match method {
        "secret" => qmesh::Decision::Deny,
        _ => qmesh::Decision::Allow,
    });
    let node = mesh.node("node-0").serve(server).telemetry(Telemetry::none().metrics(&serving.0));
    let caller = mesh.node("caller").telemetry(Telemetry::none().metrics(&calling.0));
    let nodes = [node.start().await.unwrap(), caller.start().await.unwrap()];
    watch::agree(&nodes, secs(10)).await;
    (serving, calling, nodes)
}

/// A bit of everything.
async fn work(node: &Node) {
    let client = node.client::<MeasuredClient>();
    for _ in 0..3 {
        client.ask().await.unwrap();
    }
    assert!(client.fail().await.is_err());
    assert!(client.panic().await.is_err());
    assert!(client.secret().await.is_err());
    assert!(client.wait(1000).timeout(millis(100)).await.is_err());
    assert!(timeout(millis(10), async { client.wait(1000).await }).await.is_err());
    client.tell().await.unwrap();
    assert_eq!(client.sum(Receiver::of([1, 2])).await.unwrap(), 3);
    node.call_json("tests.Measured", "ask", &serde_json::json!({}), secs(1)).await.unwrap();
    sleep(secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn calls_are_measured_on_both_sides_and_the_books_are_even() {
    let mesh = Mesh::new();
    let (serving, calling, nodes) = two(&mesh).await;
    work(&nodes[1]).await;
    let (service, caller) = (serving.read(), calling.read());
    let (service_took, caller_took) =
        (&service["rpc.server.call.duration"], &caller["rpc.client.call.duration"]);
    for (method, calls) in
        [("ask", 3.0), ("fail", 1.0), ("panic", 1.0), ("tell", 1.0), ("sum", 1.0), ("wait", 2.0)]
    {
        let method = format!("tests.Measured/{method}");
        assert_eq!(caller_took.of("rpc.method", &method), calls, "{method} at its caller");
    }
    assert_eq!(service_took.of("rpc.method", "tests.Measured/ask"), 4.0);
    assert_eq!(caller_took.of("rpc.method", "_OTHER"), 1.0);
    assert_eq!(service_took.of("rpc.method", "_OTHER"), 0.0);
    let statuses = |took: &Exported| {
        let codes = ["ok", "service_error", "panicked", "refused", "deadline_exceeded", "cancelled"];
        codes.map(|code| took.of("rpc.response.status_code", code))
    };
    assert_eq!(statuses(caller_took), [6.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    // The handlers of those that nobody waited for any more were dropped.
    assert_eq!(statuses(service_took), [6.0, 1.0, 1.0, 1.0, 0.0, 2.0]);
    let ended = &caller["qmesh.calls.ended"];
    let ends = ["answered", "service_error", "not_executed", "unknown", "given_up", "not_sent"];
    assert_eq!(ends.map(|end| ended.of("qmesh.end", end)), [6.0, 1.0, 1.0, 2.0, 1.0, 0.0]);
    assert_eq!(ended.sum(), caller["qmesh.calls.started"].sum());
    assert_eq!(caller_took.sum(), ended.sum());

    // Another one is under way.
    let client = nodes[1].client::<MeasuredClient>();
    let under_way = qmesh_tests::spawn(async move { client.wait(5000).await });
    sleep(millis(500)).await;
    let (service, caller) = (serving.read(), calling.read());
    assert_eq!(caller["qmesh.calls.started"].sum() - caller["qmesh.calls.ended"].sum(), 1.0);
    assert_eq!(service["qmesh.service.queue.depth"].of("qmesh.service", "tests.Measured"), 1.0);
    assert_eq!(service["qmesh.service.restarts"].of("qmesh.service", "tests.Measured"), 1.0);
    assert_eq!(service["qmesh.sessions"].of("qmesh.path", "memory"), 1.0);
    assert_eq!(service["qmesh.calls.refused"].sum(), 1.0);
    under_way.await.unwrap().unwrap();
    Mesh::end(nodes).await;
    let last = calling.read();
    assert_eq!(
        last["qmesh.calls.started"].sum(),
        last["qmesh.calls.ended"].sum(),
        "the books of a node outlive it"
    );
    assert!(!last.contains_key("qmesh.sessions"), "it tells nothing else");
}

/// The table of `docs/METRICS.md`: by name, the kind, the unit, the labels, and whether it may be absent.
fn documented() -> BTreeMap<String, (String, String, Vec<String>, bool)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/METRICS.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, table) = text.split_once("| metric |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let row = |line: &str| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, unit, labels, question] = cells[..] else { panic!("{line}") };
        let labels = labels.split(", ").filter(|label| !label.is_empty());
        let mut labels: Vec<_> = labels.map(|label| label.trim_matches('`').to_owned()).collect();
        labels.push("qmesh.node".to_owned());
        labels.sort();
        (
            name.trim_matches('`').to_owned(),
            (kind.to_owned(), unit.to_owned(), labels, question.contains("Absent until")),
        )
    };
    rows.map(row).collect()
}

#[tokio::test(start_paused = true)]
async fn the_page_of_metrics_is_what_a_node_exports() {
    let mesh = Mesh::new();
    let (serving, calling, nodes) = two(&mesh).await;
    work(&nodes[1]).await;
    work(&nodes[0]).await;
    let mut all = serving.read();
    for (name, exported) in calling.read() {
        all.entry(name).or_default().points.extend(exported.points);
    }
    let documented = documented();
    for (name, exported) in &all {
        let (kind, unit, labels, _) =
            documented.get(name).unwrap_or_else(|| panic!("docs/METRICS.md has no {name}"));
        assert_eq!((exported.kind, &exported.unit), (kind.as_str(), unit), "{name}");
        let mut seen: Vec<_> = exported.points.keys().flatten().map(|(key, _)| key.clone()).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(&seen, labels, "the labels of {name}");
    }
    for (name, (.., may_be_absent)) in &documented {
        assert!(*may_be_absent || all.contains_key(name), "nothing exports {name}");
    }
    Mesh::end(nodes).await;
}
