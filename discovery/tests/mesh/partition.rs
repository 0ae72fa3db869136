//! Meshes that are cut, and heal.

use std::{collections::BTreeSet, time::Duration};

use qmesh_discovery::Protocol;
use qmesh_transport::NodeId;
use tokio::time::sleep;

use crate::network::Mesh;

/// Cuts `away` off for a time, heals the cut and lets one pair's session come up again, as the seed actor would.
async fn cut_and_heal(mesh: &Mesh, ids: &[NodeId], away: usize, time: Duration) {
    let (cut_off, rest) = ids.split_at(away);
    mesh.cut_off(cut_off);
    let (left, right): (BTreeSet<_>, BTreeSet<_>) =
        (cut_off.iter().copied().collect(), rest.iter().copied().collect());
    mesh.until("each half sees itself alone", Duration::from_secs(4), |mesh| {
        cut_off.iter().all(|id| mesh.sees(*id, &left)) && rest.iter().all(|id| mesh.sees(*id, &right))
    })
    .await;
    sleep(time).await;
    mesh.cut_off(&[]);
    mesh.greet(cut_off[0], rest[0]);
    let took = mesh.until("all know all again", Duration::from_secs(2), |mesh| mesh.agree(ids)).await;
    println!("healed after {took:?}");
    mesh.throughout("it stays healed", Duration::from_secs(5), |mesh| mesh.agree(ids)).await;
}

pub(crate) async fn a_short_cut_heals(protocol: Protocol) {
    let (mesh, ids) = Mesh::of(protocol, 10).await;
    cut_and_heal(&mesh, &ids, 5, Duration::from_secs(5)).await;
}

pub(crate) async fn a_cut_through_fifty_nodes_heals(protocol: Protocol) {
    let (mesh, ids) = Mesh::of(protocol, 50).await;
    cut_and_heal(&mesh, &ids, 20, Duration::from_secs(30)).await;
}

pub(crate) async fn halves_that_have_forgotten_each_other_find_together_again(protocol: Protocol) {
    let (mesh, ids) = Mesh::of(protocol, 4).await;
    cut_and_heal(&mesh, &ids, 2, Duration::from_mins(10)).await;
}

pub(crate) async fn halves_that_are_about_to_forget_each_other_find_together_again(protocol: Protocol) {
    let (mesh, ids) = Mesh::of(protocol, 4).await;
    cut_and_heal(&mesh, &ids, 2, mesh.config.dead_grace.mul_f64(0.7)).await;
}

pub(crate) async fn a_node_that_was_silent_for_ten_minutes_comes_back_as_the_same(protocol: Protocol) {
    let (mesh, ids) = Mesh::of(protocol, 3).await;
    let before = mesh.view(ids[1], ids[0]).unwrap();
    cut_and_heal(&mesh, &ids, 1, Duration::from_mins(10)).await;
    assert_eq!(
        mesh.view(ids[1], ids[0]).unwrap(),
        before,
        "neither its incarnation nor its generation has changed"
    );
}
