//! Several nodes in one process, and how they end.

use qmesh::{Address, Identity, Node, Outcome, StartError, prelude::Config};
use qmesh_tests::{
    Mesh, millis, secs, spawn, watch,
    work::{self, WorkClient},
};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn nodes_of_one_process_are_strangers_until_they_meet() {
    let (one, other) = (Mesh::new(), Mesh::new());
    let one = [
        one.node("node-0").serve(work::server()).start().await.unwrap(),
        one.node("b").start().await.unwrap(),
    ];
    let other = [other.node("node-0").start().await.unwrap(), other.node("b").start().await.unwrap()];
    watch::agree(&one, secs(10)).await;
    watch::agree(&other, secs(10)).await;
    assert_eq!(one[1].client::<WorkClient>().whoami().await.unwrap(), "node-0");
    let failure = other[1].client::<WorkClient>().whoami().timeout(secs(1)).await.unwrap_err();
    assert_eq!(failure.outcome(), Outcome::NotSent, "{failure}");
    Mesh::end(one.into_iter().chain(other)).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_dropped_is_like_a_killed_one() {
    let mesh = Mesh::new();
    let lobby = mesh.node("node-0").start().await.unwrap();
    let dropped = mesh.node("dropped").serve(work::server()).start().await.unwrap();
    let client = lobby.client::<WorkClient>();
    assert_eq!(client.whoami().await.unwrap(), "dropped");
    let under_way = spawn({
        let client = client.clone();
        async move { client.add(1, 60_000).await }
    });
    // A node that has just started takes nobody's silence for death yet.
    tokio::time::sleep(secs(4)).await;

    let start = Instant::now();
    drop(dropped);
    let failure = under_way.await.unwrap().unwrap_err();
    assert_eq!(failure.outcome(), Outcome::Unknown, "{failure}");
    assert!(start.elapsed() < millis(1100), "its calls end with its sessions: {:?}", start.elapsed());
    watch::endpoints(&lobby, "tests.Work", 0).await;
    assert!(start.elapsed() < secs(2), "{:?}", start.elapsed());

    // Its name and its address are free.
    let again = mesh.node("dropped").serve(work::server()).start().await.unwrap();
    assert_eq!(client.whoami().await.unwrap(), "dropped");
    Mesh::end([again, lobby]).await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_node_leaves_nothing_that_its_handles_and_clients_keep() {
    let mesh = Mesh::new();
    let node = mesh.node("node-0").serve(work::server()).start().await.unwrap();
    let (client, clone) = (node.client::<WorkClient>(), node.clone());
    drop(node);
    assert_eq!(client.whoami().await.unwrap(), "node-0", "a clone is the same node");
    drop(clone);
    let start = Instant::now();
    let failure = client.whoami().timeout(secs(3)).await.unwrap_err();
    assert_ne!(failure.outcome(), Outcome::Unknown, "{failure}");
    assert!(start.elapsed() <= secs(3), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_node_that_has_ended_frees_its_address_though_clients_of_it_are_kept() {
    let mesh = Mesh::new();
    let node = mesh.node("node-0").serve(work::server()).start().await.unwrap();
    let client = node.client::<WorkClient>();
    node.shutdown().await;
    mesh.node("node-0").start().await.unwrap().shutdown().await;

    let first = mesh.quic_node("first", None).start().await.unwrap();
    let (address, second_client) = (first.addresses().remove(0), first.client::<WorkClient>());
    first.shutdown().await;
    // quinn's task has to notice first that nobody is left.
    let end = Instant::now() + secs(10);
    let second = loop {
        match mesh.quic_node("second", None).listen(address.clone()).start().await {
            Ok(second) => break second,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        tokio::time::sleep(millis(20)).await;
    };
    second.shutdown().await;
    drop((client, second_client, node, first));
}

#[tokio::test]
async fn two_nodes_with_one_data_directory_and_name_are_refused_with_a_reason() {
    let directory = tempfile::tempdir().unwrap();
    let builder = |name: &str| {
        let identity = Identity::dev(directory.path()).unwrap();
        Node::builder(name).identity(identity).config(Config::local())
    };
    let first = builder("twin").start().await.unwrap();
    let other = builder("other").start().await.unwrap();
    let error = builder("twin").start().await.unwrap_err();
    assert!(matches!(error, StartError::DataDir(_)), "{error:?}");
    let told = error.to_string();
    assert!(told.contains("`twin` runs already") && told.contains("another name"), "{told}");

    // Nodes of one data directory find each other without a seed.
    watch::until(&other, secs(10), "both", |view| view.nodes().len() == 2).await;
    first.shutdown().await;
    let again = builder("twin").start().await.unwrap();
    again.shutdown().await;
    other.shutdown().await;
}

#[tokio::test]
async fn two_nodes_on_one_address_are_refused_with_a_reason() {
    let mesh = Mesh::new();
    let first = mesh.quic_node("first", None).start().await.unwrap();
    let address: Address = first.addresses().remove(0);
    let error = mesh.quic_node("second", None).listen(address.clone()).start().await.unwrap_err();
    assert!(matches!(error, StartError::Bind(_)), "{error:?}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    first.shutdown().await;
}

/// What a guest runs beside a node with no service, and one with a service that nobody calls.
#[tokio::test(start_paused = true)]
async fn a_remote_service_that_nobody_calls_is_no_actor_and_no_channel() {
    let paths = |node: &Node| node.tree().into_iter().map(|actor| actor.path).collect::<Vec<_>>();
    let mut trees = Vec::new();
    for serves in [false, true] {
        let mesh = Mesh::new();
        let host = mesh.node("node-0");
        let host = if serves { host.serve(work::server()) } else { host }.start().await.unwrap();
        let nodes = [host, mesh.node("guest").start().await.unwrap()];
        watch::agree(&nodes, secs(10)).await;
        watch::endpoints(&nodes[1], "tests.Work", usize::from(serves)).await;
        trees.push([paths(&nodes[0]).len() - usize::from(serves), paths(&nodes[1]).len()]);
        if serves {
            nodes[1].client::<WorkClient>().whoami().await.unwrap();
            assert_eq!(paths(&nodes[1]).len(), trees[1][1] + 1, "its channel: {:#?}", paths(&nodes[1]));
        }
        Mesh::end(nodes).await;
    }
    assert_eq!(trees[0], trees[1]);
}
