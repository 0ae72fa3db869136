//! Calls with streams, in all their shapes, from the same node and from another one.

use futures_util::{StreamExt, future::join_all};
use qmesh::{CallError, Config, Failure, Node, Outcome, Reason, Receiver, Sender, stream};
use qmesh_tests::{
    EXPECTED, Mesh, expect_panics, millis, secs, spawn,
    stranger::{self, Stranger, frame, kind, opening, read_frame},
    watch,
};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("nothing below {0}")]
    TooSmall(u64),
    #[error(transparent)]
    Broken(#[from] Failure),
}

#[qmesh::service(name = "tests.Streams")]
pub(crate) trait Streams {
    async fn sum(&self, from: u64, numbers: Receiver<u64>) -> Result<u64, Refusal>;
    async fn count(&self, until: u64) -> Result<Receiver<u64>, Refusal>;
    async fn cut_short(&self, after: u64) -> Receiver<u64>;
    async fn double(&mut self, numbers: Receiver<u64>, factor: u64) -> Receiver<u64>;
    async fn ignore(&self, numbers: Receiver<u64>) -> u64;
    async fn broken(&self, numbers: Receiver<u64>) -> u64;
    async fn never(&self) -> Receiver<u64>;
    async fn blobs(&self, count: u64, bytes: u64) -> Receiver<Vec<u8>>;
    /// Blobs of these sizes.
    async fn sized(&self, bytes: Vec<usize>) -> Receiver<Vec<u8>>;
    async fn stall(&self, after: u64, pause: u64) -> Receiver<u64>;
    /// Two numbers, the second so many milliseconds after the first.
    async fn two(&self, pause: u64) -> Receiver<u64>;
    async fn hold(&self, numbers: Receiver<u64>) -> u64;
    async fn ping(&self) -> u64;
    async fn weigh(&self, items: Receiver<String>) -> u64;
    async fn formless(&self) -> Receiver<Formless>;
}

/// What no codec has a form for.
#[derive(Debug, Deserialize)]
pub(crate) struct Formless;

impl Serialize for Formless {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("no form"))
    }
}

#[derive(Clone, Default)]
struct Numbers;

impl Streams for Numbers {
    async fn sum(&self, from: u64, mut numbers: Receiver<u64>) -> Result<u64, Refusal> {
        let mut sum = from;
        while let Some(number) = numbers.recv().await? {
            sum += number;
        }
        Ok(sum)
    }

    async fn count(&self, until: u64) -> Result<Receiver<u64>, Refusal> {
        if until < 10 { Err(Refusal::TooSmall(10)) } else { Ok(Receiver::of(0..until)) }
    }

    async fn cut_short(&self, after: u64) -> Receiver<u64> {
        let (sender, receiver) = stream(4);
        spawn(async move { send_some(&sender, after).await });
        receiver
    }

    async fn double(&mut self, numbers: Receiver<u64>, factor: u64) -> Receiver<u64> {
        numbers.map(move |number| number * factor)
    }

    async fn weigh(&self, mut items: Receiver<String>) -> u64 {
        let mut weight = 0;
        while let Ok(Some(item)) = items.recv().await {
            weight += item.len() as u64;
        }
        weight
    }

    async fn formless(&self) -> Receiver<Formless> {
        Receiver::of([Formless])
    }

    async fn ignore(&self, numbers: Receiver<u64>) -> u64 {
        drop(numbers);
        7
    }

    async fn broken(&self, mut numbers: Receiver<u64>) -> u64 {
        let _first = numbers.recv().await;
        panic!("{EXPECTED}");
    }

    async fn never(&self) -> Receiver<u64> {
        std::future::pending().await
    }

    async fn blobs(&self, count: u64, bytes: u64) -> Receiver<Vec<u8>> {
        let bytes = usize::try_from(bytes).unwrap();
        Receiver::of((0..count).map(move |_| vec![7; bytes]))
    }

    async fn sized(&self, bytes: Vec<usize>) -> Receiver<Vec<u8>> {
        Receiver::of(bytes.into_iter().map(|bytes| vec![7; bytes]))
    }

    async fn stall(&self, after: u64, pause: u64) -> Receiver<u64> {
        let (sender, receiver) = stream(1);
        spawn(async move {
            for number in 0..after {
                sleep(millis(pause)).await;
                sender.send(number).await.unwrap();
            }
            sender.closed().await;
        });
        receiver
    }

    async fn two(&self, pause: u64) -> Receiver<u64> {
        let (sender, receiver) = stream(1);
        spawn(async move {
            for number in 0..2 {
                sender.send(number).await.unwrap();
                sleep(millis(pause)).await;
            }
            sender.finish();
        });
        receiver
    }

    async fn hold(&self, numbers: Receiver<u64>) -> u64 {
        let _held = numbers;
        std::future::pending().await
    }

    async fn ping(&self) -> u64 {
        1
    }
}

async fn send_some(sender: &Sender<u64>, count: u64) {
    for number in 0..count {
        if sender.send(number).await.is_err() {
            return;
        }
    }
}

async fn host_and_guest(mesh: &Mesh) -> [Node; 2] {
    let host = mesh.node("node-0").serve(StreamsServer::new(Numbers::default)).start().await.unwrap();
    let guest = mesh.node("guest").start().await.unwrap();
    watch::endpoints(&guest, "tests.Streams", 1).await;
    [host, guest]
}

async fn host_and_guest_over_quic(mesh: &Mesh) -> [Node; 2] {
    let server = StreamsServer::new(Numbers::default);
    let host = mesh.quic_node("host", None).serve(server).start().await.unwrap();
    let guest = mesh.quic_node("guest", Some(&host)).start().await.unwrap();
    watch::endpoints(&guest, "tests.Streams", 1).await;
    [host, guest]
}

#[tokio::test(start_paused = true)]
async fn every_shape_goes_through() {
    let mesh = Mesh::new();
    every_shape(host_and_guest(&mesh).await).await;
}

#[tokio::test]
async fn every_shape_goes_through_over_quic() {
    let mesh = Mesh::new();
    every_shape(host_and_guest_over_quic(&mesh).await).await;
}

async fn every_shape(nodes: [Node; 2]) {
    for node in &nodes {
        let client = node.client::<StreamsClient>();
        assert_eq!(client.sum(5, Receiver::of(1..=100)).await, Ok(5055));
        let counted = client.count(1000).await.unwrap().collect().await.unwrap();
        assert!(counted.into_iter().eq(0..1000));
        assert_eq!(client.count(3).await.unwrap_err(), CallError::Service(Refusal::TooSmall(10)));

        let (say, said) = stream(2);
        let mut heard = client.double(said, 3).await.unwrap();
        for number in 0..50 {
            say.send(number).await.unwrap();
            assert_eq!(heard.recv().await, Ok(Some(number * 3)), "one goes out, one comes in");
        }
        say.finish();
        assert_eq!(heard.recv().await, Ok(None));
    }
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_cut_never_looks_complete() {
    let mesh = Mesh::new();
    let nodes = host_and_guest(&mesh).await;
    for node in &nodes {
        let client = node.client::<StreamsClient>();
        let items: Vec<_> = StreamExt::collect(client.cut_short(3).await.unwrap()).await;
        assert_eq!(items.len(), 4, "{items:?}");
        assert!(items[..3].iter().cloned().map(Result::unwrap).eq(0..3));
        let failure = items[3].as_ref().unwrap_err();
        assert!(failure.detail().contains("dropped before its end"), "{failure}");

        let (sender, numbers) = stream(4);
        sender.send(1).await.unwrap();
        let call = client.sum(0, numbers);
        let (answer, ()) = tokio::join!(call, async {
            sleep(millis(50)).await;
            drop(sender);
        });
        match answer {
            Err(CallError::Service(Refusal::Broken(failure))) => {
                assert!(failure.detail().contains("dropped before its end"), "{failure}");
            }
            other => panic!("{other:?}"),
        }
    }
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn a_sender_learns_that_nobody_receives() {
    let mesh = Mesh::new();
    let nodes = host_and_guest(&mesh).await;
    for node in &nodes {
        let client = node.client::<StreamsClient>();
        // The service wants none of it, and answers all the same.
        let (sender, numbers) = stream(4);
        assert_eq!(client.ignore(numbers).await, Ok(7));
        timeout(secs(1), sender.closed()).await.expect("it is told");
        sender.send(1).await.unwrap_err();

        // The caller wants no more of it.
        let (say, said) = stream(1);
        let heard = client.double(said, 2).await.unwrap();
        drop(heard);
        let told = async { while say.send(1).await.is_ok() {} };
        timeout(secs(5), told).await.expect("the service's mapping has ended");
    }
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_receiver_stops_its_sender() {
    let mesh = Mesh::new();
    let nodes = host_and_guest(&mesh).await;
    let client = nodes[1].client::<StreamsClient>();
    let (say, said) = stream(1);
    let heard = client.double(said, 2).await.unwrap();
    let sent = spawn(async move {
        let mut sent = 0_u64;
        while timeout(secs(2), say.send(1)).await.is_ok() {
            sent += 1;
        }
        sent
    });
    let sent = sent.await.unwrap();
    assert!(sent > 100 && sent < 2_000_000, "{sent} items under way");
    assert_eq!(client.ping().await, Ok(1), "nobody else waits");
    drop(heard);
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panics_or_is_late_ends_its_streams() {
    expect_panics();
    let mesh = Mesh::new();
    let nodes = host_and_guest(&mesh).await;
    for node in &nodes {
        let client = node.client::<StreamsClient>();
        let (sender, numbers) = stream(4);
        sender.send(1).await.unwrap();
        let failure = client.broken(numbers).await.unwrap_err();
        assert_eq!((failure.outcome(), failure.reason()), (Outcome::Unknown, Reason::Panicked), "{failure}");
        timeout(secs(1), sender.closed()).await.expect("its stream is taken back");

        let start = Instant::now();
        let failure = client.never().timeout(millis(300)).await.unwrap_err();
        assert_eq!(failure.reason(), Reason::DeadlineExceeded, "{failure}");
        assert!(start.elapsed() < millis(400), "{:?}", start.elapsed());
    }
    Mesh::end(nodes).await;
}

/// Without a limit, or before it, nothing happens; then this does.
fn assert_idle(failure: &Failure) {
    assert_eq!((failure.outcome(), failure.reason()), (Outcome::Unknown, Reason::Idle), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn streams_that_are_still_for_too_long_end_the_call() {
    let mesh = Mesh::new();
    let nodes = host_and_guest(&mesh).await;
    for node in &nodes {
        let client = node.client::<StreamsClient>();
        // An item each 1.5 s, and then none.
        let mut heard = client.stall(10, 1500).idle_timeout(secs(2)).await.unwrap();
        for number in 0..10 {
            assert_eq!(heard.recv().await, Ok(Some(number)));
        }
        let start = Instant::now();
        assert_idle(&heard.recv().await.unwrap_err());
        assert_eq!(start.elapsed().as_millis() / 10, 200, "{:?}", start.elapsed());

        // A service that takes nothing: the call ends, and so does its stream.
        let (sender, numbers) = stream(1);
        let flood = spawn(async move { while sender.send(1).await.is_ok() {} });
        assert_idle(&client.hold(numbers).idle_timeout(secs(2)).await.unwrap_err());
        timeout(secs(1), flood).await.expect("the sender is told").unwrap();

        // Nobody says anything.
        let (say, said) = stream(1);
        let mut heard = client.double(said, 2).idle_timeout(secs(2)).await.unwrap();
        assert_idle(&heard.recv().await.unwrap_err());
        timeout(secs(1), say.closed()).await.expect("the sender is told");
        assert_idle(&say.send(1).await.unwrap_err());
    }
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn what_moves_or_waits_for_the_caller_is_not_idle() {
    let mesh = Mesh::new();
    let nodes = host_and_guest(&mesh).await;
    for node in &nodes {
        let client = node.client::<StreamsClient>();
        // What goes out counts as much as what comes in.
        let (say, said) = stream(1);
        let call = client.sum(0, said).idle_timeout(secs(2));
        let (sum, ()) = tokio::join!(call, async {
            for _ in 0..10 {
                sleep(millis(1500)).await;
                say.send(1).await.unwrap();
            }
            say.finish();
        });
        assert_eq!(sum, Ok(10));

        // A caller that takes its time.
        let mut heard = client.count(200).idle_timeout(secs(2)).await.unwrap();
        for number in 0..5 {
            assert_eq!(heard.recv().await, Ok(Some(number)));
            sleep(secs(7)).await;
        }
        assert_eq!(heard.collect().await.unwrap().len(), 195);

        // What has come and was not received yet is the caller's to take, however late he is.
        let mut heard = client.two(5000).idle_timeout(millis(2500)).await.unwrap();
        sleep(secs(4)).await;
        for number in 0..2 {
            assert_eq!(heard.recv().await, Ok(Some(number)));
        }
        // The longest limit is none.
        let mut heard = client.stall(1, 100).idle_timeout(std::time::Duration::MAX).await.unwrap();
        assert_eq!(heard.recv().await, Ok(Some(0)));

        // Without a limit, streams take as long as they take.
        let mut heard = client.stall(1, 60_000).await.unwrap();
        assert_eq!(heard.recv().await, Ok(Some(0)));
    }
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn large_items_pass_and_too_large_ones_cut_the_stream() {
    let mesh = Mesh::new();
    let nodes = host_and_guest(&mesh).await;
    let client = nodes[1].client::<StreamsClient>();
    let blobs = client.blobs(8, 1 << 20).await.unwrap().collect().await.unwrap();
    assert!(blobs.len() == 8 && blobs.iter().all(|blob| blob.len() == 1 << 20));
    // Items of many bytes are encoded elsewhere than small ones: their order is one all the same.
    let sizes = [1, 1 << 20, 300_000, 1 << 18, 5, 300_000, 300_001, 0, 7];
    let sized = client.sized(sizes.to_vec()).await.unwrap().collect().await.unwrap();
    assert_eq!(sized.iter().map(Vec::len).collect::<Vec<_>>(), sizes);
    for sizes in [vec![9 << 20], vec![1 << 20, 9 << 20]] {
        let mut cut = client.sized(sizes.clone()).await.unwrap();
        for _ in 1..sizes.len() {
            assert_eq!(cut.recv().await.unwrap().unwrap().len(), 1 << 20);
        }
        let failure = cut.recv().await.unwrap_err();
        assert_eq!(failure.reason(), Reason::TooLarge, "{failure}");
    }
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_outlives_the_replacement_of_its_session() {
    let mesh = Mesh::new();
    let nodes = host_and_guest(&mesh).await;
    let stranger = Stranger::in_memory(&mesh.network, &mesh.identity, "node-0").unwrap();
    let (session, _control) = stranger.introduce("tests").await.unwrap();
    let request = opening("tests.Streams", "json", &[("stall", "")]);
    let mut channel = stranger::open(&*session, frame(kind::OPEN, &request)).await.unwrap();
    let begin = [&[0, 0], br#"{"after":20,"pause":500}"#.as_slice()].concat();
    channel.writer.write_all(frame(kind::STREAM, &begin)).await.unwrap();
    for expected in [kind::OPENED, kind::REPLY] {
        assert_eq!(read_frame(&mut channel).await.unwrap().unwrap().0, expected);
    }

    let (newer, _control) = stranger.introduce("tests").await.unwrap();
    for number in 0..20 {
        let (kind, item) = read_frame(&mut channel).await.unwrap().expect("the stream goes on");
        assert_eq!((kind, &item[..]), (kind::ITEM, number.to_string().as_bytes()));
    }
    drop(channel);
    timeout(secs(2), session.closed()).await.expect("nothing is left to do on the older session");
    drop(newer);
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn replaced_sessions_that_go_on_are_counted_and_the_oldest_beyond_eight_is_cut() {
    let mesh = Mesh::new();
    let nodes = host_and_guest(&mesh).await;
    let stranger = Stranger::in_memory(&mesh.network, &mesh.identity, "node-0").unwrap();
    let request = opening("tests.Streams", "json", &[("stall", "")]);
    let begin = [&[0, 0], br#"{"after":1000,"pause":500}"#.as_slice()].concat();
    let mut sessions = Vec::new();
    // One that is used, eight that were replaced, and one too many.
    for _ in 0..10 {
        let (session, control) = stranger.introduce("tests").await.unwrap();
        let mut channel = stranger::open(&*session, frame(kind::OPEN, &request)).await.unwrap();
        channel.writer.write_all(frame(kind::STREAM, &begin)).await.unwrap();
        for expected in [kind::OPENED, kind::REPLY] {
            assert_eq!(read_frame(&mut channel).await.unwrap().unwrap().0, expected);
        }
        sessions.push((session, control, channel));
    }
    sleep(secs(10)).await;
    let (oldest, _control, _channel) = sessions.remove(0);
    let why = timeout(millis(1), oldest.closed()).await.expect("it is cut").to_string();
    assert!(why.contains("(4)") && why.contains("replaced, and cut: 8 newer"), "{why}");
    for (_, _, channel) in &mut sessions {
        for _ in 0..3 {
            assert_eq!(read_frame(channel).await.unwrap().expect("it goes on").0, kind::ITEM);
        }
    }
    let counts = nodes[0].counts();
    assert_eq!((counts.retired_sessions, counts.cut_sessions), (9, 1));

    // What has ended makes room.
    drop(sessions.drain(..4));
    sleep(secs(2)).await;
    drop(stranger.introduce("tests").await.unwrap());
    sleep(secs(1)).await;
    assert_eq!(nodes[0].counts().cut_sessions, 1);
    drop(sessions);
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_dies_cuts_streams_in_both_directions() {
    let mesh = Mesh::new();
    let nodes = host_and_guest(&mesh).await;
    let [host, guest] = nodes;
    let client = guest.client::<StreamsClient>();
    let (say, said) = stream(1);
    let mut heard = client.double(said, 2).await.unwrap();
    say.send(1).await.unwrap();
    assert_eq!(heard.recv().await, Ok(Some(2)));
    let (lost, numbers) = stream(1);
    let summing = spawn(async move { client.sum(0, numbers).await });
    lost.send(1).await.unwrap();
    sleep(millis(50)).await;

    mesh.network.crash("node-0");
    let start = Instant::now();
    let failure = heard.recv().await.unwrap_err();
    assert_eq!(
        (failure.outcome(), failure.reason()),
        (Outcome::Unknown, Reason::ConnectionLost),
        "{failure}"
    );
    let failure = summing.await.unwrap().unwrap_err();
    assert_eq!(failure.failure().unwrap().outcome(), Outcome::Unknown, "{failure}");
    for sender in [say, lost] {
        timeout(secs(2), sender.closed()).await.expect("the senders are told");
        sender.send(1).await.unwrap_err();
    }
    assert!(start.elapsed() < secs(2), "{:?}", start.elapsed());
    drop(host);
    Mesh::end([guest]).await;
}

/// Frames that wait for room hold the session's window: they must leave enough for those that have room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_large_uploads_at_once_come_through_over_quic() {
    let mesh = Mesh::new();
    let nodes = host_and_guest_over_quic(&mesh).await;
    let client = nodes[1].client::<StreamsClient>();
    client.ping().await.unwrap();
    // Of those, the host has room for 16, and 32 may wait.
    let uploads = (0..40).map(|_| client.weigh(Receiver::of((0..2).map(|_| "x".repeat(4_000_000)))));
    for weight in timeout(secs(60), join_all(uploads)).await.expect("they hold each other up") {
        assert_eq!(weight.unwrap(), 8_000_000);
    }
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn a_large_upload_that_finds_no_room_says_so() {
    let mesh = Mesh::new();
    let mut config = Config::local();
    // The least: one of the largest frames.
    config.limits.large_frames_bytes_max = 0;
    let server = StreamsServer::new(Numbers::default);
    let host = mesh.node("node-0").config(config).serve(server).start().await.unwrap();
    let guest = mesh.node("guest").start().await.unwrap();
    watch::endpoints(&guest, "tests.Streams", 1).await;
    let client = guest.client::<StreamsClient>();
    let uploads = (0..40).map(|_| client.weigh(Receiver::of(["x".repeat(4_000_000)])));
    let mut without_room = 0;
    for weight in join_all(uploads).await {
        match weight {
            Ok(weight) => assert_eq!(weight, 4_000_000),
            Err(failure) => {
                assert_eq!(
                    (failure.outcome(), failure.reason()),
                    (Outcome::Unknown, Reason::Overloaded),
                    "{failure}"
                );
                assert!(failure.to_string().contains("send fewer at once"), "{failure}");
                without_room += 1;
            }
        }
    }
    assert_eq!(without_room, 40 - 1 - 32, "one has room, and 32 wait for it");
    Mesh::end([guest, host]).await;
}

/// Each leaves what its channel's window holds unread, and all together would leave nothing of the session's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_items_that_nobody_receives_hold_up_no_calls_over_quic() {
    let mesh = Mesh::new();
    let nodes = host_and_guest_over_quic(&mesh).await;
    let client = nodes[1].client::<StreamsClient>();
    client.ping().await.unwrap();
    let mut left_lying = Vec::new();
    for _ in 0..16 {
        left_lying.push(client.blobs(4, 700_000).await.unwrap());
    }
    sleep(secs(2)).await;
    client.ping().await.unwrap();
    let late = left_lying.pop().unwrap();
    assert_eq!(late.collect().await.unwrap().len(), 4, "nothing of it is lost");
    Mesh::end(nodes).await;
}

/// JSON has no form for a map with such keys, nor has this for anything.
#[tokio::test(start_paused = true)]
async fn an_item_that_cannot_be_encoded_cuts_a_stream_that_has_begun() {
    let mesh = Mesh::new();
    let nodes = host_and_guest(&mesh).await;
    let mut heard = nodes[1].client::<StreamsClient>().formless().await.unwrap();
    let failure = heard.recv().await.unwrap_err();
    assert_eq!((failure.outcome(), failure.reason()), (Outcome::Unknown, Reason::BadReply), "{failure}");
    Mesh::end(nodes).await;
}
