//! 100,000 one-way sends flat out on a pinned client, over QUIC, to a service that is slower than they come: they are handled
//! in order, and what waits is bounded. A process of its own with both nodes in it, so that its memory is theirs.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{AcqRel, Relaxed},
        },
    },
};

use anyhow::{Result, ensure};
use qmesh::ServiceClient as _;
use qmesh_tests::{Mesh, millis, resident_bytes, secs, spawn, watch};
use tokio::time::{Instant, timeout};

const SENDS: u64 = 100_000;
/// What a send brings along: 100 MB in all.
const BALLAST: usize = 1000;
/// On both sides together: a queue of 1024 sends, what the sessions have under way, and what is kept for reuse.
const GROWTH_MAX: u64 = 24 << 20;

#[qmesh::service(name = "tests.Belt")]
trait Belt {
    /// Handled one after the other.
    #[oneway]
    async fn put(&mut self, number: u64, ballast: String);
    /// How many were handled, once all before it are.
    async fn count(&mut self) -> u64;
}

#[derive(Clone, Default)]
struct Packer {
    handled: Arc<AtomicU64>,
    out_of_order: Arc<AtomicBool>,
}

impl Belt for Packer {
    async fn put(&mut self, number: u64, ballast: String) {
        // Slower than anybody sends.
        for _ in 0..3 {
            black_box(ballast.bytes().map(u64::from).sum::<u64>());
        }
        let expected = self.handled.fetch_add(1, AcqRel);
        self.out_of_order.fetch_or(number != expected, Relaxed);
    }

    async fn count(&mut self) -> u64 {
        self.handled.load(Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_sends_flat_out_are_handled_in_order_in_bounded_memory() -> Result<()> {
    let mesh = Mesh::new();
    let packer = Packer::default();
    let served = packer.clone();
    let belt = BeltServer::new(move || served.clone());
    let serving = mesh.quic_node("serving", None).serve(belt).start().await?;
    let guest = mesh.quic_node("guest", Some(&serving)).start().await?;
    let nodes = [serving, guest];
    watch::agree(&nodes, secs(10)).await;
    let client = nodes[1].client::<BeltClient>().pinned();
    client.count().await?;

    let before = resident_bytes()?;
    let ballast = "x".repeat(BALLAST);
    let start = Instant::now();
    let sending = spawn(async move {
        let mut behind_most = 0;
        for number in 0..SENDS {
            client.put(number, ballast.clone()).timeout(secs(60)).await?;
            behind_most = behind_most.max(number + 1 - packer.handled.load(Relaxed).min(number + 1));
        }
        let sent_after = start.elapsed();
        let handled = client.count().timeout(secs(60)).await?;
        ensure!(handled == SENDS, "{handled} were handled");
        ensure!(!packer.out_of_order.load(Relaxed), "some were handled out of order");
        Ok((sent_after, behind_most))
    });
    tokio::pin!(sending);
    let mut most = before;
    let (sent_after, behind_most) = loop {
        if let Ok(sent) = timeout(millis(10), &mut sending).await {
            break sent??;
        }
        most = most.max(resident_bytes()?);
    };
    let (took, grown) = (start.elapsed(), most - before);
    println!(
        "{SENDS} sends of {BALLAST} bytes: sent after {sent_after:.1?}, handled after {took:.1?}; at most {behind_most} waited, \
         memory of both sides grew by {} KiB",
        grown >> 10
    );
    ensure!(behind_most > 1000, "only {behind_most} waited: the sender was not ahead");
    ensure!(grown < GROWTH_MAX, "memory grew by {grown} bytes");
    Mesh::end(nodes).await;
    Ok(())
}
