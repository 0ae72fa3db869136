//! Which circles are deadlocks, and which are none.

use super::*;
use crate::control_api::ServiceLoad;

/// A node, and what the handlers of its services wait for: `a! > b@node` is a `&mut self` handler of `a` that waits for `b`.
fn node(name: &str, waits: &[&str]) -> Traffic {
    let waiting = waits.iter().zip(1..).map(|(wait, handler_id)| {
        let (from, to) = wait.split_once(" > ").unwrap();
        let (service, node) = to.split_once('@').unwrap();
        Waiting {
            from: from.trim_end_matches('!').to_owned(),
            handler: "work".to_owned(),
            handler_id,
            exclusive: from.ends_with('!'),
            service: service.to_owned(),
            method: "work".to_owned(),
            node: node.to_owned(),
            for_ms: 2000,
            trace: None,
        }
    });
    Traffic { node: name.to_owned(), waiting: waiting.collect(), ..Traffic::default() }
}

fn load(service: &str, capacity: u64, held_up: bool) -> ServiceLoad {
    let held_up = held_up.then(|| "alter".to_owned());
    ServiceLoad { service: service.to_owned(), capacity, held_up, ..ServiceLoad::default() }
}

/// Each circle as `a@n > b@m`, and how many calls it holds up.
fn found(nodes: &[Traffic]) -> Vec<(String, u64)> {
    let told = deadlocks(nodes).into_iter().map(|deadlock| {
        let places: Vec<_> =
            deadlock.circle.iter().map(|(node, waiting)| format!("{}@{node}", waiting.from)).collect();
        (places.join(" > "), deadlock.held_up)
    });
    told.collect()
}

#[test]
fn a_service_that_calls_itself_from_an_exclusive_handler_waits_for_ever() {
    assert_eq!(found(&[node("n", &["a! > a@n"])]), [("a@n".to_owned(), 0)]);
    assert_eq!(found(&[node("n", &["a! > a@elsewhere"])]), [], "another endpoint is another actor");
}

#[test]
fn two_services_of_two_nodes_wait_for_each_other() {
    let nodes = [node("n", &["a! > b@m"]), node("m", &["b! > a@n"])];
    assert_eq!(found(&nodes), [("a@n > b@m".to_owned(), 0)]);
}

#[test]
fn three_services_wait_in_a_circle_and_hold_up_others() {
    let nodes = [
        node("n", &["a! > b@m", "d > a@n", "e! > d@n"]),
        node("m", &["b! > c@k"]),
        node("k", &["c! > a@n", "c > a@elsewhere"]),
    ];
    assert_eq!(
        found(&nodes),
        [("a@n > b@m > c@k".to_owned(), 1)],
        "`e` waits for a handler that lets others in"
    );
}

#[test]
fn circles_that_do_not_touch_are_told_apart() {
    let nodes = [node("n", &["a! > b@n", "b! > a@n", "c! > c@n"])];
    assert_eq!(found(&nodes), [("a@n > b@n".to_owned(), 0), ("c@n".to_owned(), 0)]);
}

#[test]
fn a_handler_that_lets_others_in_is_no_deadlock() {
    let nodes = [node("n", &["a! > b@m"]), node("m", &["b > a@n"])];
    assert_eq!(found(&nodes), [], "the call of `a` may be served beside it");
    let nodes = [node("n", &["a > b@m"]), node("m", &["b > a@n"])];
    assert_eq!(found(&nodes), []);
}

#[test]
fn a_handler_that_serves_the_very_call_need_not_be_exclusive() {
    let mut nodes = [node("n", &["a! > b@m"]), node("m", &["b > a@n"])];
    for node in &mut nodes {
        node.waiting[0].trace = Some("7".to_owned());
    }
    assert_eq!(found(&nodes), [("a@n > b@m".to_owned(), 0)]);
    nodes[1].waiting[0].handler = "other".to_owned();
    assert_eq!(found(&nodes), [], "it serves another method");
}

#[test]
fn a_full_service_lets_nobody_in_once_all_its_handlers_wait() {
    let mut nodes = [node("n", &["a! > b@m"]), node("m", &["b > a@n", "b > a@n"])];
    nodes[1].services = vec![load("b", 2, false)];
    assert_eq!(found(&nodes), [("a@n > b@m".to_owned(), 1)]);
    nodes[1].services = vec![load("b", 3, false)];
    assert_eq!(found(&nodes), [], "the third one may end");
    nodes[1].services = vec![load("b", 2, false)];
    nodes[1].waiting[1].handler_id = nodes[1].waiting[0].handler_id;
    assert_eq!(found(&nodes), [], "one handler may make two calls at once");
}

#[test]
fn shared_handlers_hold_up_all_others_once_an_exclusive_one_waits_for_them() {
    let mut nodes = [node("n", &["a! > b@m"]), node("m", &["b > a@n"])];
    nodes[1].services = vec![load("b", 1024, true)];
    assert_eq!(found(&nodes), [("a@n > b@m".to_owned(), 0)]);
}

#[test]
fn what_has_just_begun_to_wait_is_left_alone() {
    let mut nodes = [node("n", &["a! > b@m"]), node("m", &["b! > a@n"])];
    nodes[1].waiting[0].for_ms = WAITED_MS_MIN - 1;
    assert_eq!(found(&nodes), []);
}
