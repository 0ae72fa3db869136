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
    let call = host.json(&["call", "clock.Clock/wait", r#"{"millis":10000}"#, "--timeout", "60s"]);
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

/// Of the node that serves, and of one that passes the stream on.
#[tokio::test]
async fn sigterm_lets_streams_finish() {
    let host = Host::new();
    let dev = host.dev().await;
    let between = host.start(&["serve", "echo.Echo", "--name", "between"]).await;
    host.eventually(&["services", "--node", "between"], |services| {
        services.to_string().contains("clock.Clock")
    })
    .await;
    let ticks = |node| {
        let arguments = r#"{"every_ms":100,"count":30}"#;
        let mut talk = host.talk(&["call", "clock.Clock/ticks", arguments, "--node", node]);
        async move {
            talk.hear().await.expect("a first tick");
            talk
        }
    };
    let (near, far) = tokio::join!(ticks("dev"), ticks("between"));
    let mut endless = host.talk(&["call", "clock.Clock/ticks", r#"{"every_ms":100}"#, "--node", "between"]);
    endless.hear().await.expect("a first tick");
    between.signal("TERM").await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    dev.signal("TERM").await;
    for talk in [near, far] {
        let ran = talk.ended_by_itself().await;
        assert_eq!((ran.code, ran.stdout.lines().count()), (0, 29), "{ran:?}");
    }
    let ran = endless.ended_by_itself().await;
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "the clock ends it in order");
    assert_eq!((dev.ended().await, between.ended().await), (0, 0));
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
