//! How a node ends.

use crate::host::{Host, names};

/// Whether a call is at work on the clock.
fn is_busy(tree: &serde_json::Value) -> bool {
    let clock = tree.as_array().unwrap().iter().find(|actor| actor["path"] == "node/service/clock.Clock");
    clock.is_some_and(|clock| clock["queue_depth"] == 1)
}

#[tokio::test]
async fn sigterm_lets_the_calls_at_work_finish() {
    let host = Host::new();
    let dev = host.dev().await;
    let call = host.json(&["call", "clock.Clock/wait", r#"{"millis":3000}"#, "--timeout", "30s"]);
    let end = async {
        host.eventually(&["tree"], is_busy).await;
        dev.signal("TERM").await;
        dev.ended().await
    };
    let (answer, code) = tokio::join!(call, end);
    assert_eq!(answer["node"], "dev");
    assert_eq!(code, 0);
    assert!(!host.path().join(".qmesh/nodes/dev/address").exists(), "nobody looks for it any more");
}

#[tokio::test]
async fn a_second_signal_ends_a_node_at_once() {
    let host = Host::new();
    let dev = host.dev().await;
    let call = host.run(&["call", "clock.Clock/wait", r#"{"millis":50000}"#, "--timeout", "50s"]);
    let end = async {
        host.eventually(&["tree"], is_busy).await;
        dev.signal("INT").await;
        // Signals of one kind merge where they come faster than they are taken.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        dev.signal("TERM").await;
        dev.ended().await
    };
    let (call, code) = tokio::join!(call, end);
    assert_eq!(code, 130);
    assert_eq!(call.code, 7, "whether it ran is unknown: {call:?}");
}

#[tokio::test]
async fn a_node_keeps_its_id_over_its_lives() {
    let host = Host::new();
    let first = host.dev().await;
    let id = first.about["id"].clone();
    first.signal("KILL").await;
    first.ended().await;
    let second = host.dev().await;
    assert_eq!(second.about["id"], id);
    assert_eq!(names(&host.json(&["nodes"]).await, "name"), ["dev"]);
}
