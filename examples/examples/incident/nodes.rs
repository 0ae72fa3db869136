//! The shop's nodes, and those who work and buy there.

use std::time::Duration;

use anyhow::{Context as _, Result};
use qmesh::{SeedSource, prelude::*};
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    cables::{Cables, Ends},
    shop::{
        BillingClient, BillingServer, Book, Counter, LedgerServer, OrdersClient, OrdersServer, Shelves,
        StockServer, Till,
    },
};

/// How long the slow stock takes.
const SLOW: Duration = Duration::from_millis(250);

/// The nodes, the cable of one of them, and those who work.
pub(crate) struct Shop {
    pub(crate) nodes: Vec<Node>,
    pub(crate) cables: Cables,
    pub(crate) cellar: Ends,
    customers: Vec<JoinHandle<()>>,
}

impl Shop {
    pub(crate) async fn open(identity: &Identity) -> Result<Self> {
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
    pub(crate) fn orders(&mut self) {
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
    pub(crate) fn pays(&mut self) {
        let billing = self.nodes[0].client::<BillingClient>();
        self.customers.push(self.nodes[0].spawn(async move {
            for item in 0.. {
                drop(billing.charge(item).timeout(Duration::from_secs(5)).await);
            }
        }));
    }

    pub(crate) async fn close(self) {
        self.customers.iter().for_each(JoinHandle::abort);
        for node in &self.nodes {
            node.shutdown().await;
        }
    }
}
