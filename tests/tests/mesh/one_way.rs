//! One-way sends: nothing comes back, and yet they arrive, in order, and never faster than the service takes them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use parking_lot::Mutex;
use qmesh::{Config, Node, Outcome, Reason, RestartPolicy};
use qmesh_tests::{
    EXPECTED, Mesh, expect_panics, millis, secs,
    stranger::{self, Stranger, frame, kind, opening, read_frame},
    watch,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

const SENDS: u64 = 10_000;

#[qmesh::service(name = "tests.Notes")]
pub(crate) trait Notes {
    #[oneway]
    async fn note(&mut self, number: u64);
    async fn count(&self) -> u64;
}

#[derive(Clone, Default)]
struct Book {
    noted: Arc<Mutex<Vec<u64>>>,
    pause: Duration,
    panics_at: Option<u64>,
}

impl Notes for Book {
    async fn note(&mut self, number: u64) {
        if !self.pause.is_zero() {
            sleep(self.pause).await;
        }
        assert!(self.panics_at != Some(number), "{EXPECTED}");
        self.noted.lock().push(number);
    }

    async fn count(&self) -> u64 {
        self.noted.lock().len() as u64
    }
}

async fn host_and_guest(mesh: &Mesh, book: &Book, queue: usize) -> [Node; 2] {
    let book = book.clone();
    let server = NotesServer::new(move || book.clone()).queue(queue);
    let host = mesh.node("node-0").serve(server).start().await.unwrap();
    let guest = mesh.node("guest").start().await.unwrap();
    watch::endpoints(&guest, "tests.Notes", 1).await;
    [host, guest]
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_arrive_in_order() {
    for sender in [0, 1] {
        let (mesh, book) = (Mesh::new(), Book::default());
        let nodes = host_and_guest(&mesh, &book, 1024).await;
        let client = nodes[sender].client::<NotesClient>();
        for number in 0..SENDS {
            client.note(number).await.unwrap();
        }
        // A call on the same channel comes after all that was sent.
        assert_eq!(client.count().await.unwrap(), SENDS);
        assert!(book.noted.lock().iter().copied().eq(0..SENDS));
        Mesh::end(nodes).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_waits_for_a_slow_service() {
    const QUEUE: u64 = 16;
    let book = Book { pause: millis(1), ..Book::default() };
    for sender in [0, 1] {
        let mesh = Mesh::new();
        book.noted.lock().clear();
        let mut config = Config::local();
        config.limits.one_way_window = 64;
        let served = book.clone();
        let server = NotesServer::new(move || served.clone()).queue(usize::try_from(QUEUE).unwrap());
        let host = mesh.node("node-0").config(config).serve(server).start().await.unwrap();
        let nodes = [host, mesh.node("guest").start().await.unwrap()];
        watch::endpoints(&nodes[1], "tests.Notes", 1).await;
        let client = nodes[sender].client::<NotesClient>();
        client.count().await.unwrap();
        let start = Instant::now();
        for number in 0..1000 {
            client.note(number).await.unwrap();
            let outstanding = number + 1 - book.noted.lock().len() as u64;
            assert!(outstanding <= 64 + QUEUE, "{outstanding} sends are outstanding");
        }
        assert!(start.elapsed() > millis(800), "the sender ran away: {:?}", start.elapsed());
        sleep(secs(1)).await;
        assert!(book.noted.lock().iter().copied().take(1000).eq(0..1000));
        Mesh::end(nodes).await;
    }
}

/// A send of number `number` to the method of that number.
fn send(method: u8, number: u8) -> Bytes {
    frame(kind::ONE_WAY, &[method << 1, 0x91, number])
}

#[tokio::test(start_paused = true)]
async fn what_became_of_each_send_is_acknowledged() {
    expect_panics();
    let restarts = RestartPolicy::default();
    let never = RestartPolicy { intensity: 0, ..RestartPolicy::default() };
    // Number 3 panics, a call was sent one way, and something else is no arguments at all.
    for (policy, [handled, refused, unknown]) in [(restarts, [9, 2, 1]), (never, [3, 8, 1])] {
        let mesh = Mesh::new();
        let book = Book { panics_at: Some(3), ..Book::default() };
        let served = book.clone();
        let server = NotesServer::new(move || served.clone()).restart(policy);
        let host = mesh.node("node-0").serve(server).start().await.unwrap();
        let stranger = Stranger::in_memory(&mesh.network, &mesh.identity, "node-0").unwrap();
        let (session, _control) = stranger.introduce("tests").await.unwrap();
        let methods = [("note", "note(number: u64) one-way"), ("count", "count() -> u64")];
        let request = opening("tests.Notes", "msgpack", &methods);
        let mut channel = stranger::open(&*session, frame(kind::OPEN, &request)).await.unwrap();
        assert_eq!(read_frame(&mut channel).await.unwrap().unwrap().0, kind::OPENED);

        let mut sends: Vec<_> = (0..10).map(|number| send(0, number)).collect();
        sends.extend([send(1, 0), frame(kind::ONE_WAY, &[0, 0xc1])]);
        channel.writer.write_all(sends.concat().into()).await.unwrap();
        let last = loop {
            let (kind, counts) = read_frame(&mut channel).await.unwrap().unwrap();
            assert_eq!(kind, kind::ACKNOWLEDGE);
            if counts.iter().sum::<u8>() == 12 {
                break counts;
            }
        };
        assert_eq!(last[..], [handled, refused, unknown], "handled, refused, unknown");
        assert_eq!(book.noted.lock().len(), usize::from(handled));
        Mesh::end([host]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_method_that_has_no_answer_is_not_called() {
    let (mesh, book) = (Mesh::new(), Book::default());
    let nodes = host_and_guest(&mesh, &book, 1024).await;
    let stranger = Stranger::in_memory(&mesh.network, &mesh.identity, "node-0").unwrap();
    let (session, _control) = stranger.introduce("tests").await.unwrap();
    let request = opening("tests.Notes", "msgpack", &[("note", "note(number: u64) one-way")]);
    let mut channel = stranger::open(&*session, frame(kind::OPEN, &request)).await.unwrap();
    assert_eq!(read_frame(&mut channel).await.unwrap().unwrap().0, kind::OPENED);
    channel.writer.write_all(frame(kind::CALL, &[7, 0, 0x90, 0x4e, 0x91, 1])).await.unwrap();
    let (kind, reply) = read_frame(&mut channel).await.unwrap().unwrap();
    let told = String::from_utf8_lossy(&reply);
    assert!(
        kind == kind::REPLY && reply[..2] == [7, 2] && told.contains("is one-way or has streams"),
        "{told}"
    );

    // Tools say no more than its name, from this node or another one, and it is sent.
    for node in &nodes {
        let answer = node.call_json("tests.Notes", "note", &json!({"number": 5}), secs(1)).await.unwrap();
        assert_eq!(answer, Value::Null);
    }
    assert_eq!(nodes[1].client::<NotesClient>().count().await.unwrap(), 2);
    Mesh::end(nodes).await;
}

/// The endpoint is found when the send has begun: here, and it has one place.
#[tokio::test(start_paused = true)]
async fn a_sender_waits_for_a_slow_service_that_was_not_there_at_first() {
    let (mesh, book) = (Mesh::new(), Book { pause: millis(300), ..Book::default() });
    let served = book.clone();
    let server = NotesServer::new(move || served.clone()).queue(1).ready_when(|_| async {
        sleep(millis(100)).await;
        Ok::<_, String>(())
    });
    let host = mesh.node("node-0").serve(server).start().await.unwrap();
    let client = host.client::<NotesClient>();
    for sent in join_all((0..10).map(|number| client.note(number))).await {
        sent.unwrap();
    }
    sleep(secs(1)).await;
    assert_eq!(book.noted.lock().len(), 10);

    // Tools find it the same way, and wait no longer than they may.
    client.note(10).await.unwrap();
    client.note(11).await.unwrap();
    let number = json!({"number": 12});
    let call = |timeout| host.call_json("tests.Notes", "note", &number, timeout);
    let (sent, late) = tokio::join!(call(secs(1)), call(millis(200)));
    assert_eq!(sent.unwrap(), Value::Null);
    let late = late.unwrap_err();
    let facts = late.failure().map(|failure| (failure.outcome(), failure.reason()));
    assert_eq!(facts, Some((Outcome::NotSent, Reason::Overloaded)), "{late}");
    Mesh::end([host]).await;
}

/// What becomes of a node's sends when it, or the service's, ends in order: `accepted`, `handled` and `lost`.
async fn counts_after_a_drain(pause: Duration, drains: impl AsyncFnOnce(&Node, &Node)) -> [u64; 3] {
    let (mesh, book) = (Mesh::new(), Book { pause, ..Book::default() });
    let mut config = Config::local();
    config.drain_timeout = secs(2);
    let served = book.clone();
    let server = NotesServer::new(move || served.clone());
    let host = mesh.node("node-0").config(config.clone()).serve(server).start().await.unwrap();
    let guest = mesh.node("guest").config(config).start().await.unwrap();
    watch::endpoints(&guest, "tests.Notes", 1).await;
    let client = guest.client::<NotesClient>();
    for number in 0..10 {
        client.note(number).await.unwrap();
    }
    drains(&host, &guest).await;
    let handled = book.noted.lock().len() as u64;
    Mesh::end([guest.clone(), host]).await;
    let counts = guest.counts().one_way;
    assert_eq!(counts.handled, handled, "{counts:?}");
    [counts.accepted, counts.handled, counts.lost]
}

/// Nobody else waits for them.
#[tokio::test(start_paused = true)]
async fn a_node_that_drains_waits_for_what_it_sent_as_it_does_for_what_it_was_sent() {
    let start = Instant::now();
    let sent = counts_after_a_drain(millis(100), async |_, guest| guest.shutdown().await);
    assert_eq!(sent.await, [10, 10, 0], "the sender drains");
    let served = counts_after_a_drain(millis(100), async |host, _| host.shutdown().await);
    assert_eq!(served.await, [10, 10, 0], "the service's node drains");
    assert!(start.elapsed() < secs(8), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_node_waits_for_what_it_sent_no_longer_than_it_may_drain() {
    let cut = counts_after_a_drain(secs(60), async |_, guest| {
        let start = Instant::now();
        guest.shutdown().await;
        let took = start.elapsed();
        assert!((secs(2)..millis(2900)).contains(&took), "{took:?}");
    });
    assert_eq!(cut.await, [10, 0, 10], "nobody knows what becomes of them");
}
