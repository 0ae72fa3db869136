//! A node that calls.

use serde_json::{Value, json};

use crate::host::Host;

#[tokio::test]
async fn a_load_calls_at_its_pace_and_counts_how_the_calls_end() {
    let host = Host::new();
    let _dev = host.dev().await;
    let began = tokio::time::Instant::now();
    let load = host.start(&["load", "echo.Echo", "clock.Clock", "--rate", "100"]).await;
    assert_eq!(load.about["node"], "load");
    host.eventually(&["nodes", "--node", "dev"], |nodes| nodes.to_string().contains("\"load\"")).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    load.signal("TERM").await;
    let (least, most) = (200, (began.elapsed().as_millis() / 10 + 1).try_into().unwrap());
    let (code, said) = load.ended_with_words().await;
    let ends: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &ends["failed"], &ends["failures"]), (0, &json!(0), &json!({})), "{said}");
    let answered = ends["answered"].as_u64().unwrap();
    assert!((least..=most).contains(&answered), "{answered} calls at 100 per second: not {least} to {most}");
}

#[tokio::test]
async fn a_load_whose_calls_fail_says_so() {
    let host = Host::new();
    let rules = "[[allow]]\ncallers = [\"client/cli\"]\ncalls = [\"*\"]\n";
    std::fs::write(host.path().join("rules.toml"), rules).unwrap();
    let _guarded = host.start(&["serve", "echo.Echo", "--name", "b", "--authorize", "rules.toml"]).await;
    let load = host.start(&["load", "echo.Echo"]).await;
    host.eventually(&["services", "--node", "load"], |services| services.to_string().contains("echo.Echo"))
        .await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    load.signal("TERM").await;
    let (code, said) = load.ended_with_words().await;
    let ends: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &ends["answered"]), (1, &json!(0)), "{said}");
    assert_eq!(ends["failures"]["NotExecuted: Refused"], ends["failed"], "{said}");
}
