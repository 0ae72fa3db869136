//! Streams on standard input and output.

use std::time::Duration;

use qmesh::{Identity, Node, Receiver, Sender, stream};
use serde_json::{Value, json};
use tokio::{sync::watch, time::timeout};

use crate::host::Host;

/// What a service of the test saw of its streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    taken: Vec<u64>,
    /// How the caller's stream ended.
    end: Option<Result<(), String>>,
    given: u64,
    /// Nobody receives the service's stream any more.
    gone: bool,
}

#[qmesh::service(name = "tests.Flow")]
trait Flow {
    async fn take(&mut self, numbers: Receiver<u64>) -> u64;
    async fn give(&self, cx: &qmesh::Context) -> Receiver<u64>;
    async fn hold(&self, numbers: Receiver<u64>) -> u64;
}

struct Watched(watch::Sender<Seen>);

impl Flow for Watched {
    async fn take(&mut self, mut numbers: Receiver<u64>) -> u64 {
        let end = loop {
            match numbers.recv().await {
                Ok(Some(number)) => self.0.send_modify(|seen| seen.taken.push(number)),
                Ok(None) => break Ok(()),
                Err(failure) => break Err(failure.detail().to_owned()),
            }
        };
        self.0.send_modify(|seen| seen.end = Some(end));
        self.0.borrow().taken.iter().sum()
    }

    async fn give(&self, cx: &qmesh::Context) -> Receiver<u64> {
        let (sender, receiver) = stream(4);
        let seen = self.0.clone();
        cx.spawn(async move { give_all(&sender, &seen).await });
        receiver
    }

    async fn hold(&self, numbers: Receiver<u64>) -> u64 {
        let _held = numbers;
        std::future::pending().await
    }
}

async fn give_all(sender: &Sender<u64>, seen: &watch::Sender<Seen>) {
    for number in 0.. {
        if sender.send(number).await.is_err() {
            seen.send_modify(|seen| seen.gone = true);
            return;
        }
        seen.send_modify(|seen| seen.given += 1);
    }
}

/// A host with a node of the test itself, which the command lines reach through another one.
struct Scene {
    host: Host,
    node: Node,
    seen: watch::Receiver<Seen>,
    _dev: crate::host::Running,
}

impl Scene {
    async fn new() -> Self {
        let host = Host::new();
        let dev = host.dev().await;
        let (sender, seen) = watch::channel(Seen::default());
        let data_dir = host.path().join(".qmesh");
        let identity = Identity::dev(&data_dir).unwrap();
        let server = FlowServer::new(move || Watched(sender.clone()));
        let node =
            Node::builder("flow").identity(identity).data_dir(&data_dir).serve(server).start().await.unwrap();
        host.eventually(&["services", "--node", "dev"], |services| {
            services.to_string().contains("tests.Flow")
        })
        .await;
        Self { host, node, seen, _dev: dev }
    }

    async fn until(&mut self, holds: impl Fn(&Seen) -> bool) {
        let wanted = timeout(Duration::from_secs(60), self.seen.wait_for(|seen| holds(seen))).await;
        drop(wanted.expect("it is seen within a minute").unwrap());
    }
}

#[tokio::test]
async fn a_talk_goes_both_ways_at_once() {
    let host = Host::new();
    let _dev = host.dev().await;
    let _other = host.start(&["serve", "clock.Clock", "--name", "b"]).await;
    // Otherwise the command says that it waits.
    host.eventually(&["services", "--node", "b"], |services| services.to_string().contains("echo.Echo"))
        .await;
    // Served by the node that is asked, and by another one.
    for node in ["dev", "b"] {
        let mut talk = host.talk(&["call", "echo.Echo/Repeat", "--node", node]);
        for text in [r#""one""#, r#""two""#, "", r#""three""#] {
            talk.say(text).await;
            if !text.is_empty() {
                assert_eq!(
                    talk.hear().await.as_deref(),
                    Some(text),
                    "{node}: an item comes as soon as it was said"
                );
            }
        }
        let ran = talk.ended().await;
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", ""), "{node}: {ran:?}");
        let counted = host.run_with_input(&["call", "echo.Echo/count", "--node", node], "\"a\"\n\"b\"").await;
        assert_eq!((counted.code, counted.stdout.as_str()), (0, "2\n"), "{node}: {counted:?}");
        let ticks =
            host.run(&["call", "clock.Clock/ticks", r#"{"every_ms":1,"count":3}"#, "--node", node]).await;
        assert_eq!((ticks.code, ticks.stdout.lines().count()), (0, 3), "{node}: {ticks:?}");
        for line in ticks.stdout.lines() {
            assert!(serde_json::from_str::<Value>(line).unwrap()["unix_ms"].is_i64(), "{line}");
        }
    }
}

#[tokio::test]
async fn a_service_says_which_of_its_methods_have_streams() {
    let host = Host::new();
    let _dev = host.dev().await;
    let methods = host.json(&["services", "echo.Echo"]).await;
    let repeat = &methods[1];
    assert_eq!(
        *repeat,
        json!({
            "service": "echo.Echo", "name": "repeat", "signature": "repeat(texts: Receiver<String>) -> Receiver<String>",
            "one_way": false, "idempotent": false, "upload": true, "download": true,
        })
    );
    let unknown = host.run(&["services", "clock.Clok"]).await;
    assert!(unknown.code == 5 && unknown.stderr.contains("known are clock.Clock, echo.Echo"), "{unknown:?}");
    let table = host.run(&["services", "clock.Clock"]).await.stdout;
    let ticks = "ticks(every_ms: u64, count: Option<u64>) -> Receiver<Reading>  out\n";
    assert!(table.starts_with("METHOD") && table.contains(ticks), "{table}");
}

#[tokio::test]
async fn a_line_that_is_no_json_cuts_the_stream_and_says_where() {
    let mut scene = Scene::new().await;
    let input = "1\n\n2\nthree\n4\n";
    let ran = scene.host.run_with_input(&["call", "tests.Flow/take", "--node", "dev"], input).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    for part in
        ["line 4 of standard input is no JSON", "at column 2", "write one JSON value per line", "is cut"]
    {
        assert!(ran.stderr.contains(part), "`{part}` is not in {}", ran.stderr);
    }
    scene.until(|seen| seen.end.is_some()).await;
    let seen = scene.seen.borrow().clone();
    assert_eq!(seen.taken, [1, 2]);
    let cut = seen.end.unwrap().unwrap_err();
    assert!(cut.contains("line 4 of standard input"), "the service is told why: {cut}");

    let ran = scene.host.run_with_input(&["call", "tests.Flow/take", "-", "--node", "dev"], "{}").await;
    assert!(ran.code == 2 && ran.stderr.contains("write the arguments on the command line"), "{ran:?}");
    scene.node.shutdown().await;
}

#[tokio::test]
async fn an_interrupted_call_is_cancelled_and_its_stream_is_cut() {
    let mut scene = Scene::new().await;
    let mut talk = scene.host.talk(&["call", "tests.Flow/take", "--node", "dev"]);
    talk.say("7").await;
    scene.until(|seen| seen.taken == [7]).await;
    talk.interrupt().await;
    assert_eq!(talk.ended_by_itself().await.code, 130);
    scene.until(|seen| seen.end.is_some()).await;
    assert!(scene.seen.borrow().end.clone().unwrap().is_err(), "it does not look complete");
    scene.node.shutdown().await;
}

#[tokio::test]
async fn a_reader_that_goes_away_has_had_enough() {
    let mut scene = Scene::new().await;
    let mut talk = scene.host.talk(&["call", "tests.Flow/give", "--node", "dev"]);
    for number in 0..3 {
        assert_eq!(talk.hear().await, Some(number.to_string()));
    }
    talk.stop_listening();
    let ran = talk.ended_by_itself().await;
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    scene.until(|seen| seen.gone).await;
    scene.node.shutdown().await;
}

#[tokio::test]
async fn a_stream_that_breaks_prints_what_came_and_why_it_ended() {
    let host = Host::new();
    let _dev = host.dev().await;
    let far = host.start(&["serve", "clock.Clock", "--name", "far"]).await;
    host.eventually(&["nodes", "--node", "far"], |nodes| nodes.as_array().unwrap().len() == 2).await;
    let mut talk =
        host.talk(&["-o", "json", "call", "clock.Clock/ticks", r#"{"every_ms":20}"#, "--node", "far"]);
    for _ in 0..3 {
        let line: Value = serde_json::from_str(&talk.hear().await.unwrap()).unwrap();
        assert_eq!(line["node"], "far", "a node asks itself first");
    }
    far.signal("KILL").await;
    let ran = talk.ended_by_itself().await;
    assert_eq!(ran.code, 7, "{ran:?}");
    let told: Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(told["error"]["failure"]["outcome"], "Unknown", "{told}");
    assert!(told["error"]["hint"].as_str().unwrap().contains("the stream is not complete"), "{told}");
}

#[tokio::test]
async fn whoever_is_slow_slows_the_other_end() {
    let mut scene = Scene::new().await;
    // A service that does not read: the input is not swallowed.
    let mut talk = scene.host.talk(&["call", "tests.Flow/hold", "--node", "dev"]);
    let taken = talk.say_all_that_fits("12345678").await;
    assert!(taken < 16 << 20, "{taken} bytes were taken for nobody");
    talk.interrupt().await;
    assert_eq!(talk.ended_by_itself().await.code, 130);

    // A terminal that does not show: the service waits.
    let talk = scene.host.talk(&["call", "tests.Flow/give", "--node", "dev"]);
    scene.until(|seen| seen.given > 10_000).await;
    let mut before = 0;
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let given = scene.seen.borrow().given;
        if given == before {
            break;
        }
        before = given;
        assert!(given < 5_000_000, "{given} items for a terminal that shows none");
    }
    // It hears the signal although it cannot print.
    talk.interrupt().await;
    assert_eq!(talk.ended_by_itself().await.code, 130);
    scene.until(|seen| seen.gone).await;
    scene.node.shutdown().await;
}

#[tokio::test]
async fn a_call_whose_streams_are_still_for_too_long_ends() {
    let mut scene = Scene::new().await;
    let _clock = scene.host.start(&["serve", "clock.Clock", "--name", "far"]).await;
    let far = |services: &Value| services.to_string().contains("\"far\"");
    scene.host.eventually(&["services", "--node", "dev"], far).await;
    // A stream that comes: one tick, then none for an hour. Near, and through another node.
    for node in ["far", "flow"] {
        let arguments = r#"{"every_ms":3600000}"#;
        let ran =
            scene.host.run(&["call", "clock.Clock/ticks", arguments, "--idle", "3", "--node", node]).await;
        assert_eq!((ran.code, ran.stdout.lines().count()), (7, 1), "{node}: {ran:?}");
        assert!(ran.stderr.contains("no item came or went for 3s"), "{node}: {}", ran.stderr);
    }
    // A stream that goes: it is cut, and the service is told.
    let mut talk = scene.host.talk(&["call", "tests.Flow/take", "--idle", "3", "--node", "dev"]);
    for number in 1..=10 {
        talk.say(&number.to_string()).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let ran = talk.ended_by_itself().await;
    assert!(ran.code == 7 && ran.stderr.contains("no item came or went for 3s"), "{ran:?}");
    scene.until(|seen| seen.end.is_some()).await;
    let seen = scene.seen.borrow().clone();
    assert!(
        seen.taken == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] && seen.end.unwrap().is_err(),
        "what moves is not still"
    );

    let ran = scene.host.run(&["call", "clock.Clock/now", "--idle", "1", "--node", "far"]).await;
    assert!(ran.code == 2 && ran.stderr.contains("has no streams"), "{ran:?}");
    scene.node.shutdown().await;
}
