//! One-way sends: nothing comes back, and yet they arrive, in order, and never faster than the service takes them.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use qmesh::Node;
use qmesh_tests::{Mesh, millis, secs, watch};
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
}

impl Notes for Book {
    async fn note(&mut self, number: u64) {
        if !self.pause.is_zero() {
            sleep(self.pause).await;
        }
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
        let mut config = qmesh::Config::local();
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
        let one_more = client.note(1000).timeout(millis(0)).await;
        assert!(one_more.is_err() || sender == 1 || book.noted.lock().len() > 900, "a place came free");
        sleep(secs(1)).await;
        assert!(book.noted.lock().iter().copied().take(1000).eq(0..1000));
        Mesh::end(nodes).await;
    }
}
