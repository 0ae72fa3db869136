//! What somebody on call looks at: what happened, and what is wrong.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::host::{Host, Ran, names};

/// The events that a command printed as JSON.
fn events(ran: &Ran) -> Vec<Value> {
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn has(events: &[Value], wanted: &Value) -> bool {
    let wanted = wanted.as_object().unwrap();
    events.iter().any(|event| wanted.iter().all(|(key, value)| event[key] == *value))
}

/// The next event that `qmesh events --follow -o json` prints and that is as wanted.
async fn next(talk: &mut crate::host::Talk, wanted: &Value) -> Value {
    loop {
        let line = talk.hear().await.expect("it goes on");
        let event: Value = serde_json::from_str(&line).unwrap();
        if has(std::slice::from_ref(&event), wanted) {
            return event;
        }
    }
}

#[tokio::test]
async fn events_of_all_nodes_are_told_and_followed() {
    let host = Host::new();
    let _dev = host.dev().await;
    let second = host.start(&["serve", "echo.Echo", "--name", "b"]).await;
    host.eventually(&["nodes"], |nodes| names(nodes, "name").len() == 2).await;
    host.eventually(&["nodes", "--node", "b"], |nodes| names(nodes, "name").len() == 2).await;

    let ran = host.run(&["events", "-o", "json"]).await;
    let all = events(&ran);
    assert_eq!(ran.code, 0, "{ran:?}");
    for wanted in [
        json!({"node": "dev", "event": "joined", "peer": "b", "id": second.about["id"]}),
        json!({"node": "b", "event": "joined", "peer": "dev"}),
        json!({"node": "b", "event": "session_up", "peer": "dev", "path": "quic"}),
        json!({"node": "b", "event": "service_ready", "service": "echo.Echo"}),
    ] {
        assert!(has(&all, &wanted), "no {wanted} in {all:#?}");
    }
    let times: Vec<_> = all.iter().map(|event| event["unix_ms"].as_u64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let filtered =
        events(&host.run(&["events", "-o", "json", "--kind", "joined", "--of", "b", "-n", "1"]).await);
    assert_eq!(filtered.len(), 1);
    let people = host.run(&["events", "--kind", "service_ready", "--service", "clock.Clock"]).await.stdout;
    assert!(people.ends_with("  dev  clock.Clock takes calls\n") && people.lines().count() == 1, "{people}");

    let mut follower = host.talk(&["events", "--follow", "-o", "json", "--node", "dev", "--of", "b"]);
    second.signal("KILL").await;
    second.ended().await;
    next(&mut follower, &json!({"node": "dev", "event": "died", "peer": "b"})).await;
    // A new life: its numbers go on.
    let _again = host.start(&["serve", "echo.Echo", "--name", "b"]).await;
    let started = next(&mut follower, &json!({"node": "b", "event": "started"})).await;
    let before = all.iter().filter(|event| event["node"] == "b").map(|event| event["seq"].as_u64().unwrap());
    assert!(started["seq"].as_u64() > before.max(), "{started}");
    follower.interrupt().await;
    assert_eq!(follower.ended().await.code, 130);
}

#[tokio::test]
async fn the_doctor_finds_nothing_in_a_mesh_that_is_well_and_a_seed_that_is_not_there() {
    let host = Host::new();
    let _dev = host.dev().await;
    let second = host.start(&["serve", "echo.Echo", "--name", "b"]).await;
    // Either may be the one that is asked.
    for node in ["b", "dev"] {
        host.eventually(&["nodes", "--node", node], |nodes| names(nodes, "name").len() == 2).await;
    }
    let well = host.run(&["doctor"]).await;
    assert_eq!((well.code, well.stdout.as_str()), (0, "2 nodes looked at, nothing is wrong\n"), "{well:?}");
    second.signal("TERM").await;
    assert_eq!(second.ended().await, 0);

    let _third = host.start(&["serve", "echo.Echo", "--name", "c", "--seed", "quic://127.0.0.1:9"]).await;
    host.eventually(&["nodes", "--node", "c"], |nodes| names(nodes, "name").len() == 2).await;
    let finds = |found: &Value| found["findings"].as_array().is_some_and(|found| !found.is_empty());
    let (code, found) = host.ends_with(&["doctor"], finds).await;
    assert_eq!((code, &found["nodes"]), (1, &json!(["c", "dev"])), "{found:#}");
    let [finding] = &found["findings"].as_array().unwrap()[..] else { panic!("{found:#}") };
    assert_eq!(
        (&finding["kind"], &finding["severity"], &finding["about"]),
        (&json!("unreachable"), &json!("warning"), &json!("the seed quic://127.0.0.1:9"))
    );
    let people = host.run(&["doctor"]).await;
    assert!(
        people.stdout.starts_with("warning  the seed quic://127.0.0.1:9 cannot be reached from c: "),
        "{people:?}"
    );
    assert!(people.stdout.ends_with("\n2 nodes looked at, 1 finding\n"), "{people:?}");
}

#[tokio::test]
async fn a_node_says_where_its_metrics_are() {
    let host = Host::new();
    let dev = host.start(&["dev", "--no-mdns", "--metrics", "0"]).await;
    let url = dev.about["metrics"].as_str().unwrap();
    let address = url.strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("qmesh_service_ready"), "{answer}");
    assert!(host.start(&["serve", "echo.Echo"]).await.about.get("metrics").is_none());
}
