//! Many nodes find each other, and notice who is gone.

use futures_util::future::join_all;
use qmesh::{Config, GossipProtocol, Node};
use qmesh_tests::{
    Mesh, millis, secs,
    stranger::{Stranger, frame, hello, kind, read_frame},
    watch, work,
};
use tokio::time::timeout;

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

/// Were it the one that is introduced last, the dialler could stay with the other one, and each side would retire the
/// session that the other one uses.
#[tokio::test(start_paused = true)]
async fn of_two_sessions_that_one_side_dialled_the_later_dial_stays_whichever_is_introduced_last() {
    let mesh = Mesh::new();
    let node = mesh.node("node-0").serve(work::server()).start().await.unwrap();
    let stranger = Stranger::in_memory(&mesh.network, &mesh.identity, "node-0").unwrap();
    let mut sessions = Vec::new();
    for dial in [2, 1, 3, 3] {
        let said = [hello(1, "tests"), vec![0x40, dial]].concat();
        let (session, mut control) = stranger.say(frame(kind::HELLO, &said)).await.unwrap();
        assert_eq!(read_frame(&mut control).await.unwrap().unwrap().0, kind::HELLO);
        tokio::time::sleep(millis(10)).await;
        sessions.push((session, control));
    }
    let mut ended = Vec::new();
    for (session, _control) in &sessions {
        ended.push(timeout(millis(1), session.closed()).await.is_ok());
    }
    assert_eq!(
        ended,
        [false, true, false, false],
        "what is replaced may finish, what comes too late may not begin"
    );
    for (session, _control) in [&sessions[0], &sessions[2]] {
        let why = timeout(secs(1), session.closed()).await.expect("it is replaced").to_string();
        assert!(why.contains("(2)"), "{why}");
    }
    let (last, _control) = &sessions[3];
    timeout(secs(10), last.closed()).await.expect_err("the last one stays");
    drop(sessions);
    Mesh::end([node]).await;
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
