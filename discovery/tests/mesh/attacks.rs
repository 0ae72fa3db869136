//! A member lies to chitchat. Each attack works on it where it is bare, and must fail here: it is counted under its name, nobody dies of it,
//! and everybody can still announce.
//!
//! What needs a genuine signature to lie with (records under other versions, by strangers, from the past) is tested at the
//! filter.

use std::time::Duration;

use qmesh_discovery::{NodeState, Protocol, Rejection};
use qmesh_transport::NodeId;
use tokio::time::sleep;

use crate::{
    forge::{self, DELETED, Delta, EXPIRING, SET},
    network::{Mesh, service},
};

/// The key that records have.
const KEY: &str = "r";

/// The generation of all nodes here.
const GENERATION: u64 = 1;

/// Lets a liar tell a viewer and the victim itself something about the victim.
async fn check(rejection: Rejection, lie: impl Fn(NodeId) -> Vec<u8>) {
    let (mesh, ids) = Mesh::of(Protocol::Chitchat, 4).await;
    let [viewer, liar, victim, _] = ids[..] else { panic!("four nodes") };
    for target in [viewer, victim] {
        mesh.map(target).received(liar, lie(victim).into());
    }
    assert!(mesh.map(viewer).stats().rejections(rejection) > 0, "{:?}", mesh.map(viewer).stats());
    stays_healthy(mesh, &ids).await;
}

/// The first node was lied to about the third.
async fn stays_healthy(mut mesh: Mesh, ids: &[NodeId]) {
    let [viewer, _, victim, _] = ids[..] else { panic!("four nodes") };
    mesh.throughout("all see all", Duration::from_secs(3), |mesh| mesh.agree(ids)).await;
    mesh.map(victim).announce(|own| own.services.push(service("still.Here"))).unwrap();
    sleep(Duration::from_secs(1)).await;

    // What a lie does to the viewer's gossip shows in what it tells a newcomer.
    let newcomer = mesh.start_behind(viewer, "newcomer").await;
    let all: Vec<_> = ids.iter().copied().chain([newcomer]).collect();
    mesh.until("a newcomer sees all", Duration::from_secs(2), |mesh| mesh.agree(&all)).await;
    mesh.throughout("all see all", Duration::from_secs(3), |mesh| mesh.agree(&all)).await;
    for id in all {
        let snapshot = mesh.map(id).directory().snapshot();
        assert_eq!(snapshot.endpoints("chat.Chat").len(), ids.len() + 1);
        assert_eq!(snapshot.endpoints("still.Here").len(), 1);
        assert_eq!(snapshot.node(victim).unwrap().state, NodeState::Ready);
        assert_eq!(snapshot.node(id).unwrap().generation, GENERATION, "no gossip loop broke");
    }
}

#[tokio::test(start_paused = true)]
async fn a_forged_tombstone_removes_nothing() {
    check(Rejection::Tombstone, |victim| {
        Delta::about(victim, GENERATION, 0).entry(KEY, "", 1_000, DELETED).ack()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_time_to_live_removes_nothing() {
    check(Rejection::TimeToLive, |victim| {
        Delta::about(victim, GENERATION, 0).entry(KEY, "", 1_000, EXPIRING).ack()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_record_that_nobody_signed_replaces_nothing() {
    check(Rejection::Unverified, |victim| {
        Delta::about(victim, GENERATION, 0).entry(KEY, "AAAA", 1_000, SET).ack()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_foreign_key_is_kept_out() {
    check(Rejection::ForeignKey, |victim| {
        Delta::about(victim, GENERATION, 0).entry("evil", "1", 1_000, SET).ack()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_forged_newest_version_freezes_nobody() {
    check(Rejection::Version, |victim| Delta::about(victim, GENERATION, 0).newest(u64::MAX).ack()).await;
}

#[tokio::test(start_paused = true)]
async fn versions_that_go_back_panic_no_gossip_loop() {
    check(Rejection::Version, |victim| {
        Delta::about(victim, GENERATION, 0).entry(KEY, "v", 900, SET).newest(800).ack()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_collected_version_resets_nobody() {
    check(Rejection::Collected, |victim| Delta::about(victim, GENERATION, 900).newest(1_000).ack()).await;
    check(Rejection::Collected, |victim| forge::syn("test", victim, GENERATION, [9, u64::MAX, 1])).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_about_itself() {
    let (mesh, ids) = Mesh::of(Protocol::Chitchat, 4).await;
    let lie = Delta::about(ids[2], GENERATION, 0).newest(u64::MAX).ack();
    mesh.map(ids[2]).received(ids[1], lie.into());
    assert_eq!(mesh.map(ids[2]).stats().rejections(Rejection::AboutUs), 1);
    stays_healthy(mesh, &ids).await;
}

#[tokio::test(start_paused = true)]
async fn an_impossible_heartbeat_kills_nobody() {
    check(Rejection::Heartbeat, |victim| forge::syn("test", victim, GENERATION, [u64::MAX, 0, 1])).await;
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_is_forged_within_reason_is_overtaken_by_its_owner() {
    let (mesh, ids) = Mesh::of(Protocol::Chitchat, 4).await;
    let lie = forge::syn("test", ids[2], GENERATION, [1_000_000_000, 0, 1]);
    for viewer in [ids[0], ids[3]] {
        mesh.map(viewer).received(ids[1], lie.clone().into());
    }
    let victim = mesh.map(ids[2]).clone();
    stays_healthy(mesh, &ids).await;
    assert_eq!(victim.stats().heartbeats_overtaken, 1);
}

#[tokio::test(start_paused = true)]
async fn nodes_that_do_not_exist_take_no_place() {
    let (mesh, ids) = Mesh::of(Protocol::Chitchat, 4).await;
    let before = mesh.map(ids[0]).stats();
    for number in 0..200 {
        let invented = NodeId::from_bytes([number; 16]);
        mesh.map(ids[0]).received(ids[1], forge::syn("test", invented, 1, [5, 0, 1]).into());
    }
    let after = mesh.map(ids[0]).stats();
    assert_eq!(after.digest_nodes, before.digest_nodes);
    assert_eq!(after.unproven, before.unproven + 200);
    stays_healthy(mesh, &ids).await;
}

#[tokio::test(start_paused = true)]
async fn runs_of_oneself_without_number_take_few_places() {
    let (mesh, ids) = Mesh::of(Protocol::Chitchat, 4).await;
    for generation in 2..500 {
        mesh.map(ids[0]).received(ids[1], forge::syn("test", ids[1], generation, [5, 0, 1]).into());
    }
    let stats = mesh.map(ids[0]).stats();
    assert!(stats.rejections(Rejection::Full) > 400, "{stats:?}");
    assert!(stats.digest_nodes < 70, "{stats:?}");
    stays_healthy(mesh, &ids).await;
}

#[tokio::test(start_paused = true)]
async fn one_node_under_two_names_is_refused() {
    check(Rejection::Identity, |victim| forge::named_syn("test", "victim", victim, GENERATION, [5, 0, 1]))
        .await;
}

#[tokio::test(start_paused = true)]
async fn another_mesh_is_not_answered() {
    check(Rejection::OtherMesh, |victim| forge::syn("other", victim, GENERATION, [5, 0, 1])).await;
    check(Rejection::OtherMesh, |_| forge::bad_cluster()).await;
}

#[tokio::test(start_paused = true)]
async fn a_bomb_does_not_go_off() {
    check(Rejection::Bomb, |_| forge::bomb()).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_too_long_or_makes_no_sense_is_refused() {
    check(Rejection::Oversize, |_| vec![0; 65_511]).await;
    check(Rejection::Malformed, |_| b"GET / HTTP/1.1\r\n".to_vec()).await;
    check(Rejection::Malformed, |victim| {
        let mut trailing = forge::syn("test", victim, GENERATION, [5, 0, 1]);
        trailing.push(0);
        trailing
    })
    .await;
}
