//! The reducer and the views that it makes, without gossip.

use std::collections::BTreeSet;

use super::*;
use crate::{NodeRecord, NodeState, ServiceRecord};

const OWN: NodeId = NodeId::from_bytes([0; 16]);

fn id(number: u8) -> NodeId {
    NodeId::from_bytes([number; 16])
}

fn record(number: u8, (generation, version): (u64, u64), state: NodeState) -> Arc<NodeRecord> {
    let chat = ServiceRecord { name: "chat.Chat".into(), version: "1".into(), weight: 1, fingerprint: 0 };
    Arc::new(NodeRecord {
        mesh: "test".into(),
        id: id(number),
        name: format!("node-{number}"),
        incarnation: generation,
        generation,
        version,
        state,
        addresses: Vec::new(),
        zone: None,
        services: vec![chat],
    })
}

fn ready(number: u8, order: (u64, u64)) -> Arc<NodeRecord> {
    record(number, order, NodeState::Ready)
}

/// What a script step does to a directory.
enum Step {
    Record(Arc<NodeRecord>),
    Alive(&'static [u8]),
    Forgotten(u8),
}

use Step::{Alive, Forgotten, Record};

fn directory(steps: Vec<Step>) -> Directory {
    let directory = Directory::new(OWN);
    for step in steps {
        directory.apply(match step {
            Record(record) => Event::Records(vec![record]),
            Alive(numbers) => Event::Alive(numbers.iter().copied().map(id).collect()),
            Forgotten(number) => Event::Forgotten(vec![id(number)]),
        });
    }
    directory
}

/// The ids and the orders of the nodes in view, after a script.
#[track_caller]
fn check(steps: Vec<Step>, wanted: &[(u8, (u64, u64))]) {
    let snapshot = directory(steps).snapshot();
    let seen: Vec<_> = snapshot.nodes().map(|record| (record.id.as_bytes()[0], record.order())).collect();
    assert_eq!(seen, wanted);
}

#[test]
fn a_node_is_in_view_once_it_has_a_record_and_shows_life() {
    check(vec![Record(ready(1, (1, 1)))], &[]);
    check(vec![Alive(&[1])], &[]);
    check(vec![Record(ready(1, (1, 1))), Alive(&[1])], &[(1, (1, 1))]);
    check(vec![Alive(&[1]), Record(ready(1, (1, 1)))], &[(1, (1, 1))]);
}

#[test]
fn this_node_is_in_view_without_a_sign_of_life() {
    check(vec![Record(ready(0, (1, 1)))], &[(0, (1, 1))]);
    check(vec![Record(ready(0, (1, 1))), Alive(&[]), Forgotten(0)], &[(0, (1, 1))]);
    check(vec![Record(record(0, (1, 1), NodeState::Gone))], &[]);
}

#[test]
fn the_newest_record_counts_whatever_the_order_of_arrival() {
    let newest = (2, 1);
    for orders in [[(1, 9), (2, 1)], [(2, 1), (1, 9)], [(2, 1), (2, 1)]] {
        let [first, second] = orders.map(|order| Record(ready(1, order)));
        check(vec![Alive(&[1]), first, second], &[(1, newest)]);
    }
}

#[test]
fn silence_takes_a_node_out_of_view_and_a_sign_of_life_brings_it_back() {
    check(vec![Record(ready(1, (1, 1))), Alive(&[1]), Alive(&[])], &[]);
    check(vec![Record(ready(1, (1, 1))), Alive(&[1]), Alive(&[]), Alive(&[1])], &[(1, (1, 1))]);
}

#[test]
fn who_left_stays_away_until_a_newer_run() {
    let left = || vec![Alive(&[1]), Record(ready(1, (1, 1))), Record(record(1, (1, 2), NodeState::Gone))];
    check(left(), &[]);
    let mut late = left();
    late.push(Record(ready(1, (1, 1))));
    check(late, &[]);
    let mut again = left();
    again.push(Record(ready(1, (2, 1))));
    check(again, &[(1, (2, 1))]);
}

#[test]
fn who_shows_life_is_not_forgotten() {
    check(vec![Record(ready(1, (1, 1))), Alive(&[1]), Forgotten(1)], &[(1, (1, 1))]);
    // Forgotten means forgotten: an older run may then be all there is.
    check(
        vec![Record(ready(1, (9, 1))), Forgotten(1), Record(ready(1, (1, 1))), Alive(&[1])],
        &[(1, (1, 1))],
    );
}

#[test]
fn a_snapshot_is_ordered_and_names_ready_endpoints_only() {
    let directory = directory(vec![
        Record(ready(3, (1, 1))),
        Record(record(2, (1, 1), NodeState::Draining)),
        Record(ready(1, (1, 1))),
        Record(record(4, (1, 1), NodeState::Starting)),
        Alive(&[1, 2, 3, 4]),
    ]);
    let snapshot = directory.snapshot();
    assert_eq!(snapshot.nodes().map(|record| record.id).collect::<Vec<_>>(), [1, 2, 3, 4].map(id));
    assert_eq!(
        snapshot.endpoints("chat.Chat").iter().map(|node| node.id).collect::<Vec<_>>(),
        [1, 3].map(id)
    );
    assert!(snapshot.endpoints("mail.Box").is_empty());
    assert_eq!(snapshot.service_names().collect::<Vec<_>>(), ["chat.Chat"]);
    assert!(snapshot.node(id(2)).is_some() && snapshot.node(id(9)).is_none());
}

#[test]
fn a_service_named_twice_is_one_endpoint() {
    let mut twice = (*ready(1, (1, 1))).clone();
    twice.services.push(twice.services[0].clone());
    let directory = directory(vec![Record(Arc::new(twice)), Alive(&[1])]);
    assert_eq!(directory.snapshot().endpoints("chat.Chat").len(), 1);
}

#[test]
fn the_version_grows_with_every_change_and_only_then() {
    let directory = directory(vec![]);
    let mut versions = vec![directory.version()];
    let mut apply = |event| {
        directory.apply(event);
        versions.push(directory.version());
    };
    apply(Event::Records(vec![ready(1, (1, 1))]));
    apply(Event::Alive(BTreeSet::from([id(1)])));
    apply(Event::Alive(BTreeSet::from([id(1), id(7)])));
    apply(Event::Records(vec![ready(1, (1, 1)), ready(1, (0, 9))]));
    apply(Event::Records(vec![ready(1, (1, 2)), ready(2, (1, 1))]));
    apply(Event::Alive(BTreeSet::new()));
    apply(Event::Forgotten(vec![id(1), id(2)]));
    assert_eq!(versions, [0, 0, 1, 1, 1, 2, 3, 3]);
}

#[tokio::test]
async fn a_watch_tells_each_node_once_however_much_happened() {
    let directory = directory(vec![Record(ready(1, (1, 1))), Record(ready(2, (1, 1))), Alive(&[1, 2])]);
    let mut watch = directory.watch();
    assert_eq!(watch.next().await, [Change::Joined(ready(1, (1, 1))), Change::Joined(ready(2, (1, 1)))]);

    directory.apply(Event::Records(vec![ready(1, (1, 2))]));
    directory.apply(Event::Records(vec![ready(1, (1, 3)), ready(3, (1, 1))]));
    directory.apply(Event::Alive([1, 3].map(id).into()));
    let updated = Change::Updated { before: ready(1, (1, 1)), after: ready(1, (1, 3)) };
    let died = Change::Died(ready(2, (1, 1)));
    assert_eq!(watch.next().await, [updated, died, Change::Joined(ready(3, (1, 1)))]);

    directory.apply(Event::Records(vec![record(3, (1, 2), NodeState::Gone)]));
    assert_eq!(watch.next().await, [Change::Left(ready(3, (1, 1)))]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_stays_silent_when_all_is_as_before() {
    let directory = directory(vec![Record(ready(1, (1, 1))), Alive(&[1])]);
    let mut watch = directory.watch();
    watch.next().await;
    directory.apply(Event::Alive(BTreeSet::new()));
    directory.apply(Event::Alive(BTreeSet::from([id(1)])));
    assert!(tokio::time::timeout(std::time::Duration::from_secs(1), watch.next()).await.is_err());
}
