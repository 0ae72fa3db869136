//! What became of a call, asked afterwards.

use serde_json::Value;

use crate::host::{Host, Ran, names};

/// The id that a failed call tells on standard error.
fn told(failed: &Ran) -> String {
    let line = failed.stderr.lines().find_map(|line| line.trim().strip_prefix("trace: "));
    let (id, rest) = line.and_then(|line| line.split_once("; ")).unwrap_or_else(|| panic!("{failed:?}"));
    assert!(rest.ends_with(&format!(" why {}", &id[..12])), "{rest}");
    id.to_owned()
}

#[tokio::test]
async fn a_failed_call_names_its_trace_and_every_node_that_it_came_to_tells_of_it() {
    let host = Host::new();
    let _dev = host.dev().await;
    let _far = host.start(&["serve", "clock.Clock", "--name", "far"]).await;
    host.eventually(&["nodes"], |nodes| names(nodes, "name").len() == 2).await;
    // `far` has no echo of its own.
    let wrong = ["call", "echo.Echo/say", r#"{"txt":"x"}"#, "--node", "far"];
    let failed = host.run(&wrong).await;
    assert_ne!(failed.code, 0, "{failed:?}");
    let id = told(&failed);
    let spans = host.json(&["trace", &id, "--node", "dev"]).await;
    let mut nodes = names(&spans, "node");
    nodes.sort();
    nodes.dedup();
    assert_eq!(nodes, ["dev", "far"], "{spans:#}");
    let shown = host.run(&["trace", &id[..8]]).await;
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(shown.stdout.starts_with(&format!("trace {id}")), "{}", shown.stdout);
    assert!(shown.stdout.contains("└─ attempt 1 at dev"), "{}", shown.stdout);
    assert!(shown.stdout.contains("   └─ served "), "{}", shown.stdout);
    let mut tree = shown.stdout.lines().skip(2).take(3);
    assert!(tree.all(|line| line.chars().count() <= 80), "{}", shown.stdout);
    let why = host.json(&["why", &id[..8]]).await;
    assert_eq!(names(&why, "method"), ["echo.Echo/say"]);
    let attempt = &why[0]["attempts"][0];
    assert_eq!((&attempt["peer"], &attempt["path"]), (&"dev".into(), &"quic".into()), "{why:#}");
    assert_eq!(attempt["candidates"][0]["chosen"], true);
    let words = host.run(&["why", &id]).await.stdout;
    assert!(
        words.contains("attempt 1 at dev by quic") && words.contains("it was the only endpoint"),
        "{words}"
    );
    let failed = host.run(&[&wrong[..], &["-o", "json"]].concat()).await;
    let error: Value = serde_json::from_str(failed.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(error["error"]["trace"].as_str().unwrap().len(), 32, "{error:#}");
}

#[tokio::test]
async fn slow_and_failed_calls_are_listed_and_others_if_asked_for() {
    let host = Host::new();
    let _dev = host.dev().await;
    let said = host.run(&["call", "echo.Echo/say", r#"{"text":"x"}"#]).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert!(!said.stderr.contains("trace"), "{said:?}");
    let none = host.run(&["trace"]).await;
    let all = host.json(&["trace", "--all"]).await;
    assert_eq!(
        (names(&all, "kind"), names(&all, "status")),
        (vec!["client".to_owned()], vec!["ok".to_owned()])
    );
    // On a machine that stands still, any call is a slow one.
    let is_slow = all[0]["duration_us"].as_u64().unwrap() >= 100_000;
    assert_ne!(none.stdout.contains("no such call is kept"), is_slow, "{none:?} {all:#}");
    let failed = host.run(&["call", "nowhere.To/go", "--timeout", "0.2"]).await;
    assert_ne!(failed.code, 0);
    let failed = host.run(&["call", "echo.Echo/say", r#"{"wrong":1}"#]).await;
    let id = told(&failed);
    let listed = host.json(&["trace", "--outcome", "bad_arguments"]).await;
    assert!(names(&listed, "trace").contains(&id), "{listed:#}");
    assert_eq!(host.json(&["trace", "--service", "clock.Clock", "--all"]).await, Value::Array(Vec::new()));
    let table = host.run(&["trace"]).await.stdout;
    assert!(table.starts_with("TRACE") && table.contains(&id[..12]), "{table}");
    for (wrong, code) in [(["trace", "abc"], 2), (["why", "xyzxyz"], 2), (["why", "000000"], 1)] {
        let ran = host.run(&wrong).await;
        assert_eq!(ran.code, code, "{wrong:?}: {ran:?}");
    }
}
