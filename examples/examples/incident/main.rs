//! Three things go wrong in one small mesh, and a guest at one of its nodes finds out what and why.
//!
//! One of two stocks is slow; billing and the ledger wait for each other; the cable of a node is pulled. By hand, `-- --stay`
//! goes on with the first two, for `qmesh top`, `qmesh trace`, `qmesh why` and the console in another terminal.

#![expect(clippy::print_stdout, reason = "an example says what it shows")]

mod cables;
mod shop;

use std::{collections::BTreeMap, env, time::Duration};

use anyhow::{Context as _, Result, ensure};
use qmesh::{
    Console, ControlClient, Deadlock, Happened, MeshEvent, SeedSource, SpanInfo, TraceFilter, TraceInfo,
    deadlocks, prelude::*,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    cables::{Cables, Ends},
    shop::{
        BillingClient, BillingServer, Book, Counter, LedgerServer, OrdersClient, OrdersServer, Shelves,
        StockServer, Till,
    },
};

/// How long it may take until something shows.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the slow stock takes.
const SLOW: Duration = Duration::from_millis(250);

/// The nodes, the cable of one of them, and those who work.
struct Shop {
    nodes: Vec<Node>,
    cables: Cables,
    cellar: Ends,
    customers: Vec<JoinHandle<()>>,
}

impl Shop {
    async fn open(identity: &Identity) -> Result<Self> {
        let mut cables = Cables::default();
        let mut seeds = Vec::new();
        let mut builders = Vec::new();
        let mut cellar = None;
        for name in ["front", "storeroom", "cellar", "office"] {
            let ends = cables.lay().await?;
            let builder = Node::builder(name)
                .identity(identity.clone())
                .config(Config::local())
                .listen(Address::quic(ends.node))
                .advertise(Address::quic(ends.others))
                .seeds(SeedSource::Addresses(seeds.clone()));
            seeds.push(Address::quic(ends.others));
            cellar = Some(ends).filter(|_| name == "cellar").or(cellar);
            builders.push(match name {
                "front" => builder.serve(OrdersServer::new(|| Counter)),
                "storeroom" => builder.serve(StockServer::new(|| Shelves { search: Duration::ZERO })),
                "cellar" => {
                    let slow = StockServer::new(|| Shelves { search: SLOW });
                    builder.serve(slow).serve(LedgerServer::new(|| Book))
                }
                _ => builder.serve(BillingServer::new(|| Till)),
            });
        }
        let mut nodes = Vec::new();
        for builder in builders {
            nodes.push(builder.start().await?);
        }
        let cellar = cellar.context("there is a cellar")?;
        Ok(Self { nodes, cables, cellar, customers: Vec::new() })
    }

    /// Somebody at the front orders one thing after the other.
    fn orders(&mut self) {
        let orders = self.nodes[0].client::<OrdersClient>();
        self.customers.push(self.nodes[0].spawn(async move {
            for item in 0.. {
                // Whoever gets nothing asks for the next thing.
                drop(orders.place(item).timeout(Duration::from_secs(2)).await);
                sleep(Duration::from_millis(5)).await;
            }
        }));
    }

    /// Somebody pays for one thing after the other.
    fn pays(&mut self) {
        let billing = self.nodes[0].client::<BillingClient>();
        self.customers.push(self.nodes[0].spawn(async move {
            for item in 0.. {
                drop(billing.charge(item).timeout(Duration::from_secs(5)).await);
            }
        }));
    }

    async fn close(self) {
        self.customers.iter().for_each(JoinHandle::abort);
        for node in &self.nodes {
            node.shutdown().await;
        }
    }
}

/// A guest at the front, who sees the whole mesh from there.
struct Guest(ControlClient);

impl Guest {
    /// Looks until something shows.
    async fn until<T>(
        &mut self,
        what: &str,
        look: impl AsyncFn(&mut ControlClient) -> Result<Option<T>>,
    ) -> Result<T> {
        let began = Instant::now();
        loop {
            if let Some(found) = look(&mut self.0).await? {
                return Ok(found);
            }
            ensure!(began.elapsed() < PATIENCE, "nobody says that {what}");
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// An order that took long, and all its spans.
    async fn slow_order(&mut self) -> Result<(TraceInfo, Vec<SpanInfo>)> {
        self.until("an order was slow", async |guest| {
            let mut filter = TraceFilter::default();
            filter.service = Some("shop.Orders".to_owned());
            filter.min_ms = 200;
            filter.max = 1;
            let found = guest.traces(&filter).await?;
            let Some(order) = found.into_values().filter_map(Result::ok).flatten().next() else {
                return Ok(None);
            };
            let spans = guest.trace(&order.trace).await?;
            let spans: Vec<_> = spans.into_values().filter_map(Result::ok).flatten().collect();
            // The last of them ends a moment later.
            let is_whole = spans.iter().any(|span| span.node == "cellar");
            Ok(is_whole.then_some((order, spans)))
        })
        .await
    }

    async fn deadlock(&mut self) -> Result<Deadlock> {
        self.until("two services wait for each other", async |guest| {
            let traffic = guest.traffic_everywhere().await?;
            let traffic: Vec<_> = traffic.into_values().filter_map(Result::ok).collect();
            Ok(deadlocks(&traffic).pop())
        })
        .await
    }

    /// The event of the front that is meant, if it comes after those.
    async fn event(
        &mut self,
        what: &str,
        after: &mut BTreeMap<String, u64>,
        is_meant: impl Fn(&MeshEvent) -> bool,
    ) -> Result<Happened> {
        let began = Instant::now();
        loop {
            let told = self.0.events_everywhere(after, 1000).await?;
            let front = told.into_iter().find(|(node, _)| node == "front");
            let (node, answer) = front.context("the front answers")?;
            for happened in answer?.events {
                after.insert(node.clone(), happened.seq);
                if is_meant(&happened.event) {
                    return Ok(happened);
                }
            }
            ensure!(began.elapsed() < PATIENCE, "nobody says that {what}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn a_slow_stock(shop: &mut Shop, guest: &mut Guest) -> Result<()> {
    shop.orders();
    let (order, spans) = guest.slow_order().await?;
    println!("an order took {} ms, in trace {}:", order.duration_us / 1000, order.trace);
    let slowest = spans.iter().filter(|span| span.name == "handler").max_by_key(|span| span.unix_us);
    let slowest = slowest.context("a handler was at work")?;
    println!("  {} ms of them in a handler on {}", slowest.duration_us / 1000, slowest.node);
    ensure!(slowest.node == "cellar", "the cellar is the slow one: {slowest:?}");
    Ok(())
}

async fn a_deadlock(shop: &mut Shop, guest: &mut Guest) -> Result<()> {
    shop.pays();
    let found = guest.deadlock().await?;
    for (node, wait) in &found.circle {
        println!(
            "{}/{} on {node} waits for {}/{} on {}",
            wait.from, wait.handler, wait.service, wait.method, wait.node
        );
    }
    ensure!(found.circle.len() == 2, "billing and the ledger wait for each other: {found:?}");
    Ok(())
}

async fn a_cut(shop: &Shop, guest: &mut Guest) -> Result<()> {
    let mut after = BTreeMap::new();
    let is_cellar = |peer: &str| peer == "cellar";
    shop.cables.pull(shop.cellar);
    let died = guest
        .event(
            "the cellar fell silent",
            &mut after,
            |event| matches!(event, MeshEvent::Died { peer, .. } if is_cellar(peer)),
        )
        .await?;
    println!("the cable is pulled: {}", died.event);
    let placed = shop.nodes[0].client::<OrdersClient>().place(1).await?;
    ensure!(placed == "storeroom", "the other stock goes on: {placed}");
    shop.cables.plug_in(shop.cellar);
    let joined = guest
        .event(
            "the cellar is back",
            &mut after,
            |event| matches!(event, MeshEvent::Joined { peer, .. } if is_cellar(peer)),
        )
        .await?;
    println!("it is plugged in: {}", joined.event);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let stays = env::args().nth(1).as_deref() == Some("--stay");
    let directory = tempfile::tempdir()?;
    let home = if stays { ".qmesh".into() } else { directory.path().to_owned() };
    let identity = Identity::dev(home)?;
    let mut shop = Shop::open(&identity).await?;
    let front = shop.nodes[0].addresses();
    let front = front.first().context("the front has an address")?;
    let mut guest = Guest(ControlClient::connect(front, &identity, "guest").await?);

    a_slow_stock(&mut shop, &mut guest).await?;
    a_deadlock(&mut shop, &mut guest).await?;
    a_cut(&shop, &mut guest).await?;
    if stays {
        let console = Console::at(([127, 0, 0, 1], 0).into()).serve(&shop.nodes[0])?;
        println!(
            "it goes on until Ctrl-C: see {}, or try `qmesh top`, `qmesh trace`, `qmesh events`",
            console.url()
        );
        tokio::signal::ctrl_c().await?;
    }
    guest.0.close().await;
    shop.close().await;
    Ok(())
}
