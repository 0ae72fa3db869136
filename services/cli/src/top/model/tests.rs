//! Rates of two answers, and what is told of them.

use serde_json::{Value, json};

use super::*;

pub(crate) fn answers(traffic: &[Value]) -> Answers {
    let nodes = traffic.iter().map(|told| {
        let node = json!({
            "name": told["node"], "id": "x", "state": "ready", "addresses": [], "services": [], "zone": null,
            "incarnation": 1, "connected": true, "round_trip_us": null,
        });
        serde_json::from_value(node).unwrap()
    });
    let told = traffic.iter().map(|told| {
        let traffic: Traffic = serde_json::from_value(told.clone()).unwrap();
        (traffic.node.clone(), Ok(traffic))
    });
    Answers { asked: "a".to_owned(), nodes: nodes.collect(), traffic: told.collect() }
}

pub(crate) fn flow(
    (from, node): (&str, &str),
    method: &str,
    (calls, failed): (u64, u64),
    bucket: u16,
) -> Value {
    let (service, method) = method.split_once('/').unwrap();
    json!({
        "from": from, "node": node, "service": service, "method": method, "calls": calls, "in_flight": 2,
        "failed": if failed > 0 { json!({"refused": failed}) } else { json!({}) },
        "latency": [[bucket, calls]],
    })
}

pub(crate) fn traffic(node: &str, clock_us: u64, flows: &[Value], served: &[Value]) -> Value {
    json!({
        "node": node, "unix_ms": 0, "clock_us": clock_us, "since_us": 1_000_000, "flows": flows, "served": served,
        "services": [], "sessions": [], "waiting": [],
    })
}

pub(crate) fn load(service: &str, depth: u64, oldest_ms: u64) -> Value {
    json!({
        "service": service, "ready": true, "depth": depth, "capacity": 1024, "oldest_ms": oldest_ms,
        "running": null, "running_ms": 0, "held_up": null, "restarts": 1,
    })
}

#[test]
fn rates_are_what_came_between_two_answers() {
    let shop = |clock, calls, failed| {
        let mut told = traffic(
            "b",
            clock,
            &[flow(("shop.Cart", "b"), "shop.Stock/take", (calls, failed), 40)],
            &[
                flow(("", "a"), "shop.Cart/add", (calls * 2, 0), 16),
                flow(("", "b"), "shop.Stock/take", (calls, failed), 32),
            ],
        );
        told["services"] = json!([load("shop.Cart", 3, 7), load("shop.Stock", 1, 0)]);
        told
    };
    let caller = |clock, calls| traffic("a", clock, &[flow(("", "b"), "shop.Cart/add", (calls, 0), 48)], &[]);
    let before = answers(&[caller(5_000_000, 100), shop(9_000_000, 100, 10)]);
    let after = answers(&[caller(7_000_000, 300), shop(11_000_000, 200, 30)]);
    let seen = Snapshot::between(&before, &after);

    let cart = &seen.services[0];
    assert_eq!((cart.service.as_str(), cart.calls.rate, cart.calls.errors), ("shop.Cart", 100.0, 0.0));
    assert_eq!((cart.depth, cart.oldest_ms, cart.restarts, cart.endpoints.len()), (3, 7, 1, 1));
    assert_eq!(cart.calls.p99_us, Some(Latency::upper_us(16)));
    assert_eq!(cart.callers[0].calls.p50_us, Some(Latency::upper_us(48)), "as its caller sees it");
    let stock = &seen.services[1];
    assert_eq!((stock.calls.rate, stock.calls.errors), (50.0, 0.2));
    assert_eq!(stock.calls.failed, BTreeMap::from([("refused".to_owned(), 10.0)]));
    assert_eq!((stock.callers[0].from.as_str(), stock.callers[0].node.as_str()), ("shop.Cart", "b"));
    assert_eq!((stock.methods[0].method.as_str(), stock.methods[0].calls.rate), ("take", 50.0));

    let rates: Vec<_> = seen.nodes.iter().map(|node| (node.node.as_str(), node.serves, node.makes)).collect();
    assert_eq!(rates, [("a", 0.0, 100.0), ("b", 150.0, 50.0)]);
    let edges: Vec<_> = seen.edges.iter().map(|edge| (edge.from.as_str(), edge.service.as_str())).collect();
    assert_eq!(edges, [("", "shop.Cart"), ("shop.Cart", "shop.Stock")]);
    assert_eq!((seen.rate, (seen.errors * 1500.0).round()), (150.0, 100.0));
}

#[test]
fn a_node_that_began_anew_has_no_negative_rate() {
    let before = answers(&[traffic("a", 5_000_000, &[flow(("", "b"), "s/m", (100, 0), 1)], &[])]);
    let mut restarted = traffic("a", 3_000_000, &[flow(("", "b"), "s/m", (10, 0), 1)], &[]);
    restarted["since_us"] = json!(2_000_000);
    let seen = Snapshot::between(&before, &answers(&[restarted]));
    assert_eq!(seen.edges[0].calls.rate, 10.0);
}

#[test]
fn a_node_that_says_nothing_is_there_with_why() {
    let mut after = answers(&[traffic("a", 5_000_000, &[], &[])]);
    let why = Failure::new(qmesh::Outcome::Unknown, qmesh::Reason::DeadlineExceeded, "no answer in time");
    after.traffic.insert("b".to_owned(), Err(why));
    let seen = Snapshot::between(&Answers::default(), &after);
    assert_eq!(seen.nodes.len(), 2);
    assert!(seen.nodes[1].silent.as_ref().unwrap().contains("no answer in time"));
}
