//! What scripts can tell apart, and what people are told.

use serde_json::Value;

use crate::host::{Host, Ran};

fn assert_told(ran: &Ran, code: i32, parts: &[&str]) {
    assert_eq!(ran.code, code, "{ran:?}");
    assert!(ran.stdout.is_empty(), "{ran:?}");
    for part in parts {
        assert!(ran.stderr.contains(part), "`{part}` is not in: {}", ran.stderr);
    }
}

#[tokio::test]
async fn without_a_node_the_next_step_is_told() {
    let host = Host::new();
    let ran = host.run(&["nodes"]).await;
    assert_told(&ran, 3, &["error: no node has run here", "start one with `qmesh dev`"]);
    assert!(!host.path().join(".qmesh").exists(), "a guest leaves nothing behind");
    host.json(&["ca", "init", "--mesh", "lonely"]).await;
    assert_told(&host.run(&["tree"]).await, 3, &["no node of mesh `lonely` answers", "`qmesh dev`"]);
    let ran = host.run(&["nodes", "--node", "quic://127.0.0.1:1"]).await;
    assert_told(&ran, 3, &["at quic://127.0.0.1:1", "tried quic://127.0.0.1:1: "]);
}

#[tokio::test]
async fn wrong_usage_is_told_before_anything_is_tried() {
    let host = Host::new();
    for (args, parts) in [
        (&["call", "echo.Echo"] as &[&str], &["SERVICE/METHOD", "echo.Echo/Say"] as &[&str]),
        (&["call", "echo.Echo/Say", "{"], &["no JSON", r#"'{"text":"hello"}'"#]),
        (&["call", "echo.Echo/Say", "[1]"], &["no JSON object: [1]"]),
        (&["call", "echo.Echo/Say", "--timeout", "soon"], &["--timeout"]),
        (&["serve", "echo.Ego"], &["there is no stock service `echo.Ego`; there are clock.Clock, echo.Echo"]),
        (&["serve"], &["<SERVICE>"]),
        (&["serve", "echo.Echo", "--seed", "10.0.0.1"], &["quic://10.0.0.5:4433"]),
        (&["serve", "echo.Echo", "--dns", "mesh"], &["HOST:PORT"]),
    ] {
        assert_told(&host.run(args).await, 2, parts);
    }
}

#[tokio::test]
async fn a_call_that_fails_says_whether_it_may_be_repeated() {
    let host = Host::new();
    let _dev = host.dev().await;
    for (args, code, parts) in [
        (
            &["call", "echo.Echo/Fail", r#"{"reason":"a test"}"#] as &[&str],
            4,
            &[r#"answered with its own error: {"asked":"a test"}"#] as &[&str],
        ),
        (
            &["call", "nope.Nope/say", "--timeout", "500ms"],
            5,
            &[
                "waiting up to 500ms",
                "not sent",
                "known are clock.Clock, echo.Echo; dev has found no other node",
                "repeating it is safe",
            ],
        ),
        (
            &["call", "echo.Echo/Shout"],
            6,
            &["not executed", "has no method `shout`; it has say, repeat, count, who_am_i, fail"],
        ),
        (&["call", "echo.Echo/Say"], 6, &["not executed", "missing field `text`"]),
        (
            &["call", "clock.Clock/wait", r#"{"millis":60000}"#, "--timeout", "3s"],
            7,
            &["outcome unknown", "it may have run"],
        ),
    ] {
        assert_told(&host.run(args).await, code, parts);
    }
}

#[tokio::test]
async fn programs_are_told_in_json() {
    let host = Host::new();
    let _dev = host.dev().await;
    let ran = host.run(&["-o", "json", "call", "echo.Echo/Fail", r#"{"reason":"a test"}"#]).await;
    let told: Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!((ran.code, &told["error"]["exit"]), (4, &Value::from(4)));
    assert_eq!(told["error"]["service_error"]["asked"], "a test");
    let ran = host.run(&["-o", "json", "call", "echo.Echo/Shout"]).await;
    let told: Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(told["error"]["failure"]["outcome"], "NotExecuted");
}

#[tokio::test]
async fn a_node_runs_once_in_a_data_directory() {
    let host = Host::new();
    let _dev = host.dev().await;
    assert_told(&host.run(&["dev", "--no-mdns"]).await, 1, &["`dev` runs already", "--name NAME"]);
}

#[tokio::test]
async fn a_wildcard_needs_an_address_to_advertise() {
    let host = Host::new();
    let ran = host.run(&["serve", "echo.Echo", "--listen", "quic://0.0.0.0:0"]).await;
    assert_told(&ran, 1, &["--advertise quic://HOST:PORT"]);
}

#[tokio::test]
async fn what_cannot_be_used_is_told_with_another_choice() {
    let host = Host::new();
    std::fs::write(host.path().join("file"), "").unwrap();
    let ran = host.run(&["dev", "--no-mdns", "--data-dir", "file"]).await;
    assert_told(&ran, 1, &["file/authority", "--data-dir DIR"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ran = host.run(&["dev", "--no-mdns", "--metrics", &port]).await;
    assert_told(&ran, 1, &["cannot listen on 127.0.0.1:", "for metrics", "--metrics 0"]);
    let ran = host.run(&["dev", "--no-mdns", "--console", &port]).await;
    assert_told(&ran, 1, &[&port, "--console alone"]);
}
