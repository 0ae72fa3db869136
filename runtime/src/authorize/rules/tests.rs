//! What rules allow, deny and refuse to be.

use qmesh_transport::{Authority, Identity};

use super::*;

fn caller(name: &str) -> Caller {
    let authority = Authority::ephemeral("home").unwrap();
    Caller::proven(Identity::issued_by(&authority).credentials(name).unwrap().peer_identity())
}

fn client(name: &str) -> Caller {
    Caller::guest_elsewhere(caller(name).as_guest()).unwrap()
}

fn allows(rules: &Rules, caller: &Caller, service: &str, method: &str) -> bool {
    rules.decide(caller, service, method) == Decision::Allow
}

#[test]
fn what_no_rule_allows_is_denied() {
    assert!(!allows(&Rules::new(), &caller("a"), "shop.Cart", "list"));
    let rules = Rules::new().allow(["node/billing-*"], ["shop.Cart/list", "shop.*/count"]).unwrap();
    let billing = caller("billing-1");
    for (service, method, allowed) in [
        ("shop.Cart", "list", true),
        ("shop.Cart", "empty", false),
        ("shop.Bin", "count", true),
        ("bank.A", "count", false),
    ] {
        assert_eq!(allows(&rules, &billing, service, method), allowed, "{service}/{method}");
    }
    assert!(!allows(&rules, &caller("desk"), "shop.Cart", "list"));
}

#[test]
fn what_a_rule_denies_is_denied_whatever_comes_first() {
    let allow = |rules: Rules| rules.allow(["*"], ["*"]).unwrap();
    let deny = |rules: Rules| rules.deny(["node/b"], ["shop.Cart/empty"]).unwrap();
    for rules in [allow(deny(Rules::new())), deny(allow(Rules::new()))] {
        assert!(!allows(&rules, &caller("b"), "shop.Cart", "empty"));
        assert!(allows(&rules, &caller("b"), "shop.Cart", "list"));
        assert!(allows(&rules, &caller("c"), "shop.Cart", "empty"));
    }
}

#[test]
fn a_node_and_a_client_of_one_name_are_two() {
    let rules = Rules::new().allow(["client/ops"], ["*"]).unwrap();
    assert!(allows(&rules, &client("ops"), "a.B", "c"));
    assert!(!allows(&rules, &caller("ops"), "a.B", "c"));
}

#[test]
fn a_key_is_known_by_its_id() {
    let (one, other) = (caller("a"), caller("a"));
    let rules = Rules::new().allow([&*format!("id/{}", one.id())], ["*"]).unwrap();
    assert!(allows(&rules, &one, "a.B", "c"));
    assert!(!allows(&rules, &other, "a.B", "c"), "the same name, and another key");
}

#[test]
fn a_star_stands_for_any_characters() {
    for (pattern, text, fits) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a*", "a", true),
        ("a*", "abc", true),
        ("*c", "abc", true),
        ("*c", "cb", false),
        ("a*c", "ac", true),
        ("a*a", "a", false),
        ("a*b*c", "axbyc", true),
        ("a*b*c", "axyc", false),
        ("*b*b", "ab", false),
        ("*b*b", "abab", true),
        ("**", "", true),
    ] {
        assert_eq!(Glob(pattern.to_owned()).matches(text), fits, "{pattern} {text}");
    }
}

#[test]
fn a_pattern_that_could_never_match_is_no_pattern() {
    for bad in
        ["", "billing", "node/", "node/Billing", "queen/a", "id/abc", "node/a/b", "spiffe://attic/node/a"]
    {
        let error = Rules::new().deny([bad], ["*"]).unwrap_err();
        assert_eq!(error, RuleError::Callers(bad.to_owned()));
    }
    for bad in ["", "shop.Cart", "shop.Cart/", "/list", "shop.Cart/List", "shop Cart/list", "a/b/c"] {
        let error = Rules::new().deny(["*"], [bad]).unwrap_err();
        assert_eq!(error, RuleError::Calls(bad.to_owned()));
    }
    assert_eq!(Rules::new().deny([], ["*"]).unwrap_err(), RuleError::Empty);
}

#[test]
fn rules_are_read_as_they_are_written() {
    let json = r#"{"allow": [{"callers": ["node/a*"], "calls": ["shop.Cart/*"]}]}"#;
    let written = Rules::new().allow(["node/a*"], ["shop.Cart/*"]).unwrap();
    assert_eq!(serde_json::from_str::<Rules>(json).unwrap(), written);
    for (bad, told) in [
        (r#"{"alow": []}"#, "unknown field `alow`"),
        (r#"{"allow": [{"callers": ["a"], "calls": ["*"]}]}"#, "`a` names no callers"),
        (r#"{"allow": [{"callers": [], "calls": ["*"]}]}"#, "empty list"),
        (r#"{"deny": [{"callers": ["*"]}]}"#, "missing field `calls`"),
    ] {
        let error = serde_json::from_str::<Rules>(bad).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}
