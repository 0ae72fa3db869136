//! What a newcomer does first.

use serde_json::json;

use crate::host::{Host, names};

#[tokio::test]
async fn the_first_call_takes_two_commands() {
    let host = Host::new();
    let _dev = host.dev().await;
    let said = host.run(&["call", "echo.Echo/Say", r#"{"text":"hello"}"#]).await;
    assert_eq!((said.code, said.stdout.as_str()), (0, "\"hello\"\n"), "{said:?}");
    let piped = host.run_with_input(&["call", "echo.Echo/say", "-"], r#"{"text":"piped"}"#).await;
    assert_eq!((piped.code, piped.stdout.as_str()), (0, "\"piped\"\n"), "{piped:?}");
    let now = host.json(&["call", "clock.Clock/Now", "--timeout", "30s"]).await;
    assert_eq!(now["node"], "dev");
}

#[tokio::test]
async fn a_second_node_is_found_without_configuration() {
    let host = Host::new();
    let dev = host.dev().await;
    let second = host.start(&["serve", "echo.Echo"]).await;
    assert_eq!(second.about["node"], "echo", "named after its service");
    let third = host.start(&["serve", "echo.Echo", "--zone", "west"]).await;
    assert_eq!(third.about["node"], "echo-2");
    let nodes = host.eventually(&["nodes"], |nodes| names(nodes, "name").len() == 3).await;
    assert_eq!(names(&nodes, "name"), ["dev", "echo", "echo-2"]);
    assert_eq!(nodes[0]["id"], dev.about["id"]);
    assert_eq!(nodes[2]["zone"], "west");
    let all = json!([
        {"name": "clock.Clock", "nodes": ["dev"], "versions": [env!("CARGO_PKG_VERSION")], "warming": []},
        {"name": "echo.Echo", "nodes": ["dev", "echo", "echo-2"], "versions": [env!("CARGO_PKG_VERSION")], "warming": []},
    ]);
    host.eventually(&["services"], |services| *services == all).await;
}

#[tokio::test]
async fn any_node_can_be_asked_by_url_or_name() {
    let host = Host::new();
    let _dev = host.dev().await;
    let second = host.start(&["serve", "echo.Echo", "--name", "b"]).await;
    host.eventually(&["services", "--node", "b"], |services| names(services, "name").len() == 2).await;
    for node in ["b", second.url()] {
        let tree = host.json(&["tree", "--node", node]).await;
        let paths = names(&tree, "path");
        assert!(paths.contains(&"node/service/echo.Echo".to_owned()), "{paths:?}");
        assert!(!paths.contains(&"node/service/clock.Clock".to_owned()), "{paths:?}");
        // By way of the first node, too.
        let relayed = host.json(&["tree", "b", "--node", "dev"]).await;
        let paths = names(&relayed, "path");
        assert!(!paths.contains(&"node/service/clock.Clock".to_owned()), "{paths:?}");
        // Served by the other node.
        let now = host.json(&["call", "clock.Clock/now", "--node", node]).await;
        assert_eq!(now["node"], "dev");
    }
}

#[tokio::test]
async fn one_node_tells_of_all() {
    let host = Host::new();
    let _dev = host.dev().await;
    let second = host.start(&["serve", "echo.Echo", "--name", "b"]).await;
    let all = host.eventually(&["tree", "--all"], |trees| {
        ["dev", "b"].iter().all(|node| trees[node]["actors"].is_array())
    });
    let all = all.await;
    assert!(names(&all["dev"]["actors"], "path").contains(&"node/service/clock.Clock".to_owned()), "{all}");
    assert!(names(&all["b"]["actors"], "path").contains(&"node/service/echo.Echo".to_owned()), "{all}");
    let ran = host.run(&["tree", "nobody"]).await;
    assert!(ran.code != 0 && ran.stderr.contains("known are b, dev"), "{ran:?}");
    // A node that is stopped for a while does not hold up the others' answers for longer than it has for its own.
    second.signal("STOP").await;
    let all = host.json(&["tree", "--all"]).await;
    second.signal("CONT").await;
    assert!(names(&all["dev"]["actors"], "path").contains(&"node/service/clock.Clock".to_owned()), "{all}");
    assert!(all["b"]["failed"].is_object() || all["b"].is_null(), "{all}");
}

#[tokio::test]
async fn people_read_tables() {
    let host = Host::new();
    let dev = host.dev().await;
    let nodes = host.run(&["nodes"]).await.stdout;
    assert!(nodes.starts_with("NODE  STATE  ID      ADDRESS"), "{nodes}");
    assert!(nodes.contains(dev.url()) && nodes.ends_with("as dev sees it\n"), "{nodes}");
    let tree = host.run(&["tree"]).await.stdout;
    assert!(tree.starts_with("ACTOR") && tree.contains("\nnode ") && tree.contains("\n├─ gossip "), "{tree}");
    assert!(tree.contains(&format!("\n├─ listener/{}", dev.url())), "{tree}");
    assert!(tree.contains("\n└─ service/echo.Echo "), "{tree}");
    let services = host.run(&["services"]).await.stdout;
    assert!(services.contains("clock.Clock  dev    0.1.0\n"), "{services}");
    assert!([nodes, tree, services].iter().all(|text| !text.contains('\u{1b}')), "colours are for terminals");
}

#[tokio::test]
async fn a_killed_node_costs_the_next_command_nothing() {
    let host = Host::new();
    let first = host.dev().await;
    let _second = host.start(&["serve", "echo.Echo", "--name", "b"]).await;
    host.eventually(&["nodes", "--node", "b"], |nodes| names(nodes, "name").len() == 2).await;
    first.signal("KILL").await;
    assert_eq!(first.ended().await, -1);
    assert!(host.path().join(".qmesh/nodes/dev/address").exists(), "it had no time to clean up");
    let said = host.json(&["call", "echo.Echo/Say", r#"{"text":"still"}"#]).await;
    assert_eq!(said, "still");
    host.eventually(&["nodes"], |nodes| names(nodes, "name") == ["b"]).await;
}

#[tokio::test]
async fn shells_complete_the_commands() {
    let host = Host::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = host.run(&["completions", shell]).await;
        assert!(script.code == 0 && script.stdout.contains("services"), "{shell}");
        assert!(!script.stdout.contains("qmesh__demo_worker"), "{shell}");
    }
}
