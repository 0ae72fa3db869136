//! Who may call what, from a file.

use std::fs;

use crate::host::Host;

const RULES: &str = r#"
[[allow]]
callers = ["client/cli", "node/c"]
calls = ["echo.Echo/who_am_i", "echo.Echo/fail"]

[[deny]]
callers = ["*"]
calls = ["echo.Echo/fail"]
"#;

#[tokio::test]
async fn a_file_says_who_may_call_what() {
    let host = Host::new();
    fs::write(host.path().join("rules.toml"), RULES).unwrap();
    let _guarded = host.start(&["serve", "echo.Echo", "--name", "b", "--authorize", "rules.toml"]).await;
    let asked = host.json(&["call", "echo.Echo/WhoAmI", "--node", "b"]).await;
    assert_eq!((&asked["caller"], &asked["on_behalf_of"]), (&"cli".into(), &serde_json::Value::Null));
    // A node that is asked to call says for whom.
    let _other = host.start(&["serve", "clock.Clock", "--name", "c"]).await;
    let asked = host.json(&["call", "echo.Echo/WhoAmI", "--node", "c"]).await;
    assert_eq!((&asked["caller"], &asked["on_behalf_of"]), (&"c".into(), &"cli".into()));
    for method in ["echo.Echo/Say", "echo.Echo/Fail"] {
        let ran = host.run(&["call", method, r#"{"text":"hello","reason":"x"}"#, "--node", "b"]).await;
        assert_eq!(ran.code, 6, "{ran:?}");
        assert!(
            ran.stderr.contains("client/cli") && ran.stderr.contains("may not call echo.Echo/"),
            "{ran:?}"
        );
        assert!(!ran.stderr.contains("repeating it is safe"), "{ran:?}");
    }
}

#[tokio::test]
async fn rules_that_make_no_sense_are_told_with_their_line() {
    let host = Host::new();
    for (rules, parts) in [
        (
            "[[allow]]\ncallers = [\"billing\"]\ncalls = [\"*\"]\n",
            &["line 2", "`billing` names no callers", "node/"] as &[&str],
        ),
        ("[[allow]]\ncallers = [\"*\"]\ncalls = [\"echo.Echo/Say\"]\n", &["line 3", "without capitals"]),
        ("[[alow]]\n", &["line 1", "unknown field `alow`", "`allow`"]),
        ("[[allow]]\ncallers = [\"*\"]\n", &["line 1", "missing field `calls`"]),
        ("[[allow]]\ncallers = \"*\"\ncalls = [\"*\"]\n", &["line 2", "expected a sequence"]),
        ("allow = [\n", &["line 1", "unclosed array"]),
        ("", &["allow nothing", "[[allow]]"]),
    ] {
        fs::write(host.path().join("rules.toml"), rules).unwrap();
        let ran = host.run(&["serve", "echo.Echo", "--authorize", "rules.toml"]).await;
        assert_eq!(ran.code, 2, "{ran:?}");
        for part in parts.iter().chain(&["rules.toml", "qmesh serve --help"]) {
            assert!(ran.stderr.contains(part), "`{part}` is not in: {}", ran.stderr);
        }
    }
    let ran = host.run(&["serve", "echo.Echo", "--authorize", "none.toml"]).await;
    assert!(ran.code == 2 && ran.stderr.contains("cannot read the rules in none.toml"), "{ran:?}");
    assert!(!host.path().join(".qmesh").exists(), "nothing was begun");
}
