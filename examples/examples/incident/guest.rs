//! A guest, as the command line is one, who looks until something shows.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use qmesh::{ControlClient, Deadlock, Happened, MeshEvent, SpanInfo, TraceFilter, TraceInfo, deadlocks};
use tokio::time::{Instant, sleep};

/// How long it may take until something shows.
const PATIENCE: Duration = Duration::from_secs(20);

/// A guest at the front, who sees the whole mesh from there.
pub(crate) struct Guest(pub(crate) ControlClient);

impl Guest {
    /// Looks until something shows.
    pub(crate) async fn until<T>(
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
    pub(crate) async fn slow_order(&mut self) -> Result<(TraceInfo, Vec<SpanInfo>)> {
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

    pub(crate) async fn deadlock(&mut self) -> Result<Deadlock> {
        self.until("two services wait for each other", async |guest| {
            let traffic = guest.traffic_everywhere().await?;
            let traffic: Vec<_> = traffic.into_values().filter_map(Result::ok).collect();
            Ok(deadlocks(&traffic).pop())
        })
        .await
    }

    /// The events of the front that come after those.
    async fn events(&mut self, after: &mut BTreeMap<String, u64>) -> Result<Vec<Happened>> {
        let mut told = self.0.events_everywhere(after, 1000).await?;
        let events = told.remove("front").context("the front answers")??.events;
        if let Some(last) = events.last() {
            after.insert("front".to_owned(), last.seq);
        }
        Ok(events)
    }

    /// Hears of all that has happened.
    pub(crate) async fn past_events(&mut self, after: &mut BTreeMap<String, u64>) -> Result<()> {
        while !self.events(after).await?.is_empty() {}
        Ok(())
    }

    /// The event of the front that is meant, if it comes after those.
    pub(crate) async fn event(
        &mut self,
        what: &str,
        after: &mut BTreeMap<String, u64>,
        is_meant: impl Fn(&MeshEvent) -> bool,
    ) -> Result<Happened> {
        let began = Instant::now();
        loop {
            if let Some(happened) = self.events(after).await?.into_iter().find(|told| is_meant(&told.event)) {
                return Ok(happened);
            }
            ensure!(began.elapsed() < PATIENCE, "nobody says that {what}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}
