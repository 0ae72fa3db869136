//! A consumer two hops away that does not read stops the producer, and nothing in between grows. A process of its own,
//! so that its memory is the test's.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use anyhow::{Result, ensure};
use qmesh::{Context, Failure, Receiver, stream};
use qmesh_tests::{Mesh, millis, resident_bytes, secs, watch};
use tokio::time::{Instant, sleep};

const ITEM_BYTES: usize = 64 * 1024;
/// 1 GiB in all.
const ITEMS: u64 = 16 * 1024;
const GROWTH_MAX: u64 = 10 << 20;

#[qmesh::service(name = "tests.Well")]
trait Well {
    /// A gigabyte, as fast as it is taken.
    async fn draw(&self, cx: &Context) -> Receiver<String>;
}

#[qmesh::service(name = "tests.Pipe")]
trait Pipe {
    /// What the well gives, passed on.
    async fn draw(&self, cx: &Context) -> Result<Receiver<String>, Failure>;
}

#[derive(Clone, Default)]
struct Spring {
    drawn: Arc<AtomicU64>,
    knows_it_is_over: Arc<AtomicBool>,
}

struct Hose;

impl Well for Spring {
    async fn draw(&self, cx: &Context) -> Receiver<String> {
        let (sender, receiver) = stream(16);
        let own = self.clone();
        cx.spawn(async move {
            for _ in 0..ITEMS {
                if sender.send("x".repeat(ITEM_BYTES)).await.is_err() {
                    own.knows_it_is_over.store(true, Relaxed);
                    return;
                }
                own.drawn.fetch_add(1, Relaxed);
            }
            sender.finish();
        });
        receiver
    }
}

impl Pipe for Hose {
    async fn draw(&self, cx: &Context) -> Result<Receiver<String>, Failure> {
        cx.client::<WellClient>().draw().await
    }
}

#[tokio::test]
async fn a_consumer_two_hops_away_that_does_not_read_stops_the_producer() -> Result<()> {
    let mesh = Mesh::new();
    let spring = Spring::default();
    let served = spring.clone();
    let well = WellServer::new(move || served.clone());
    let source = mesh.quic_node("source", None).serve(well).start().await?;
    let between = mesh.quic_node("between", Some(&source)).serve(PipeServer::new(|| Hose)).start().await?;
    let guest = mesh.quic_node("guest", Some(&source)).start().await?;
    let nodes = [source, between, guest];
    watch::agree(&nodes, secs(10)).await;
    let client = nodes[2].client::<PipeClient>();
    // Once through, so that what is allocated once is not counted.
    let mut heard = client.draw().await?;
    for _ in 0..200 {
        ensure!(heard.recv().await?.is_some_and(|item| item.len() == ITEM_BYTES), "an item is missing");
    }
    drop(heard);
    let start = Instant::now();
    while !spring.knows_it_is_over.load(Relaxed) {
        ensure!(start.elapsed() < secs(30), "the producer does not learn that nobody listens");
        sleep(millis(10)).await;
    }

    let (before, drawn_before) = (resident_bytes()?, spring.drawn.load(Relaxed));
    let mut heard = client.draw().await?;
    let mut most = 0;
    for _ in 0..20 {
        sleep(millis(100)).await;
        most = most.max(resident_bytes()?.saturating_sub(before));
    }
    let drawn = spring.drawn.load(Relaxed) - drawn_before;
    println!(
        "1 GiB on offer, nothing read: {drawn} items of 64 KiB were drawn, memory grew by {} KiB",
        most / 1024
    );
    ensure!(most < GROWTH_MAX, "memory grew by {most} bytes");
    ensure!(drawn < ITEMS / 50, "{drawn} items were drawn though none was read");
    sleep(millis(500)).await;
    ensure!(spring.drawn.load(Relaxed) - drawn_before == drawn, "the producer goes on");

    // It goes on when the consumer does.
    for _ in 0..drawn + 100 {
        ensure!(heard.recv().await?.is_some_and(|item| item.len() == ITEM_BYTES), "an item is missing");
    }
    drop(heard);
    Mesh::end(nodes).await;
    Ok(())
}
