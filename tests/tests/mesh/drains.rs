//! A node that drains waits for streams, tells its services, and cuts what has no end when the time is over.

use futures_util::StreamExt;
use qmesh::{CallError, Config, Context, Failure, Node, NodeState, Outcome, Reason, Receiver, stream};
use qmesh_tests::{Mesh, millis, secs, spawn, watch};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error(transparent)]
pub(crate) struct Broken(#[from] Failure);

#[qmesh::service(name = "tests.Tap")]
pub(crate) trait Tap {
    /// So many drops, one each 100 ms.
    async fn drops(&self, cx: &Context, count: u64) -> Receiver<u64>;
    /// What comes goes back.
    async fn pipe(&self, cx: &Context, drops: Receiver<u64>) -> Receiver<u64>;
    /// How many came.
    async fn fill(&self, drops: Receiver<u64>) -> Result<u64, Broken>;
    /// A drop each 100 ms until the node drains.
    async fn careful(&self, cx: &Context) -> Receiver<u64>;
    /// So many buckets of 50 KB.
    async fn buckets(&self, count: u64) -> Receiver<Vec<u8>>;
}

struct Water;

/// One each 100 ms.
fn dripping(count: u64) -> Receiver<u64> {
    let drops = futures_util::stream::iter(0..count);
    Receiver::from_stream(drops.then(|drop| async move {
        sleep(millis(100)).await;
        Ok(drop)
    }))
}

impl Tap for Water {
    async fn drops(&self, cx: &Context, count: u64) -> Receiver<u64> {
        let (sender, receiver) = stream(1);
        cx.spawn(async move { drop(dripping(count).forward(sender).await) });
        receiver
    }

    async fn pipe(&self, cx: &Context, drops: Receiver<u64>) -> Receiver<u64> {
        let (sender, receiver) = stream(1);
        cx.spawn(async move { drop(drops.forward(sender).await) });
        receiver
    }

    async fn fill(&self, mut drops: Receiver<u64>) -> Result<u64, Broken> {
        let mut count = 0;
        while drops.recv().await?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    async fn careful(&self, cx: &Context) -> Receiver<u64> {
        assert!(!cx.is_draining());
        Receiver::from_stream(dripping(u64::MAX).take_until(cx.draining()))
    }

    async fn buckets(&self, count: u64) -> Receiver<Vec<u8>> {
        Receiver::of((0..count).map(|_| vec![7; 50_000]))
    }
}

/// A node that serves and may take two seconds for its drain, and one that does not serve.
async fn host_and_guest(mesh: &Mesh) -> [Node; 2] {
    let mut config = Config::local();
    config.drain_timeout = secs(2);
    let host = mesh.node("node-0").config(config).serve(TapServer::new(|| Water)).start().await.unwrap();
    let guest = mesh.node("guest").start().await.unwrap();
    watch::endpoints(&guest, "tests.Tap", 1).await;
    [host, guest]
}

/// Shuts the node down, and returns how many milliseconds that took.
async fn shut_down(node: Node) -> u128 {
    let start = Instant::now();
    node.shutdown().await;
    start.elapsed().as_millis()
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_streams_in_either_direction() {
    let mesh = Mesh::new();
    let [host, guest] = host_and_guest(&mesh).await;
    let (client, id) = (guest.client::<TapClient>(), host.id());
    let drops = client.drops(15).await.unwrap();
    let echo = client.pipe(dripping(12)).await.unwrap();
    let filling = client.clone();
    let filled = spawn(async move { filling.fill(dripping(10)).await });
    sleep(millis(50)).await;

    let ended = spawn(shut_down(host));
    watch::until(&guest, secs(1), "the host drains", |snapshot| {
        snapshot.node(id).is_some_and(|record| record.state == NodeState::Draining)
    })
    .await;
    let refused = client.drops(1).timeout(millis(300)).await.unwrap_err();
    assert_eq!(refused.outcome(), Outcome::NotSent, "{refused}");
    let (drops, echo, filled) = tokio::join!(drops.collect(), echo.collect(), filled);
    assert!(drops.unwrap().into_iter().eq(0..15), "the download is whole");
    assert!(echo.unwrap().into_iter().eq(0..12), "so is what goes both ways");
    assert_eq!(filled.unwrap(), Ok(10), "and the upload");
    let took = ended.await.unwrap();
    assert!((1400..1950).contains(&took), "no longer than they take: {took} ms");
    Mesh::end([guest]).await;
}

fn assert_drained(failure: &Failure) {
    assert_eq!((failure.outcome(), failure.reason()), (Outcome::Unknown, Reason::Unavailable), "{failure}");
    assert!(failure.detail().contains("drains"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn streams_without_end_are_cut_when_the_time_to_drain_is_over() {
    let mesh = Mesh::new();
    let [host, guest] = host_and_guest(&mesh).await;
    let client = guest.client::<TapClient>();
    let endless = client.drops(u64::MAX).await.unwrap();
    let (say, said) = stream(1);
    let echo = client.pipe(said).await.unwrap();
    let talking = spawn(async move {
        loop {
            sleep(millis(100)).await;
            if let Err(failure) = say.send(1).await {
                return failure;
            }
        }
    });
    let filling = spawn(async move { client.fill(dripping(u64::MAX)).await });
    sleep(millis(50)).await;

    let ended = spawn(shut_down(host));
    for stream in [endless, echo] {
        let items: Vec<_> = StreamExt::collect(stream).await;
        let (last, items) = items.split_last().unwrap();
        assert!((18..=21).contains(&items.len()), "{} items in two seconds", items.len());
        assert_drained(last.as_ref().unwrap_err());
    }
    assert_drained(&timeout(millis(200), talking).await.expect("the sender is told").unwrap());
    match filling.await.unwrap().unwrap_err() {
        CallError::Service(Broken(failure)) => assert_drained(&failure),
        CallError::Failed(failure) => panic!("the handler is told, and answers: {failure}"),
    }
    let took = ended.await.unwrap();
    assert!((2000..2600).contains(&took), "{took} ms");
    Mesh::end([guest]).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_receives_is_cut_for_the_same_reason() {
    let mesh = Mesh::new();
    let [host, guest] = host_and_guest(&mesh).await;
    let left_lying = guest.client::<TapClient>().buckets(1000).await.unwrap();
    sleep(millis(50)).await;
    let took = shut_down(host).await;
    assert!((2400..3000).contains(&took), "it has 400 ms to say so: {took} ms");
    let items: Vec<_> = StreamExt::collect(left_lying).await;
    let (last, items) = items.split_last().unwrap();
    assert!((1..1000).contains(&items.len()), "what had come is there: {}", items.len());
    let failure = last.as_ref().unwrap_err();
    assert_eq!((failure.outcome(), failure.reason()), (Outcome::Unknown, Reason::Unavailable), "{failure}");
    Mesh::end([guest]).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_always_on_its_way_is_cut_between_two_items() {
    let mesh = Mesh::new();
    let [host, guest] = host_and_guest(&mesh).await;
    let endless = guest.client::<TapClient>().buckets(u64::MAX).await.unwrap();
    let download = spawn(async move {
        let slowly = endless.then(|bucket| async {
            sleep(millis(20)).await;
            bucket
        });
        slowly.collect::<Vec<_>>().await
    });
    sleep(millis(50)).await;
    shut_down(host).await;
    let items = download.await.unwrap();
    let (last, items) = items.split_last().unwrap();
    assert!(items.len() > 90, "it goes on for two seconds: {}", items.len());
    assert!(items.iter().all(|bucket| bucket.as_ref().is_ok_and(|bucket| bucket.len() == 50_000)));
    let failure = last.as_ref().unwrap_err();
    assert_drained(failure);
    assert!(failure.detail().contains("node-0"), "its sender says why: {failure}");
    Mesh::end([guest]).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_hears_of_the_drain_ends_its_streams_by_itself() {
    let mesh = Mesh::new();
    let [host, guest] = host_and_guest(&mesh).await;
    let heard = guest.client::<TapClient>().careful().await.unwrap();
    sleep(secs(1)).await;
    let ended = spawn(shut_down(host));
    let heard = heard.collect().await.expect("it ends in order").len();
    assert!((9..=10).contains(&heard), "{heard} in a second");
    let took = ended.await.unwrap();
    assert!(took < 800, "{took} ms");
    Mesh::end([guest]).await;
}

#[tokio::test(start_paused = true)]
async fn a_nodes_own_calls_are_waited_for_while_their_streams_move() {
    let mesh = Mesh::new();
    let [host, guest] = host_and_guest(&mesh).await;
    let client = guest.client::<TapClient>();
    let filled = spawn({
        let client = client.clone();
        async move { client.fill(dripping(15)).await }
    });
    sleep(millis(50)).await;
    let took = shut_down(guest).await;
    assert_eq!(filled.await.unwrap(), Ok(15));
    assert!((1400..2400).contains(&took), "{took} ms");

    // Whoever holds a stream and waits for the end of the node is not waited for in turn.
    let guest = mesh.node("guest").start().await.unwrap();
    watch::endpoints(&guest, "tests.Tap", 1).await;
    let (_say, said) = stream(1);
    let client = guest.client::<TapClient>();
    let (_echo, _filled) = (client.pipe(said).await.unwrap(), client.drops(0).await.unwrap());
    let took = shut_down(guest).await;
    assert!(took < 1100, "{took} ms");
    Mesh::end([host]).await;
}

/// To a caller that is slow to receive it, too: of 10 MB it holds 64 buckets and a window of 1.25 MB at most.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_has_its_end_arrives_whole_over_quic() {
    let mesh = Mesh::new();
    let host = mesh.quic_node("host", None).serve(TapServer::new(|| Water)).start().await.unwrap();
    let guest = mesh.quic_node("guest", Some(&host)).start().await.unwrap();
    let mut buckets = guest.client::<TapClient>().buckets(200).await.unwrap();
    let ended = spawn(shut_down(host));
    sleep(secs(1)).await;
    assert!(!ended.is_finished(), "the end is not there yet");
    for number in 0..200 {
        let bucket = buckets.recv().await.unwrap_or_else(|cut| panic!("cut after {number}: {cut}"));
        assert_eq!(bucket.map(|bucket| bucket.len()), Some(50_000));
    }
    assert_eq!(buckets.recv().await, Ok(None));
    ended.await.unwrap();
    Mesh::end([guest]).await;
}
