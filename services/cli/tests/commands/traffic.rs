//! What the mesh does, as the terminal shows it: `qmesh top` and `qmesh tap`.

use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use crate::host::Host;

fn row<'a>(rows: &'a Value, key: &str, name: &str) -> Option<&'a Value> {
    rows.as_array().unwrap().iter().find(|row| row[key] == name)
}

#[tokio::test]
async fn a_second_of_the_mesh_is_one_line_of_json() {
    let host = Host::new();
    let _dev = host.dev().await;
    let _second = host.start(&["serve", "echo.Echo", "--name", "b"]).await;
    host.eventually(&["nodes"], |nodes| nodes.as_array().unwrap().len() == 2).await;
    let load = async {
        loop {
            host.run(&["call", "echo.Echo/Say", r#"{"text":"x"}"#]).await;
            host.run(&["call", "echo.Echo/Fail", r#"{"reason":"x"}"#]).await;
        }
    };
    let wanted = |seen: &Value| {
        let echo = row(&seen["services"], "service", "echo.Echo");
        echo.is_some_and(|echo| {
            echo["rate"].as_f64() > Some(0.0)
                && echo["failed"]["service_error"].as_f64() > Some(0.0)
                && echo["p99_us"].as_u64() > Some(0)
        })
    };
    let seen = tokio::select! {
        seen = host.eventually(&["top"], wanted) => seen,
        () = load => unreachable!("it goes on"),
    };
    let echo = row(&seen["services"], "service", "echo.Echo").unwrap();
    assert_eq!(echo["endpoints"].as_array().unwrap().len(), 2, "{seen}");
    assert!(row(&echo["methods"], "method", "say").is_some(), "{seen}");
    let edge = row(&seen["edges"], "service", "echo.Echo").unwrap();
    assert!(edge["from"].as_str().unwrap().starts_with("client/"), "{seen}");
    assert_eq!(row(&seen["nodes"], "node", "b").unwrap()["sessions"][0]["peer"], "dev", "{seen}");
    assert_eq!(seen["deadlocks"], serde_json::json!([]));
}

#[tokio::test]
async fn without_a_terminal_there_is_nothing_to_draw_on() {
    let host = Host::new();
    let ran = host.run(&["top"]).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("top -o json"), "{ran:?}");
}

#[tokio::test]
async fn calls_are_printed_as_they_pass() {
    let host = Host::new();
    let _dev = host.start(&["dev", "--no-mdns", "--show-payloads"]).await;
    let mut tap = host.talk(&["tap", "echo.Echo", "--payload", "-n", "2", "-o", "json"]);
    let mut people = host.talk(&["tap", "-n", "1"]);
    let load = async {
        loop {
            host.run(&["call", "echo.Echo/Say", r#"{"text":"hello"}"#]).await;
            sleep(Duration::from_millis(50)).await;
        }
    };
    let heard =
        async { (tap.hear().await.unwrap(), tap.hear().await.unwrap(), people.hear().await.unwrap()) };
    let (first, second, line) = tokio::select! {
        heard = heard => heard,
        () = load => unreachable!("it goes on"),
    };
    let [first, second] = [first, second].map(|line| serde_json::from_str::<Value>(&line).unwrap());
    assert_eq!(
        (&first["method"], &first["node"], &first["status"]),
        (&"say".into(), &"dev".into(), &"ok".into())
    );
    assert_eq!(first["payload"]["text"], "hello", "{first}");
    assert!(second["seq"].as_u64() > first["seq"].as_u64());
    assert!(line.contains("dev client/") && line.contains("→ echo.Echo/say on dev  ok "), "{line}");
    assert_eq!(tap.ended().await.code, 0);
    assert_eq!(people.ended().await.code, 0);
}

#[tokio::test]
async fn arguments_are_shown_where_that_is_allowed_alone() {
    let host = Host::new();
    let _dev = host.dev().await;
    let ran = host.run(&["tap", "echo.Echo", "--payload"]).await;
    assert_ne!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stderr.contains("shows no arguments") && ran.stderr.contains("leave --payload out"),
        "{ran:?}"
    );
}
