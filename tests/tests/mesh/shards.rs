//! Nodes with threads of their own: what runs where, what a restart changes, and what is left in the end.

use std::time::Duration;

use futures_util::future::join_all;
use qmesh::{Context, Node, NodeBuilder, Receiver, ServiceClient};
use qmesh_tests::{EXPECTED, Mesh, expect_panics, millis, watch};
use tokio::time::{Instant, sleep, timeout};

/// Says on which thread it runs.
#[qmesh::service(name = "tests.Thread")]
pub(crate) trait Thread {
    async fn shared(&self) -> String;
    async fn patient(&self) -> String;
    async fn exclusive(&mut self) -> String;
    async fn spawned(&self, cx: &Context) -> String;
    async fn count(&self, up_to: u64) -> Receiver<u64>;
    async fn sum(&self, numbers: Receiver<u64>) -> u64;
    #[oneway]
    async fn note(&mut self, number: u64);
    async fn noted(&mut self) -> Vec<u64>;
    async fn panic(&mut self);
}

#[derive(Default)]
struct Here(Vec<u64>);

fn thread() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

impl Thread for Here {
    async fn shared(&self) -> String {
        thread()
    }

    async fn patient(&self) -> String {
        sleep(millis(2)).await;
        thread()
    }

    async fn exclusive(&mut self) -> String {
        thread()
    }

    async fn spawned(&self, cx: &Context) -> String {
        let (to, answer) = tokio::sync::oneshot::channel();
        cx.spawn(async move { drop(to.send(thread())) });
        answer.await.unwrap()
    }

    async fn count(&self, up_to: u64) -> Receiver<u64> {
        Receiver::of(0..up_to)
    }

    async fn sum(&self, mut numbers: Receiver<u64>) -> u64 {
        let mut sum = 0;
        while let Ok(Some(number)) = numbers.recv().await {
            sum += number;
        }
        sum
    }

    async fn note(&mut self, number: u64) {
        self.0.push(number);
    }

    async fn noted(&mut self) -> Vec<u64> {
        self.0.clone()
    }

    async fn panic(&mut self) {
        panic!("{EXPECTED}");
    }
}

fn sharded(builder: NodeBuilder, shards: usize) -> NodeBuilder {
    let mut config = Mesh::quic_config();
    config.shards = shards;
    builder.config(config)
}

/// A node that serves on its shards, and one that calls from its own.
async fn host_and_guest(mesh: &Mesh, shards: usize) -> [Node; 2] {
    let server = ThreadServer::new(Here::default).on_shard();
    let host = sharded(mesh.quic_node("host", None), shards).serve(server).start().await.unwrap();
    let guest = sharded(mesh.quic_node("guest", Some(&host)), shards).start().await.unwrap();
    watch::endpoints(&guest, "tests.Thread", 1).await;
    [host, guest]
}

#[tokio::test]
async fn a_service_stays_on_its_shard_with_all_that_it_starts_and_through_restarts() {
    expect_panics();
    let mesh = Mesh::new();
    let [host, guest] = host_and_guest(&mesh, 2).await;
    let client = guest.client::<ThreadClient>();
    let shard = client.shared().await.unwrap();
    assert!(shard.starts_with("qmesh-shard-"), "{shard}");
    for life in ["first", "second"] {
        for node in [&host, &guest] {
            let client = node.client::<ThreadClient>();
            assert_eq!(client.shared().await.unwrap(), shard, "{life} life");
            assert_eq!(client.patient().await.unwrap(), shard, "{life} life");
            assert_eq!(client.exclusive().await.unwrap(), shard, "{life} life");
            assert_eq!(client.spawned().await.unwrap(), shard, "{life} life");
        }
        client.panic().await.unwrap_err();
    }
    Mesh::end([host, guest]).await;
}

#[tokio::test]
async fn other_services_and_tasks_run_where_the_node_was_started() {
    let mesh = Mesh::new();
    let builder = sharded(mesh.quic_node("host", None), 1).serve(ThreadServer::new(Here::default));
    let host = builder.start().await.unwrap();
    let client = host.client::<ThreadClient>();
    assert_eq!(client.shared().await.unwrap(), thread());
    assert_eq!(host.spawn(async { thread() }).await.unwrap(), "qmesh-shard-0");
    Mesh::end([host]).await;

    let plain = mesh.quic_node("plain", None).serve(ThreadServer::new(Here::default).on_shard());
    let plain = plain.start().await.unwrap();
    assert_eq!(plain.client::<ThreadClient>().shared().await.unwrap(), thread(), "there is no shard");
    assert_eq!(plain.spawn(async { thread() }).await.unwrap(), thread());
    Mesh::end([plain]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shape_goes_through_between_shards() {
    let mesh = Mesh::new();
    for shards in [1, 3] {
        let [host, guest] = host_and_guest(&mesh, shards).await;
        let calls = (0..8).map(|_| {
            let client = guest.client::<ThreadClient>();
            guest.spawn(async move {
                for _ in 0..200 {
                    client.shared().await.unwrap();
                }
                assert!(client.count(100).await.unwrap().collect().await.unwrap().into_iter().eq(0..100));
                assert_eq!(client.sum(Receiver::of(0..=100)).await.unwrap(), 5050);
            })
        });
        for done in join_all(calls).await {
            done.unwrap();
        }
        let pinned = guest.client::<ThreadClient>().pinned();
        for number in 0..2000 {
            pinned.note(number).await.unwrap();
        }
        assert!(pinned.noted().await.unwrap().into_iter().eq(0..2000), "in order");
        Mesh::end([host, guest]).await;
    }
}

#[tokio::test]
async fn a_sharded_node_that_has_ended_frees_its_address_even_if_a_shard_ended_it() {
    let mesh = Mesh::new();
    let [host, guest] = host_and_guest(&mesh, 2).await;
    let (address, client) = (host.addresses().remove(0), guest.client::<ThreadClient>());
    let ending = host.spawn({
        let host = host.clone();
        async move { host.shutdown().await }
    });
    // It ends with the shard that it runs on.
    drop(timeout(Duration::from_secs(10), ending).await.unwrap());
    host.shutdown().await;
    client.shared().timeout(millis(200)).await.unwrap_err();
    // What is left of its loops has to be dropped first.
    let end = Instant::now() + Duration::from_secs(10);
    let again = loop {
        let server = ThreadServer::new(Here::default).on_shard();
        let builder = sharded(mesh.quic_node("host", None), 1).listen(address.clone()).serve(server);
        match builder.start().await {
            Ok(again) => break again,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        sleep(millis(20)).await;
    };
    client.shared().await.unwrap();
    Mesh::end([again, guest]).await;
}

#[tokio::test]
async fn a_sharded_node_that_is_dropped_says_so() {
    let mesh = Mesh::new();
    let [host, guest] = host_and_guest(&mesh, 2).await;
    let client = guest.client::<ThreadClient>();
    client.shared().await.unwrap();
    let start = Instant::now();
    drop(host);
    while client.shared().timeout(millis(50)).await.is_ok() {}
    let noticed = timeout(Duration::from_secs(5), async {
        while guest.nodes().iter().any(|node| node.name == "host" && node.connected) {
            sleep(millis(5)).await;
        }
    });
    noticed.await.unwrap();
    // By itself, gossip would notice after 10 s.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    Mesh::end([guest]).await;
}
