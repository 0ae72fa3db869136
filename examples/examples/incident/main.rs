//! Three things go wrong in one small mesh, and a guest at one of its nodes finds out what and why.
//!
//! One of two stocks is slow; billing and the ledger wait for each other; the cable of a node is pulled. By hand, `-- --stay`
//! goes on with the first two, for `qmesh top`, `qmesh trace`, `qmesh why` and the console in another terminal.

#![expect(clippy::print_stdout, reason = "an example says what it shows")]

mod cables;
mod guest;
mod nodes;
mod shop;

use std::{collections::BTreeMap, env};

use anyhow::{Context as _, Result, ensure};
use qmesh::{Console, ControlClient, MeshEvent, prelude::*};

use crate::{guest::Guest, nodes::Shop, shop::OrdersClient};

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
    guest.past_events(&mut after).await?;
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
