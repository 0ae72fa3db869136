//! Nodes join, change, leave, die and restart.

use std::time::Duration;

use qmesh_discovery::{AnnounceError, Change, Config, NodeState, Protocol, RECORD_BYTES_MAX, StartError};
use qmesh_transport::NodeId;
use tokio::time::{Instant, timeout};

use crate::network::{Mesh, service};

const SECOND: Duration = Duration::from_secs(1);

pub(crate) async fn fifty_nodes_join_through_one_and_a_killed_one_is_gone_everywhere_within_two_seconds(
    protocol: Protocol,
) {
    let (mut mesh, mut ids) = Mesh::of(protocol, 50).await;
    let snapshot = mesh.map(ids[7]).directory().snapshot();
    assert_eq!(snapshot.endpoints("chat.Chat").len(), 50);
    assert_eq!(snapshot.service_names().collect::<Vec<_>>(), ["chat.Chat"]);

    mesh.throughout("all live", 3 * SECOND, |mesh| mesh.agree(&ids)).await;
    for _ in 0..5 {
        let dead = ids.swap_remove(ids.len() / 2);
        mesh.kill(dead);
        mesh.until("the dead are gone", 2 * SECOND, |mesh| mesh.agree(&ids)).await;
        mesh.throughout("the others live", SECOND, |mesh| mesh.agree(&ids)).await;
    }
}

pub(crate) async fn two_that_meet_know_each_other_at_once(protocol: Protocol) {
    let (mut mesh, ids) = Mesh::of(protocol, 3).await;
    let newcomer = mesh.start("newcomer", 1).await;
    mesh.greet(newcomer, ids[0]);
    let acquainted =
        |mesh: &Mesh| mesh.view(newcomer, ids[0]).is_some() && mesh.view(ids[0], newcomer).is_some();
    let took = mesh.until("they know each other", SECOND, acquainted).await;
    assert!(took < mesh.config.interval / 4, "{took:?}");
    mesh.throughout("they do not forget each other", 5 * SECOND, acquainted).await;
}

/// A detector that takes its time, as chitchat's does with a node whose first signs of life came far apart.
fn slow_detector(protocol: Protocol) -> Config {
    let mut config = Config::local();
    config.protocol = protocol;
    config.phi_threshold = 30.0;
    config
}

pub(crate) async fn silence_after_a_dead_session_is_death(protocol: Protocol) {
    let (mut mesh, mut ids) = Mesh::of_config(slow_detector(protocol), 5).await;
    // A run that is too young to know anybody takes nobody's silence for death.
    mesh.throughout("all live", 15 * SECOND, |mesh| mesh.agree(&ids)).await;
    let dead = ids.swap_remove(2);
    mesh.kill(dead);
    ids.iter().for_each(|id| mesh.map(*id).suspect(dead));
    // What it said last may still be under way to some.
    let latest = mesh.config.silence_min + mesh.config.interval * 2;
    mesh.until("the dead is gone", latest, |mesh| mesh.agree(&ids)).await;
}

pub(crate) async fn a_node_whose_sessions_died_lives_as_long_as_others_hear_it(protocol: Protocol) {
    let (mut mesh, mut ids) = Mesh::of_config(slow_detector(protocol), 4).await;
    let remote = mesh.start_behind(ids[0], "remote").await;
    ids.push(remote);
    mesh.until("all know it", 2 * SECOND, |mesh| mesh.agree(&ids)).await;
    mesh.throughout("all live", 15 * SECOND, |mesh| mesh.agree(&ids)).await;
    ids[1..4].iter().for_each(|id| mesh.map(*id).suspect(remote));
    mesh.throughout("it lives", 15 * SECOND, |mesh| mesh.agree(&ids)).await;
}

pub(crate) async fn a_change_reaches_all_peers_at_once(protocol: Protocol) {
    let (mesh, ids) = Mesh::of(protocol, 10).await;
    mesh.map(ids[3]).announce(|own| own.services.push(service("mail.Box"))).unwrap();
    let is_known = |mesh: &Mesh| {
        ids.iter().all(|id| mesh.map(*id).directory().snapshot().endpoints("mail.Box").len() == 1)
    };
    let took = mesh.until("all know", SECOND, is_known).await;
    assert!(took < Duration::from_millis(50), "{took:?}");
}

pub(crate) async fn only_ready_nodes_are_endpoints(protocol: Protocol) {
    let (mesh, ids) = Mesh::of(protocol, 3).await;
    mesh.map(ids[1]).announce(|own| own.state = NodeState::Draining).unwrap();
    let endpoints = |mesh: &Mesh| mesh.map(ids[0]).directory().snapshot().endpoints("chat.Chat").len();
    mesh.until("one drains", SECOND, |mesh| endpoints(mesh) == 2).await;
    assert_eq!(mesh.view(ids[0], ids[1]).unwrap().state, NodeState::Draining);
}

pub(crate) async fn who_leaves_is_gone_within_an_interval_and_can_announce_nothing_more(protocol: Protocol) {
    let (mut mesh, mut ids) = Mesh::of(protocol, 50).await;
    let mut watch = mesh.map(ids[0]).directory().watch();
    assert_eq!(watch.next().await.len(), 50);

    let leaver = ids.remove(20);
    let map = mesh.map(leaver).clone();
    let (_, took) = tokio::join!(map.leave(), async {
        mesh.until("all others know", SECOND, |mesh| ids.iter().all(|id| mesh.view(*id, leaver).is_none()))
            .await
    });
    assert!(took <= mesh.config.interval, "{took:?}");
    let changes = watch.next().await;
    assert!(matches!(&changes[..], [Change::Left(record)] if record.id == leaver), "{changes:?}");

    assert_eq!(map.announce(|own| own.state = NodeState::Ready), Err(AnnounceError::Left));
    assert_eq!(map.restart().await, Err(StartError::Left));
    map.leave().await;
    mesh.kill(leaver);
    mesh.throughout("it stays away", 5 * SECOND, |mesh| mesh.agree(&ids)).await;
}

pub(crate) async fn who_leaves_waits_for_those_who_do_not_know_and_for_two_intervals_at_most(
    protocol: Protocol,
) {
    let (mut mesh, ids) = Mesh::of(protocol, 5).await;
    let whole = mesh.config.interval * 2;
    let until_known = match protocol {
        Protocol::Chitchat => mesh.config.interval / 4,
        _ => whole,
    };
    assert!(leave(&mesh, ids[1]).await <= until_known);
    assert!(ids.iter().all(|id| mesh.view(*id, ids[1]).is_none()));

    mesh.cut_off(&[ids[2]]);
    assert_eq!(leave(&mesh, ids[3]).await, whole, "one does not hear it");
    assert!([0, 4].into_iter().all(|other| mesh.view(ids[other], ids[3]).is_none()));

    mesh.kill(ids[2]);
    leave(&mesh, ids[4]).await;
    mesh.until("the killed one is gone", 5 * SECOND, |mesh| mesh.view(ids[0], ids[2]).is_none()).await;
    assert_eq!(leave(&mesh, ids[0]).await, whole, "it hears nobody, and one has not left");
}

pub(crate) async fn the_last_to_leave_waits_for_nobody(protocol: Protocol) {
    let (mesh, ids) = Mesh::of(protocol, 2).await;
    leave(&mesh, ids[1]).await;
    let took = leave(&mesh, ids[0]).await;
    assert!(protocol != Protocol::Chitchat || took < mesh.config.interval / 4, "{took:?}");
}

/// How long it takes.
async fn leave(mesh: &Mesh, id: NodeId) -> Duration {
    let began = Instant::now();
    mesh.map(id).leave().await;
    began.elapsed()
}

pub(crate) async fn a_watch_tells_joins_updates_and_deaths_and_survives_being_cancelled(protocol: Protocol) {
    let (mut mesh, ids) = Mesh::of(protocol, 2).await;
    let mut watch = mesh.map(ids[0]).directory().watch();
    assert!(matches!(&watch.next().await[..], [Change::Joined(_), Change::Joined(_)]));
    assert!(timeout(SECOND, watch.next()).await.is_err(), "nothing changes");

    mesh.map(ids[1]).announce(|own| own.zone = Some("cellar".to_owned())).unwrap();
    let changes = watch.next().await;
    assert!(matches!(&changes[..], [Change::Updated { before, after }]
        if before.zone.is_none() && after.zone.as_deref() == Some("cellar")));

    mesh.kill(ids[1]);
    let changes = watch.next().await;
    assert!(matches!(&changes[..], [Change::Died(record)] if record.id == ids[1]));
}

pub(crate) async fn a_restarted_node_replaces_its_former_self_without_a_gap(protocol: Protocol) {
    let (mut mesh, ids) = Mesh::of(protocol, 5).await;
    mesh.kill(ids[2]);
    let again = mesh.start("node-2", 1_000).await;
    assert_eq!(again, ids[2]);
    mesh.greet(again, ids[0]);
    let is_new = |mesh: &Mesh| {
        ids.iter().all(|id| mesh.view(*id, again).is_some_and(|node| node.incarnation == 1_000))
    };
    mesh.until("all know the new one", 2 * SECOND, is_new).await;
    mesh.throughout("it stays", 5 * SECOND, is_new).await;
}

pub(crate) async fn a_node_whose_clock_went_back_replaces_its_former_self(protocol: Protocol) {
    let mut mesh = Mesh::new(protocol);
    let (first, other) = (mesh.start("first", 1_000).await, mesh.start("other", 1).await);
    mesh.greet(first, other);
    mesh.until("both know both", 5 * SECOND, |mesh| mesh.agree(&[first, other])).await;
    mesh.kill(first);

    mesh.start("first", 10).await;
    mesh.greet(first, other);
    let is_new = |mesh: &Mesh| mesh.view(other, first).is_some_and(|node| node.incarnation == 10);
    mesh.until("the new one is known", 2 * SECOND, is_new).await;
    mesh.throughout("it stays", 5 * SECOND, is_new).await;
    let record = mesh.view(first, first).unwrap();
    assert!(record.generation > 1_000, "{record:?}");
}

pub(crate) async fn a_restart_of_gossip_keeps_the_directory_and_nobody_notices(protocol: Protocol) {
    let (mesh, ids) = Mesh::of(protocol, 10).await;
    let before = mesh.view(ids[0], ids[4]).unwrap();
    mesh.map(ids[4]).restart().await.unwrap();
    mesh.throughout("all know all", 6 * SECOND, |mesh| mesh.agree(&ids)).await;
    let after = mesh.view(ids[0], ids[4]).unwrap();
    assert!(after.generation > before.generation && after.version > before.version);
    assert_eq!(after.incarnation, before.incarnation);
}

pub(crate) async fn a_record_that_is_too_large_is_refused_with_the_limit_and_the_old_one_stays(
    protocol: Protocol,
) {
    let (mesh, ids) = Mesh::of(protocol, 2).await;
    let many = (0..200).map(|number| service(&format!("service.Number{number}")));
    let refused = mesh.map(ids[0]).announce(|own| own.services.extend(many)).unwrap_err();
    let AnnounceError::TooLarge(too_large) = refused else { panic!("{refused}") };
    assert_eq!(too_large.limit, RECORD_BYTES_MAX);
    assert!(too_large.bytes > RECORD_BYTES_MAX);
    assert!(refused.to_string().contains("4096"), "{refused}");

    mesh.map(ids[0]).announce(|own| own.zone = Some("cellar".to_owned())).unwrap();
    let is_known = |mesh: &Mesh| mesh.view(ids[1], ids[0]).is_some_and(|node| node.zone.is_some());
    mesh.until("later changes arrive", SECOND, is_known).await;
    assert_eq!(mesh.view(ids[1], ids[0]).unwrap().services.len(), 1);
}

pub(crate) async fn forty_services_fit_into_a_record(protocol: Protocol) {
    let (mesh, ids) = Mesh::of(protocol, 2).await;
    let forty = (0..40).map(|number| service(&format!("company.product.Service{number}")));
    mesh.map(ids[0]).announce(|own| own.services = forty.collect()).unwrap();
    let is_known = |mesh: &Mesh| mesh.view(ids[1], ids[0]).is_some_and(|node| node.services.len() == 40);
    mesh.until("it arrives", SECOND, is_known).await;
}

pub(crate) async fn a_full_mesh_refuses_one_more_and_counts_it(protocol: Protocol) {
    let mut mesh = Mesh::new(protocol);
    mesh.config.nodes_max = 3;
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(mesh.start(&format!("node-{number}"), 1).await);
        mesh.greet(ids[number], ids[0]);
    }
    mesh.until("three know three", 5 * SECOND, |mesh| mesh.agree(&ids)).await;
    let late = mesh.start("late", 1).await;
    mesh.greet(late, ids[0]);
    mesh.throughout("it stays out", 3 * SECOND, |mesh| ids.iter().all(|id| mesh.view(*id, late).is_none()))
        .await;
    assert!(mesh.map(ids[0]).stats().rejections(qmesh_discovery::Rejection::Full) > 0);
}

pub(crate) async fn records_that_fill_many_messages_reach_a_newcomer(protocol: Protocol) {
    let (mut mesh, mut ids) = Mesh::of(protocol, 20).await;
    for id in &ids {
        let many = (0..45).map(|number| service(&format!("of.{}.Service{number}", id.short())));
        mesh.map(*id).announce(|own| own.services.extend(many)).unwrap();
    }
    let newcomer = mesh.start_behind(ids[0], "newcomer").await;
    ids.push(newcomer);
    let names = |mesh: &Mesh| mesh.map(newcomer).directory().snapshot().service_names().len();
    let sees_all = |mesh: &Mesh| mesh.agree(&ids) && names(mesh) == 20 * 45 + 1;
    mesh.until("a newcomer sees all", 5 * SECOND, sees_all).await;
}

pub(crate) async fn one_in_twenty_messages_lost_kills_nobody_and_hides_no_death(protocol: Protocol) {
    let (mut mesh, mut ids) = Mesh::of(protocol, 50).await;
    mesh.lose_one_of(20);
    mesh.throughout("all live", 30 * SECOND, |mesh| mesh.agree(&ids)).await;
    let dead = ids.swap_remove(20);
    mesh.kill(dead);
    let took = mesh.until("the dead is gone", 2 * SECOND, |mesh| mesh.agree(&ids)).await;
    println!("with losses a killed one is gone everywhere after {took:?}");
}

pub(crate) async fn slow_messages_kill_nobody_and_hide_no_death(protocol: Protocol) {
    let (mut mesh, mut ids) = Mesh::of(protocol, 50).await;
    mesh.slow_by(100);
    mesh.throughout("all live", 10 * SECOND, |mesh| mesh.agree(&ids)).await;
    let dead = ids.swap_remove(20);
    mesh.kill(dead);
    let took = mesh.until("the dead is gone", 4 * SECOND, |mesh| mesh.agree(&ids)).await;
    println!("in a slow network a killed one is gone everywhere after {took:?}");
}
