//! Two services of two nodes, each of which calls the other before it has answered: who waits for whom is found and named. By
//! hand, `-- stay` goes on, and its console in a browser, or `qmesh top` in another terminal, shows it.

#![expect(clippy::print_stdout, reason = "an example says what it shows")]

use std::{env, time::Duration};

use anyhow::{Result, ensure};
use qmesh::{Console, Deadlock, deadlocks, prelude::*};
use tokio::time::{Instant, sleep};

/// Takes orders.
#[qmesh::service(name = "shop.Orders")]
pub trait Orders {
    /// Places one: `&mut self`, so that nobody else is served meanwhile.
    async fn place(&mut self, cx: &Context, number: u64) -> Result<(), Failure>;
    /// Whether there is one of that number.
    async fn has(&mut self, number: u64) -> bool;
}

/// Charges for orders.
#[qmesh::service(name = "shop.Billing")]
pub trait Billing {
    /// Charges for an order that there is: it asks, and the one who could tell waits for this very call.
    async fn charge(&mut self, cx: &Context, number: u64) -> Result<(), Failure>;
    /// What an order costs.
    #[idempotent]
    async fn price(&self, number: u64) -> Result<u64, String>;
}

/// Either service.
#[derive(Debug, Default)]
pub struct Shop {
    orders: u64,
}

impl Orders for Shop {
    async fn place(&mut self, cx: &Context, number: u64) -> Result<(), Failure> {
        self.orders += 1;
        let charged = cx.client::<BillingClient>().charge(number).timeout(Duration::from_secs(8)).await;
        charged.map_err(|error| match error {
            CallError::Service(failure) | CallError::Failed(failure) => failure,
        })
    }

    async fn has(&mut self, number: u64) -> bool {
        number < self.orders
    }
}

impl Billing for Shop {
    async fn charge(&mut self, cx: &Context, number: u64) -> Result<(), Failure> {
        cx.client::<OrdersClient>().has(number).await.map(drop)
    }

    async fn price(&self, number: u64) -> Result<u64, String> {
        sleep(Duration::from_millis(number % 7)).await;
        if number.is_multiple_of(50) { Err(format!("{number} has no price")) } else { Ok(number * 3) }
    }
}

/// Asks for prices, without end.
async fn ask_for_prices(client: BillingClient) {
    for number in 0.. {
        // Whether there is one does not matter here.
        drop(client.price(number).await);
    }
}

fn told(deadlock: &Deadlock) -> String {
    let told = deadlock.circle.iter().map(|(node, wait)| {
        format!("{}/{} on {node} waits for {}/{}", wait.from, wait.handler, wait.service, wait.method)
    });
    told.collect::<Vec<_>>().join(", and ")
}

#[tokio::main]
async fn main() -> Result<()> {
    let stays = env::args().nth(1).as_deref() == Some("stay");
    let directory = tempfile::tempdir()?;
    let home = if stays { ".qmesh".into() } else { directory.path().to_owned() };
    let identity = Identity::dev(home)?;
    let builder = |name: &str| Node::builder(name).identity(identity.clone()).config(Config::local());
    let front = builder("front").serve(OrdersServer::new(Shop::default)).start().await?;
    let back = builder("back").serve(BillingServer::new(Shop::default)).start().await?;
    let till = builder("till").start().await?;
    let nodes = [till, front, back];
    let look = || deadlocks(&nodes.iter().map(Node::traffic).collect::<Vec<_>>());
    ensure!(look().is_empty(), "nobody waits yet");

    let console = stays.then(|| Console::at(([127, 0, 0, 1], 0).into()).serve(&nodes[0])).transpose()?;
    if let Some(console) = &console {
        println!("look at it: {}", console.url());
    }
    let prices = [(); 4].map(|()| nodes[0].spawn(ask_for_prices(nodes[0].client())));
    loop {
        let orders = nodes[0].client::<OrdersClient>();
        let order = nodes[0].spawn(async move { orders.place(7).timeout(Duration::from_secs(8)).await });
        let began = Instant::now();
        let found = loop {
            sleep(Duration::from_millis(200)).await;
            if let Some(found) = look().pop() {
                break found;
            }
            ensure!(
                began.elapsed() < Duration::from_secs(8),
                "two services wait for each other, and nobody says so"
            );
        };
        println!("after {} ms: {}", began.elapsed().as_millis(), told(&found));
        ensure!(found.circle.len() == 2, "there are two of them: {found:?}");
        if !stays {
            order.abort();
            break;
        }
        let ended = order.await?;
        println!("its time was over: {ended:?}");
    }
    prices.iter().for_each(tokio::task::JoinHandle::abort);
    for node in &nodes {
        node.shutdown().await;
    }
    Ok(())
}
