//! One-way messages, for a time or up to a number, counted where they arrive.

use std::{
    sync::{Arc, atomic::AtomicU64, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::Result;
use tokio::{task::JoinSet, time::Instant};

use super::{Pair, Work, megabytes};
use crate::{
    load::{End, Flow, Tally},
    sample::{Delivery, Figures, Sample},
    scenarios::{Scenario, Shape},
    system::Client,
    usage::Process,
};

pub(super) async fn measure(client: impl Client, pair: &mut Pair, length: Duration) -> Result<Sample> {
    let scenario = pair.scenario;
    let before = Resident::of(pair)?;
    let (cpu_before, begin) = (pair.cpu()?, Instant::now());
    let end = match scenario.shape {
        Shape::Flood(count) => End::After(count),
        _ => End::At(begin + length),
    };
    let sent = send(&client, scenario, end).await?;
    let (tally, last) = pair.received(sent).await?;
    let (elapsed, cpu) = (last - begin, pair.cpu()? - cpu_before);
    let growth = Resident::peak_of(pair)?.above(&before);
    let figures = pair.figures(&Work { operations: tally.received, elapsed, cpu }, None)?;
    let figures = match scenario.shape {
        Shape::Flood(_) => Figures {
            sender_growth_mb: Some(megabytes(growth.sender)),
            receiver_growth_mb: Some(megabytes(growth.receiver)),
            ..figures
        },
        _ => figures,
    };
    let Tally { received, order_breaks } = tally;
    Ok(Sample { figures, delivery: Some(Delivery { sent, received, order_breaks }) })
}

/// Lets each of the scenario's senders send its own flow to its own service; tells how many messages that were.
async fn send(client: &impl Client, scenario: &Scenario, end: End) -> Result<u64> {
    let mut senders = JoinSet::new();
    let mut made: Vec<Arc<AtomicU64>> = Vec::new();
    for service in 0..scenario.callers {
        let (flow, count) = Flow::new(scenario.payload_bytes, end)?;
        made.push(count);
        let mut client = client.clone();
        senders.spawn(async move { client.send_all(service, flow).await });
    }
    while let Some(ended) = senders.join_next().await {
        ended??;
    }
    Ok(made.iter().map(|count| count.load(Relaxed)).sum())
}

/// Memory of either side.
struct Resident {
    sender: u64,
    receiver: u64,
}

// === impl Resident ===

impl Resident {
    fn of(pair: &Pair) -> Result<Self> {
        let receiver = pair.servers().map(Process::resident_bytes).sum::<Result<_>>()?;
        Ok(Self { sender: pair.driver.resident_bytes()?, receiver })
    }

    fn peak_of(pair: &Pair) -> Result<Self> {
        let receiver = pair.servers().map(Process::peak_resident_bytes).sum::<Result<_>>()?;
        Ok(Self { sender: pair.driver.peak_resident_bytes()?, receiver })
    }

    const fn above(&self, before: &Self) -> Self {
        Self {
            sender: self.sender.saturating_sub(before.sender),
            receiver: self.receiver.saturating_sub(before.receiver),
        }
    }
}
