//! What the protocols cost is what is written of them.

use std::time::Duration;

use qmesh_discovery::Protocol;
use tokio::time::sleep;

use crate::network::Mesh;

/// What a node of fifty sends in a second, and the size of its digest.
async fn cost(protocol: Protocol) -> (u64, usize) {
    let (mesh, ids) = Mesh::of(protocol, 50).await;
    let sent = |mesh: &Mesh| ids.iter().map(|id| mesh.map(*id).stats().bytes_out).sum::<u64>();
    let before = sent(&mesh);
    sleep(Duration::from_secs(2)).await;
    ((sent(&mesh) - before) / 50 / 2, mesh.map(ids[0]).stats().digest_bytes)
}

#[tokio::test(start_paused = true)]
async fn chitchat_sends_six_digests_an_interval() {
    let (per_node_s, digest) = cost(Protocol::Chitchat).await;
    let documented = 6 * 50 * 53 * 5;
    assert!(per_node_s.abs_diff(documented) < documented / 20, "{per_node_s} B/s");
    assert_eq!(digest, 2 + 50 * 53);
}

#[tokio::test(start_paused = true)]
async fn pulses_are_three_an_interval_and_a_few_answers_of_a_byte_for_each_node() {
    let (per_node_s, digest) = cost(Protocol::Pulse).await;
    assert_eq!(digest, 7 + 10 + 50);
    let (least, most) = (15 * 4 / 5 * digest as u64, 18 * digest as u64);
    assert!((least..=most).contains(&per_node_s), "{per_node_s} B/s, not {least} to {most}");
}
