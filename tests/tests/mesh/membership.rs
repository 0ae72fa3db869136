//! Many nodes find each other, and notice who is gone.

use futures_util::future::join_all;
use qmesh::{MemoryNetwork, Node};
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
async fn a_mesh_cut_for_ten_minutes_heals() {
    let mesh = Mesh::new();
    let mut nodes = Vec::new();
    for number in 0..6 {
        nodes.push(mesh.node(&format!("node-{number}")).serve(work::server()).start().await.unwrap());
    }
    watch::agree(&nodes, secs(30)).await;

    let (here, there) = nodes.split_at(3);
    cut(&mesh.network, here, there);
    watch::agree(here, secs(5)).await;
    watch::agree(there, secs(5)).await;
    tokio::time::sleep(secs(600)).await;

    mesh.network.heal_all();
    let took = watch::agree(&nodes, secs(20)).await;
    println!("healed after {took:?}");
    let client = nodes[5].client::<work::WorkClient>();
    client.whoami().timeout(secs(2)).await.unwrap();
    Mesh::end(nodes).await;
}

fn cut(network: &MemoryNetwork, here: &[Node], there: &[Node]) {
    let names = |nodes: &[Node]| nodes.iter().map(|node| node.name().to_owned()).collect::<Vec<_>>();
    let (here, there) = (names(here), names(there));
    let [here, there] = [&here, &there].map(|names| names.iter().map(String::as_str).collect::<Vec<_>>());
    network.isolate(&[&here, &there]);
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
