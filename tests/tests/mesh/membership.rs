//! Many nodes find each other, and notice who is gone.

use futures_util::future::join_all;
use qmesh::{Config, GossipProtocol, Node};
use qmesh_tests::{Mesh, secs, watch, work};

async fn fifty(mesh: &Mesh) -> Vec<Node> {
    let mut nodes = Vec::new();
    for number in 0..50 {
        nodes.push(mesh.node(&format!("node-{number}")).serve(work::server()).start().await.unwrap());
    }
    watch::agree(&nodes, secs(10)).await;
    // A node that has just started takes nobody's silence for death yet.
    tokio::time::sleep(secs(4)).await;
    nodes
}

#[tokio::test(start_paused = true)]
async fn fifty_nodes_that_join_through_one_seed_agree_and_notice_deaths_departures_and_restarts() {
    let mesh = Mesh::new();
    let mut nodes = fifty(&mesh).await;

    let killed = nodes.swap_remove(20);
    mesh.network.crash(killed.name());
    drop(killed);
    let took = watch::agree(&nodes, secs(2)).await;
    println!("a killed one is gone everywhere after {took:?}");

    let leaving = nodes.swap_remove(30);
    let (took, ()) = tokio::join!(watch::agree(&nodes, secs(1)), leaving.shutdown());
    println!("one that left is gone everywhere after {took:?}");

    let former = nodes.swap_remove(10);
    let (id, name) = (former.id(), former.name().to_owned());
    let incarnation = former.directory().snapshot().node(id).unwrap().incarnation;
    mesh.network.crash(&name);
    drop(former);
    let again = mesh.node(&name).serve(work::server()).start().await.unwrap();
    assert_eq!(again.id(), id, "a node keeps its id");
    assert!(again.directory().snapshot().node(id).unwrap().incarnation > incarnation, "this is a new life");
    nodes.push(again);
    let took = watch::agree(&nodes, secs(2)).await;
    println!("a restarted one has replaced its former self everywhere after {took:?}");
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn nodes_that_dial_each_other_at_once_settle_on_one_session() {
    for _ in 0..20 {
        let mesh = Mesh::new();
        let names = ["node-0", "b", "c", "d", "e"];
        let starts = names.map(|name| mesh.node(name).serve(work::server()).start());
        let nodes: Vec<_> = join_all(starts).await.into_iter().map(|node| node.unwrap()).collect();
        watch::agree(&nodes, secs(5)).await;
        tokio::time::sleep(secs(3)).await;
        for node in &nodes {
            let unconnected: Vec<_> = node.nodes().into_iter().filter(|node| !node.connected).collect();
            assert!(unconnected.is_empty(), "{} has no session with {unconnected:?}", node.name());
        }
        Mesh::end(nodes).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_that_gossip_otherwise_stay_strangers() {
    let mesh = Mesh::new();
    let first = mesh.node("node-0").serve(work::server()).start().await.unwrap();
    let mut config = Config::local();
    config.gossip.protocol = GossipProtocol::Pulse;
    let other = mesh.node("other").config(config).serve(work::server()).start().await.unwrap();
    tokio::time::sleep(secs(10)).await;
    for node in [&first, &other] {
        assert_eq!(node.directory().snapshot().nodes().count(), 1, "{} sees itself alone", node.name());
    }
    Mesh::end([first, other]).await;
}
