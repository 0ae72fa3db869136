//! The service that the swarm calls. Each handler enters in the books that it began.

use std::time::Duration;

use futures_util::StreamExt as _;
use qmesh::{
    Context, Decision, Receiver, RestartPolicy, Server,
    testing::{Ledger, Site},
};
use tokio::time::sleep;

use crate::EXPECTED;

/// One method for each kind of call. `id` is the call's number in the books.
#[qmesh::service(name = "swarm.Work")]
pub trait Work {
    /// Overlaps, and may be repeated.
    #[idempotent]
    async fn read(&self, id: u64, millis: u64) -> u64;
    /// Overlaps, and runs once at most.
    async fn share(&self, id: u64, millis: u64) -> u64;
    /// Runs alone, and once at most.
    async fn alone(&mut self, id: u64, millis: u64) -> u64;
    /// Runs alone, and tells nobody.
    #[oneway]
    async fn note(&mut self, id: u64, millis: u64);
    /// The numbers below `count`, in order.
    async fn fetch(&self, id: u64, count: u64) -> Receiver<u64>;
    /// How many items came, in order.
    async fn store(&self, id: u64, items: Receiver<u64>) -> u64;
    /// The `number`th thing that a pinned client asks: begins in order, overlaps, and runs once at most.
    async fn step(&self, id: u64, client: String, number: u64, millis: u64) -> u64;
    /// As that, and tells nobody.
    #[oneway]
    async fn mark(&mut self, id: u64, client: String, number: u64, millis: u64);
    /// For every other node alone.
    async fn vault(&self, cx: &Context, id: u64) -> u64;
    /// As that, with a stream.
    async fn archive(&self, cx: &Context, id: u64, count: u64) -> Receiver<u64>;
}

#[derive(Clone, Debug)]
pub(super) struct Worker {
    site: Site,
    ledger: Ledger,
    /// Every so manyth call panics.
    panics_every: u64,
}

/// A server of that many places in its queue, which panics at that share of the calls.
pub(super) fn server(
    site: &Site,
    ledger: &Ledger,
    queue: usize,
    panics: f64,
) -> Server<WorkContract, Worker> {
    let panics_every =
        if panics > 0.0 { Duration::from_secs_f64(panics.recip()).as_secs() } else { u64::MAX };
    let worker = Worker { site: site.clone(), ledger: ledger.clone(), panics_every };
    let server = WorkServer::new(move || worker.clone()).queue(queue).restart(RestartPolicy::forever());
    server.authorize(|caller, _service, method| {
        let may = !["vault", "archive"].contains(&method) || is_trusted(caller.name());
        if may { Decision::Allow } else { Decision::Deny }
    })
}

/// Whether the node of that name may call what is for every other node alone.
pub(super) fn is_trusted(node: &str) -> bool {
    node.bytes().last().is_some_and(|digit| digit.is_ascii_digit() && digit % 2 == 0)
}

impl Worker {
    /// Nobody comes so far who may not.
    fn check(&self, cx: &Context, id: u64) {
        let caller = cx.caller().name();
        if !is_trusted(caller) {
            self.ledger.violate(format!("call {id} was handled, and {caller} may not make it"));
        }
    }

    async fn work(&self, id: u64, millis: u64) -> u64 {
        self.ledger.began(id);
        self.site.be_slow().await;
        if millis > 0 {
            sleep(Duration::from_millis(millis)).await;
        }
        id
    }

    /// As [`work`](Self::work), and it may panic. What is repeated would panic each time.
    async fn risky_work(&self, id: u64, millis: u64) -> u64 {
        self.work(id, millis).await;
        assert!(!(id + 1).is_multiple_of(self.panics_every), "{EXPECTED}");
        id
    }
}

impl Work for Worker {
    async fn read(&self, id: u64, millis: u64) -> u64 {
        self.work(id, millis).await
    }

    async fn share(&self, id: u64, millis: u64) -> u64 {
        self.risky_work(id, millis).await
    }

    async fn alone(&mut self, id: u64, millis: u64) -> u64 {
        self.risky_work(id, millis).await
    }

    async fn note(&mut self, id: u64, millis: u64) {
        self.risky_work(id, millis).await;
    }

    async fn fetch(&self, id: u64, count: u64) -> Receiver<u64> {
        self.work(id, 0).await;
        Receiver::from_stream(futures_util::stream::iter(0..count).then(async |number| {
            sleep(Duration::from_millis(1)).await;
            Ok(number)
        }))
    }

    async fn step(&self, id: u64, client: String, number: u64, millis: u64) -> u64 {
        self.ledger.in_order(&client, number);
        self.risky_work(id, millis).await
    }

    async fn mark(&mut self, id: u64, client: String, number: u64, millis: u64) {
        self.ledger.in_order(&client, number);
        self.risky_work(id, millis).await;
    }

    async fn vault(&self, cx: &Context, id: u64) -> u64 {
        self.check(cx, id);
        self.work(id, 0).await
    }

    async fn archive(&self, cx: &Context, id: u64, count: u64) -> Receiver<u64> {
        self.check(cx, id);
        self.fetch(id, count).await
    }

    async fn store(&self, id: u64, mut items: Receiver<u64>) -> u64 {
        self.work(id, 0).await;
        let mut expected = 0;
        loop {
            match items.recv().await {
                Ok(Some(item)) if item == expected => expected += 1,
                Ok(Some(item)) => self.ledger.violate(format!("call {id}: item {item} came as {expected}")),
                Ok(None) => return expected,
                // A cut stream has no end, and so no count.
                Err(_) => return u64::MAX,
            }
        }
    }
}
