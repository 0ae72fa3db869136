//! Items that a server sends as fast as they go.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use tokio::time::Instant;

use super::{Pair, Work};
use crate::{
    load::{Counter, Order},
    sample::{Delivery, Sample},
    system::Client,
};

pub(super) async fn measure(mut client: impl Client, pair: &Pair, length: Duration) -> Result<Sample> {
    let order = Order::new(pair.scenario.payload_bytes, length)?;
    let mut counter = Counter::new(Arc::default(), false);
    let (cpu_before, begin) = (pair.cpu()?, Instant::now());
    client.receive_all(order, &mut counter).await?;
    let (elapsed, cpu) = (begin.elapsed(), pair.cpu()? - cpu_before);
    let tally = counter.tally();
    let work = Work { operations: tally.received, elapsed, cpu };
    let delivery =
        Delivery { sent: counter.sent(), received: tally.received, order_breaks: tally.order_breaks };
    Ok(Sample { figures: pair.figures(&work, None)?, delivery: Some(delivery) })
}
