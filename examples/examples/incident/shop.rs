//! A shop of five services, in which two things go wrong by themselves.

use std::time::Duration;

use qmesh::prelude::*;
use tokio::time::sleep;

/// Why an order is not placed.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
pub(crate) enum OrderError {
    /// No answer of the stock.
    #[error("the stock did not answer: {0}")]
    Stock(Failure),
}

/// Why nothing is charged.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
#[error("not charged: {0}")]
pub(crate) struct Unpaid(String);

/// Takes orders.
#[qmesh::service(name = "shop.Orders")]
pub(crate) trait Orders {
    /// Reserves the item and returns who keeps it.
    #[idempotent]
    async fn place(&self, cx: &Context, item: u64) -> Result<String, OrderError>;
}

/// Knows what is there. Each instance has a shelf of its own.
#[qmesh::service(name = "shop.Stock")]
pub(crate) trait Stock {
    /// Reserves an item; returns where it is.
    #[idempotent]
    async fn reserve(&self, cx: &Context, item: u64) -> String;
}

/// Charges customers, one at a time.
#[qmesh::service(name = "shop.Billing")]
pub(crate) trait Billing {
    /// Charges for an item, which the ledger is to know.
    async fn charge(&mut self, cx: &Context, item: u64) -> Result<(), Unpaid>;
    /// The price of an item.
    async fn price(&mut self, item: u64) -> u64;
}

/// Keeps the books, one entry at a time.
#[qmesh::service(name = "shop.Ledger")]
pub(crate) trait Ledger {
    /// Notes that an item was sold, at the price that billing tells.
    async fn note(&mut self, cx: &Context, item: u64) -> Result<(), Unpaid>;
}

/// A shop's counter.
#[derive(Debug)]
pub(crate) struct Counter;

impl Orders for Counter {
    async fn place(&self, cx: &Context, item: u64) -> Result<String, OrderError> {
        cx.client::<StockClient>().reserve(item).await.map_err(OrderError::Stock)
    }
}

/// A room full of things.
#[derive(Debug)]
pub(crate) struct Shelves {
    /// How long it takes to find one.
    pub(crate) search: Duration,
}

impl Stock for Shelves {
    async fn reserve(&self, cx: &Context, _item: u64) -> String {
        sleep(self.search).await;
        cx.node().to_owned()
    }
}

/// Charges, and waits until the ledger has noted it: until then, it answers nobody.
#[derive(Debug)]
pub(crate) struct Till;

impl Billing for Till {
    async fn charge(&mut self, cx: &Context, item: u64) -> Result<(), Unpaid> {
        cx.client::<LedgerClient>().note(item).await.map_err(|error| Unpaid(error.to_string()))
    }

    async fn price(&mut self, item: u64) -> u64 {
        item * 3
    }
}

/// Asks billing for the price before it notes anything: that is the mistake.
#[derive(Debug)]
pub(crate) struct Book;

impl Ledger for Book {
    async fn note(&mut self, cx: &Context, item: u64) -> Result<(), Unpaid> {
        cx.client::<BillingClient>().price(item).await.map(drop).map_err(|error| Unpaid(error.to_string()))
    }
}
