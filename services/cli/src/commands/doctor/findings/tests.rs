//! What is found in what nodes say, and what is not.

use serde_json::{Value, json};

use super::*;

const NOW_MS: u64 = 1_800_000_000_000;

/// A node that is well and has a session with each of the others.
fn well(node: &str, all: &[&str]) -> Value {
    let sessions = all
        .iter()
        .filter(|peer| **peer != node)
        .map(|peer| json!({"peer": peer, "path": "quic", "round_trip_us": 90, "dialled": true}));
    json!({
        "node": node, "id": format!("id-{node}"), "mesh": "home", "version": "0.1.0", "protocols": ["qmesh/1"],
        "incarnation": 1, "unix_ms": NOW_MS, "up_ms": 5000, "addresses": ["quic://10.0.0.1:4433"],
        "certificate_expires": NOW_MS / 1000 + 60 * DAY, "authority_expires": NOW_MS / 1000 + 600 * DAY,
        "knows": all, "sessions": sessions.collect::<Vec<_>>(), "unreachable": [],
        "queues": [{"service": "echo.Echo", "ready": true, "depth": 3, "capacity": 1024, "oldest_ms": 2, "restarts": 0}],
        "given_up": {}, "rejected": {},
    })
}

/// Three nodes, of which `change` makes something else.
fn seen(change: impl FnOnce(&mut BTreeMap<&str, Value>)) -> Seen {
    let all = ["attic", "cellar", "hall"];
    let mut abouts: BTreeMap<_, _> = all.iter().map(|node| (*node, well(node, &all))).collect();
    change(&mut abouts);
    let parse = |(node, about): (&str, Value)| (node.to_owned(), serde_json::from_value(about).unwrap());
    Seen { abouts: abouts.into_iter().map(parse).collect(), silent: BTreeMap::new(), took_ms: 100 }
}

/// What is found: kind, whether it is an error, and what it is about.
#[track_caller]
fn check(seen: &Seen, wanted: &[(&str, bool, &str)]) -> Vec<Finding> {
    let found = of(seen);
    let short: Vec<_> =
        found.iter().map(|one| (one.kind, one.severity == Severity::Error, one.about.as_str())).collect();
    assert_eq!(short, wanted, "{found:#?}");
    found
}

#[test]
fn a_mesh_that_is_well_has_no_findings() {
    check(&seen(|_| {}), &[]);
    check(&Seen::default(), &[]);
}

#[test]
fn a_clock_is_judged_by_those_of_most_and_by_the_time_that_the_answers_took() {
    let skewed = |by: i64| {
        seen(|all| all.get_mut("hall").unwrap()["unix_ms"] = json!(NOW_MS.checked_add_signed(by).unwrap()))
    };
    check(&skewed(900), &[]);
    let found = check(&skewed(-5100), &[("clock", false, "hall")]);
    assert_eq!(found[0].what, "the clock of hall is 5s behind that of most nodes");
    check(&skewed(3_600_000), &[("clock", true, "hall")]);
    check(&Seen { took_ms: 5000, ..skewed(-5100) }, &[]);
}

#[test]
fn what_cannot_be_reached_is_told_once_with_all_who_try() {
    let in_vain =
        json!([{"peer": "hall", "addresses": ["quic://10.0.0.3:4433"], "why": "no answer", "silent": true}]);
    let seed =
        json!({"peer": null, "addresses": ["quic://10.0.0.9:1"], "why": "refused us", "silent": false});
    let cut = seen(|all| {
        for node in ["attic", "cellar"] {
            all.get_mut(node).unwrap()["unreachable"] = in_vain.clone();
        }
        all.get_mut("attic").unwrap()["unreachable"].as_array_mut().unwrap().push(seed);
    });
    let found =
        check(&cut, &[("unreachable", false, "hall"), ("unreachable", false, "the seed quic://10.0.0.9:1")]);
    assert_eq!(found[0].what, "hall cannot be reached from attic, cellar: no answer");
    assert!(found[0].advice.contains("nothing comes back") && found[1].advice.contains("somebody answers"));
}

#[test]
fn a_node_that_hears_nothing_at_all_is_behind_a_firewall() {
    let alone = |is_silent: bool| {
        let mut about = well("attic", &["attic"]);
        about["unreachable"] =
            json!([{"peer": null, "addresses": ["quic://10.0.0.9:1"], "why": "no", "silent": is_silent}]);
        seen(|all| *all = BTreeMap::from([("attic", about)]))
    };
    check(&alone(true), &[("udp_blocked", true, "attic")]);
    check(&alone(false), &[("unreachable", false, "the seed quic://10.0.0.9:1")]);
}

#[test]
fn a_session_that_one_side_has_alone_is_a_cut_in_one_direction() {
    let drop_first = |about: &mut Value| drop(about["sessions"].as_array_mut().unwrap().remove(0));
    let cut = seen(|all| drop_first(all.get_mut("hall").unwrap()));
    let found = check(&cut, &[("one_way", false, "attic hall")]);
    assert_eq!(found[0].what, "attic has a session with hall, and hall has none with attic");
    let both = seen(|all| {
        drop_first(all.get_mut("hall").unwrap());
        all.get_mut("attic").unwrap()["sessions"].as_array_mut().unwrap().truncate(1);
    });
    check(&both, &[]);
}

#[test]
fn directories_that_differ_are_told_of() {
    let split = seen(|all| all.get_mut("hall").unwrap()["knows"] = json!(["cellar", "hall"]));
    let found = check(&split, &[("split", false, "attic")]);
    assert_eq!(found[0].what, "attic is not alive as hall sees it; others see it");
}

#[test]
fn ends_of_certificates_are_told_in_time() {
    let left = |days: u64, of: &'static str| {
        seen(|all| {
            for about in all.values_mut() {
                about[of] = json!(NOW_MS / 1000 + days * DAY);
            }
        })
    };
    let of_all = |is_error| ["attic", "cellar", "hall"].map(|node| ("certificate", is_error, node));
    check(&left(14, "certificate_expires"), &[]);
    check(&left(13, "certificate_expires"), &of_all(false));
    let found = check(&left(0, "certificate_expires"), &of_all(true));
    assert_eq!(found[0].what, "the certificate of attic has ended");
    check(&left(29, "authority_expires"), &[("authority", false, "home")]);
    check(&left(6, "authority_expires"), &[("authority", true, "home")]);
}

#[test]
fn versions_queues_services_liars_and_the_silent_are_told_of() {
    let mut sick = seen(|all| {
        let hall = all.get_mut("hall").unwrap();
        hall["version"] = json!("0.2.0");
        hall["queues"][0]["depth"] = json!(1024);
        hall["given_up"] = json!({"chat.Chat": "a handler panicked"});
        hall["rejected"] = json!({"malformed_message": 7});
        let attic = all.get_mut("attic").unwrap();
        attic["queues"][0]["oldest_ms"] = json!(1500);
        attic["id"] = json!("id-cellar-2");
        attic["node"] = json!("cellar");
    });
    sick.silent.insert("shed".to_owned(), "not sent: unreachable".to_owned());
    let found = check(
        &sick,
        &[
            ("no_answer", true, "shed"),
            ("given_up", true, "chat.Chat on hall"),
            ("queue", true, "echo.Echo on hall"),
            ("namesakes", false, "cellar"),
            ("versions", false, "versions"),
            ("queue", false, "echo.Echo on attic"),
            ("rejected", false, "hall"),
        ],
    );
    let told: Vec<_> = found.iter().map(|one| one.what.as_str()).collect();
    assert!(
        told.contains(
            &"nodes are of different versions: 0.1.0 (qmesh/1): attic, cellar; 0.2.0 (qmesh/1): hall"
        ),
        "{told:#?}"
    );
    assert!(told.contains(&"hall has rejected what members gossip: 7 times malformed_message"), "{told:#?}");
}

#[test]
fn what_is_over_at_a_second_look_was_nothing() {
    let (passing, staying) =
        (warning("split", "attic", "", ""), warning("queue", "echo.Echo on hall", "1", ""));
    let later = Finding { what: "2".to_owned(), ..staying.clone() };
    let news = warning("clock", "hall", "", "");
    assert_eq!(lasting(&[passing, staying], vec![later.clone(), news]), [later]);
}
