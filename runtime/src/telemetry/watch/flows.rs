//! Who calls whom, and how fast: a bounded table of flows for either side.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::{Mutex, RwLock};

use crate::{
    control_api::{BUCKETS, Flow, Latency},
    telemetry::{names::Status, watch::micros},
};

/// Flows of either side that are kept apart. What comes beyond is one further flow, the rest.
const FLOWS_MAX: usize = 1024;

/// The flows of a node.
#[derive(Debug, Default)]
pub(super) struct Flows {
    sides: [RwLock<Table>; 2],
}

/// What a node does in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Calls = 0,
    Serves = 1,
}

#[derive(Debug, Default)]
struct Table {
    flows: HashMap<Names, Arc<Counts>>,
    rest: Option<Arc<Counts>>,
}

/// What tells flows apart, as in [`Flow`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Names {
    pub(super) from: String,
    pub(super) node: String,
    pub(super) service: String,
    pub(super) method: String,
}

/// What is counted of a flow.
pub(super) struct Counts {
    calls: AtomicU64,
    failed: Mutex<BTreeMap<&'static str, u64>>,
    in_flight: AtomicI64,
    latency: [AtomicU64; BUCKETS as usize],
}

/// A call that is under way in a flow. Dropped, it is under way no more.
#[derive(Debug)]
pub(crate) struct Served {
    counts: Arc<Counts>,
    weight: u64,
}

impl Flows {
    /// A call of a flow begins, which stands for so many.
    pub(super) fn begin(&self, side: Side, names: Names, weight: u64) -> Served {
        let counts = self.counts(side, names);
        counts.in_flight.fetch_add(signed(weight), Relaxed);
        Served { counts, weight }
    }

    fn counts(&self, side: Side, names: Names) -> Arc<Counts> {
        let table = &self.sides[side as usize];
        if let Some(known) = table.read().flows.get(&names) {
            return Arc::clone(known);
        }
        let mut table = table.write();
        if table.flows.len() >= FLOWS_MAX && !table.flows.contains_key(&names) {
            return Arc::clone(table.rest.get_or_insert_default());
        }
        Arc::clone(table.flows.entry(names).or_default())
    }

    pub(super) fn read(&self, side: Side) -> Vec<Flow> {
        let table = self.sides[side as usize].read();
        let named = table.flows.iter().map(|(names, counts)| {
            let Names { from, node, service, method } = names.clone();
            Flow { from, node, service, method, ..counts.read() }
        });
        let mut flows: Vec<_> = named.chain(table.rest.iter().map(|rest| rest.read())).collect();
        flows.sort_unstable_by(|one, other| {
            (&one.service, &one.method, &one.from, &one.node).cmp(&(
                &other.service,
                &other.method,
                &other.from,
                &other.node,
            ))
        });
        flows
    }

    /// Forgets all of them. Those of calls under way are let go with these.
    pub(super) fn clear(&self) {
        for side in &self.sides {
            *side.write() = Table::default();
        }
    }
}

impl Counts {
    fn read(&self) -> Flow {
        let failed =
            self.failed.lock().iter().map(|(status, count)| ((*status).to_owned(), *count)).collect();
        let latency = (0..).zip(&self.latency).map(|(bucket, count)| (bucket, count.load(Relaxed)));
        Flow {
            calls: self.calls.load(Relaxed),
            failed,
            in_flight: u64::try_from(self.in_flight.load(Relaxed)).unwrap_or(0),
            latency: latency.filter(|(_, count)| *count > 0).collect(),
            ..Flow::default()
        }
    }
}

impl Served {
    /// It has ended after so long.
    pub(crate) fn end(self, status: Status, time: Duration) {
        let Self { counts, weight } = &self;
        if status != Status::Ok {
            *counts.failed.lock().entry(status.code()).or_default() += weight;
        }
        counts.calls.fetch_add(*weight, Relaxed);
        counts.latency[usize::from(Latency::bucket(micros(time)))].fetch_add(*weight, Relaxed);
    }
}

fn signed(weight: u64) -> i64 {
    i64::try_from(weight).unwrap_or(0)
}

// === impl Counts, Served ===

impl Default for Counts {
    fn default() -> Self {
        Self {
            calls: AtomicU64::new(0),
            failed: Mutex::default(),
            in_flight: AtomicI64::new(0),
            latency: [const { AtomicU64::new(0) }; BUCKETS as usize],
        }
    }
}

impl fmt::Debug for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counts").field("in_flight", &self.in_flight).finish_non_exhaustive()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.counts.in_flight.fetch_sub(signed(self.weight), Relaxed);
    }
}
