//! Pinned clients: one endpoint, and everything begins in the order in which it is asked.

use std::sync::Arc;

use futures_util::future::join_all;
use parking_lot::Mutex;
use qmesh::{Config, Context, MemoryNetwork, Node, Outcome, Reason, Receiver, RestartPolicy, ServiceClient};
use qmesh_tests::{EXPECTED, Mesh, expect_panics, millis, secs, spawn, watch};
use tokio::time::{Instant, sleep};

#[qmesh::service(name = "tests.Diary")]
pub(crate) trait Diary {
    /// Notes the number when the call begins, and takes a while.
    async fn enter(&self, cx: &Context, number: u64, ballast: Vec<u8>) -> String;
    #[oneway]
    async fn note(&mut self, number: u64);
    #[oneway]
    async fn slow_note(&mut self, number: u64, pause: u64);
    #[oneway]
    async fn speak(&self, words: String);
    /// The numbers so far.
    async fn pages(&self) -> Vec<u64>;
    /// Who serves.
    async fn tour(&self, cx: &Context) -> Receiver<String>;
    /// As much as the way takes, without an end.
    async fn bulk(&self) -> Receiver<String>;
    async fn burn(&mut self);
}

#[derive(Clone, Default)]
struct Pages(Arc<Mutex<Vec<u64>>>);

impl Diary for Pages {
    async fn enter(&self, cx: &Context, number: u64, _ballast: Vec<u8>) -> String {
        self.0.lock().push(number);
        sleep(millis(1)).await;
        cx.node().to_owned()
    }

    async fn note(&mut self, number: u64) {
        self.0.lock().push(number);
    }

    async fn slow_note(&mut self, number: u64, pause: u64) {
        sleep(millis(pause)).await;
        self.0.lock().push(number);
    }

    async fn speak(&self, _words: String) {}

    async fn pages(&self) -> Vec<u64> {
        self.0.lock().clone()
    }

    async fn tour(&self, cx: &Context) -> Receiver<String> {
        Receiver::of([cx.node().to_owned()])
    }

    async fn bulk(&self) -> Receiver<String> {
        Receiver::of(std::iter::repeat_with(|| "x".repeat(1 << 20)))
    }

    async fn burn(&mut self) {
        panic!("{EXPECTED}");
    }
}

async fn host(mesh: &Mesh, name: &str, queue: usize) -> Node {
    let server = DiaryServer::new(Pages::default).queue(queue);
    mesh.node(name).serve(server).start().await.unwrap()
}

/// Two nodes that serve, and one that does not.
async fn library(mesh: &Mesh) -> [Node; 3] {
    let nodes = [
        host(mesh, "node-0", 1024).await,
        host(mesh, "other", 1024).await,
        mesh.node("guest").start().await.unwrap(),
    ];
    watch::agree(&nodes, secs(10)).await;
    nodes
}

#[tokio::test(start_paused = true)]
async fn one_endpoint_serves_everything() {
    let mesh = Mesh::new();
    let nodes = library(&mesh).await;
    for _ in 0..8 {
        let pinned = nodes[2].client::<DiaryClient>().pinned();
        let first = pinned.enter(0, vec![]).await.unwrap();
        for number in 1..20 {
            assert_eq!(pinned.clone().enter(number, vec![]).await.unwrap(), first);
            assert_eq!(pinned.tour().await.unwrap().collect().await.unwrap(), std::slice::from_ref(&first));
        }
    }
    let names = join_all((0..8).map(|_| {
        let pinned = nodes[2].client::<DiaryClient>().pinned();
        async move { pinned.enter(0, vec![]).await.unwrap() }
    }));
    let mut names = names.await;
    names.sort_unstable();
    names.dedup();
    assert_eq!(names, ["node-0", "other"], "each pin chooses for itself");
    Mesh::end(nodes).await;
}

/// Calls, large ones too, and one-way sends, all at once, before any endpoint is known, reach it in order.
async fn keeps_the_order(serving: Node, client: DiaryClient) {
    in_order(&client.pinned()).await;
    serving.shutdown().await;
}

async fn in_order(pinned: &DiaryClient) {
    let asked = (0..300).map(|number| {
        let pinned = pinned.clone();
        async move {
            match number % 30 {
                0 => drop(pinned.enter(number, vec![7; 100_000]).timeout(secs(60)).await.unwrap()),
                rest if rest % 2 == 0 => drop(pinned.enter(number, vec![]).timeout(secs(60)).await.unwrap()),
                _ => pinned.note(number).timeout(secs(60)).await.unwrap(),
            }
        }
    });
    join_all(asked).await;
    assert!(pinned.pages().await.unwrap().into_iter().eq(0..300));
}

#[tokio::test(start_paused = true)]
async fn everything_begins_in_the_order_of_asking_elsewhere() {
    let mesh = Mesh::new();
    let guest = mesh.node("guest").start().await.unwrap();
    let client = guest.client::<DiaryClient>();
    let serving = host(&mesh, "node-0", 1024).await;
    keeps_the_order(serving, client).await;
}

#[tokio::test(start_paused = true)]
async fn everything_begins_in_the_order_of_asking_here_with_few_places() {
    let mesh = Mesh::new();
    let serving = host(&mesh, "node-0", 2).await;
    let client = serving.client();
    keeps_the_order(serving, client).await;
}

#[tokio::test]
async fn everything_begins_in_the_order_of_asking_over_quic() {
    let mesh = Mesh::new();
    let server = DiaryServer::new(Pages::default);
    let serving = mesh.quic_node("serving", None).serve(server).start().await.unwrap();
    let guest = mesh.quic_node("guest", Some(&serving)).start().await.unwrap();
    let client = guest.client::<DiaryClient>();
    keeps_the_order(serving, client).await;
}

#[tokio::test]
async fn everything_begins_in_the_order_of_asking_beside_a_bulk_stream_of_its_session() {
    let mesh = Mesh::new();
    let serving =
        mesh.quic_node("serving", None).serve(DiaryServer::new(Pages::default)).start().await.unwrap();
    let guest = mesh.quic_node("guest", Some(&serving)).start().await.unwrap();
    let pinned = guest.client::<DiaryClient>().pinned();
    let mut items = pinned.bulk().timeout(secs(60)).await.unwrap();
    items.recv().await.unwrap();
    let mut moved = 0;
    let bulk = async {
        while items.recv().await.unwrap().is_some() {
            moved += 1;
        }
    };
    tokio::select! {
        () = bulk => panic!("the stream has an end"),
        () = in_order(&pinned) => {}
    }
    assert!(moved > 0, "nothing was beside them");
    drop(items);
    Mesh::end([serving, guest]).await;
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_sends_flat_out_stay_in_order() {
    let mesh = Mesh::new();
    let nodes = [host(&mesh, "node-0", 1024).await, mesh.node("guest").start().await.unwrap()];
    let pinned = nodes[1].client::<DiaryClient>().pinned();
    for number in 0..100_000 {
        pinned.note(number).await.unwrap();
    }
    assert!(pinned.pages().await.unwrap().into_iter().eq(0..100_000));
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_endpoint_fails_every_call_until_the_client_is_pinned_anew() {
    let mesh = Mesh::new();
    let [one, other, guest] = library(&mesh).await;
    let client = guest.client::<DiaryClient>();
    let pinned = client.pinned();
    let first = pinned.enter(1, vec![]).await.unwrap();
    let (lost, stays) = if first == "node-0" { (one, other) } else { (other, one) };
    drop(lost);
    sleep(secs(3)).await;
    for _ in 0..3 {
        let failure = pinned.enter(2, vec![]).await.unwrap_err();
        assert_eq!(
            (failure.outcome(), failure.reason()),
            (Outcome::NotSent, Reason::ConnectionLost),
            "{failure}"
        );
        assert_eq!(failure.endpoint(), Some(&*first), "{failure}");
        assert_eq!(pinned.note(2).await.unwrap_err().outcome(), Outcome::NotSent);
        assert_eq!(pinned.tour().await.unwrap_err().outcome(), Outcome::NotSent);
    }
    assert_eq!(client.pinned().enter(3, vec![]).await.unwrap(), stays.name());

    // The same node in its next life is another endpoint.
    let again = host(&mesh, &first, 1024).await;
    watch::endpoints(&guest, "tests.Diary", 2).await;
    assert_eq!(pinned.enter(4, vec![]).await.unwrap_err().outcome(), Outcome::NotSent);
    Mesh::end([again, stays, guest]).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_endpoint_on_the_same_node_is_lost_as_any_other() {
    expect_panics();
    let mesh = Mesh::new();
    let restarts = RestartPolicy { intensity: 1, ..RestartPolicy::default() };
    let server = DiaryServer::new(Pages::default).restart(restarts);
    let one = mesh.node("node-0").serve(server).start().await.unwrap();
    let other = host(&mesh, "other", 1024).await;
    watch::agree(&[one.clone(), other.clone()], secs(10)).await;
    let client = one.client::<DiaryClient>();
    let pinned = client.pinned();
    assert_eq!(pinned.enter(1, vec![]).await.unwrap(), "node-0");
    pinned.burn().await.unwrap_err();
    assert_eq!(pinned.enter(2, vec![]).await.unwrap(), "node-0", "a restart does not end it");
    pinned.burn().await.unwrap_err();
    watch::endpoints(&one, "tests.Diary", 1).await;
    for _ in 0..3 {
        let failures = [
            pinned.enter(3, vec![]).await.unwrap_err(),
            pinned.note(3).await.unwrap_err(),
            pinned.note(3).try_send().unwrap_err(),
            pinned.tour().await.unwrap_err(),
        ];
        for failure in failures {
            assert_eq!(failure.outcome(), Outcome::NotSent, "{failure}");
        }
    }
    let failure = pinned.pages().await.unwrap_err();
    assert_eq!((failure.reason(), failure.endpoint()), (Reason::Unavailable, Some("node-0")), "{failure}");
    assert_eq!(client.pinned().enter(4, vec![]).await.unwrap(), "other");
    Mesh::end([one, other]).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_not_executed_is_not_repeated() {
    let mesh = Mesh::new();
    let nodes = [
        host(&mesh, "node-0", 1).await,
        host(&mesh, "other", 1024).await,
        mesh.node("guest").start().await.unwrap(),
    ];
    watch::agree(&nodes, secs(10)).await;
    let narrow = nodes[0].client::<DiaryClient>();
    narrow.slow_note(0, 60_000).await.unwrap();
    sleep(millis(500)).await;
    let client = nodes[2].client::<DiaryClient>();
    let mut refused = 0;
    for _ in 0..8 {
        match client.pinned().enter(1, vec![]).await {
            Ok(name) => assert_eq!(name, "other"),
            Err(failure) => {
                let facts = (failure.outcome(), failure.reason(), failure.endpoint());
                assert_eq!(facts, (Outcome::NotExecuted, Reason::Overloaded, Some("node-0")), "{failure}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "some were pinned to the busy one");
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_takes_the_place_of_another_does_not_end_the_pin() {
    // Both dial at once, and one of the two sessions is retired.
    for seed in 0..20 {
        let mesh = Mesh { network: MemoryNetwork::new(seed), ..Mesh::new() };
        let nodes = [host(&mesh, "node-0", 1024).await, mesh.node("guest").start().await.unwrap()];
        let pinned = nodes[1].client::<DiaryClient>().pinned();
        for number in 0..200 {
            pinned.note(number).await.unwrap();
            sleep(millis(1)).await;
        }
        assert!(pinned.pages().await.unwrap().into_iter().eq(0..200));
        Mesh::end(nodes).await;
    }
}

#[tokio::test(start_paused = true)]
async fn trying_to_send_never_waits() {
    let mesh = Mesh::new();
    let mut config = Config::local();
    config.limits.one_way_window = 4;
    let server = DiaryServer::new(Pages::default).queue(4);
    let host = mesh.node("node-0").config(config).serve(server).start().await.unwrap();
    let nodes = [host, mesh.node("guest").start().await.unwrap()];
    let far = nodes[1].client::<DiaryClient>();
    let failure = far.note(0).try_send().unwrap_err();
    assert_eq!((failure.outcome(), failure.reason()), (Outcome::NotSent, Reason::Unreachable), "{failure}");
    far.pages().await.unwrap();
    let failure = far.speak("x".repeat(5 << 20)).try_send().unwrap_err();
    assert_eq!((failure.outcome(), failure.reason()), (Outcome::NotSent, Reason::TooLarge), "{failure}");
    for client in [far.clone(), nodes[0].client(), far.pinned(), nodes[0].client::<DiaryClient>().pinned()] {
        client.pages().await.unwrap();
        let sent: Vec<_> = (0..20).map(|number| client.slow_note(number, 10).try_send()).collect();
        let taken = sent.iter().take_while(|sent| sent.is_ok()).count();
        assert!((1..20).contains(&taken), "{taken} were taken");
        let failure = sent[taken].clone().unwrap_err();
        assert_eq!(
            (failure.outcome(), failure.reason()),
            (Outcome::NotSent, Reason::Overloaded),
            "{failure}"
        );
        sleep(secs(1)).await;
        client.note(0).try_send().unwrap();
    }
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_behind_a_retired_channel_ends_in_its_time() {
    let mesh = Mesh::new();
    let [host, other, guest] = library(&mesh).await;
    other.shutdown().await;
    let client = guest.client::<DiaryClient>();
    let pinned = client.pinned();
    pinned.pages().await.unwrap();
    // Another client's calls keep the channel that both share.
    client.slow_note(0, 20_000).await.unwrap();
    let busy = spawn({
        let client = client.clone();
        async move { client.pages().timeout(secs(60)).await }
    });
    sleep(millis(10)).await;
    let ending = spawn(async move { host.shutdown().await });
    sleep(millis(50)).await;
    let start = Instant::now();
    let failure = pinned.pages().timeout(millis(200)).await.unwrap_err();
    assert_eq!(
        (failure.outcome(), failure.reason()),
        (Outcome::NotSent, Reason::DeadlineExceeded),
        "{failure}"
    );
    assert!(start.elapsed() < millis(250), "{:?}", start.elapsed());
    busy.await.unwrap().unwrap();
    ending.await.unwrap();
    Mesh::end([guest]).await;
}
