//! What must hold in a mesh whatever is done to it: looked at throughout, and at its end.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use qmesh_discovery::{NodeState, Snapshot};
use tokio::time::{Instant, sleep, timeout};

use super::{Ledger, Mesh, mesh::Seat};
use crate::{counters::OneWayCounts, node::Node, task};

/// How long the nodes may take to agree, at the start and when all is mended. The swarm saw 5.3 s at most.
pub(super) const AGREEMENT_MAX: Duration = Duration::from_secs(20);
/// How often the queues are looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How long calls, channels and tasks may go on when nobody wants anything any more.
const SETTLED_MAX: Duration = Duration::from_secs(30);

/// How a mesh ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Which rules were broken: none, where all is well.
    pub violations: Vec<String>,
    /// What became of the one-way sends that went from one surviving node to another, by the receivers' word.
    pub one_way: OneWayCounts,
    /// Lives of nodes whose memory is still held: by clients and handles of yours, or by mistake where you have none.
    pub lives_held: usize,
}

/// Looks at the queues for as long as it is held.
pub(super) fn watch(mesh: &Mesh) -> task::Owned {
    let (seats, ledger) = (Arc::clone(&mesh.seats), mesh.ledger.clone());
    task::spawn(async move {
        loop {
            let nodes: Vec<_> = seats.lock().iter().filter_map(|seat: &Seat| seat.node.clone()).collect();
            nodes.iter().for_each(|node| look(node, &ledger));
            drop(nodes);
            sleep(LOOK).await;
        }
    })
}

/// No service holds more calls than its queue has places.
fn look(node: &Node, ledger: &Ledger) {
    for endpoint in node.inner().endpoints() {
        let (depth, bound) = (endpoint.depth(Instant::now()).0, endpoint.capacity());
        if depth > bound {
            let (node, service) = (node.name(), endpoint.name());
            ledger.violate(format!("{service} on {node} holds {depth} calls, and has {bound} places"));
        }
    }
}

impl Mesh {
    /// Waits until every node that runs sees exactly those that run, ready, in their present lives; returns how long
    /// that took.
    ///
    /// # Panics
    /// If they do not agree within `limit`; the message says who sees what.
    pub async fn agree(&self, limit: Duration) -> Duration {
        let start = Instant::now();
        if timeout(limit, self.agreement()).await.is_err() {
            panic!("the nodes do not agree within {limit:?}: {}", self.views());
        }
        start.elapsed()
    }

    async fn agreement(&self) {
        loop {
            let nodes = self.nodes();
            let wanted: BTreeMap<_, _> = nodes.iter().flat_map(own_view).collect();
            if nodes.iter().all(|node| view(&node.directory().snapshot()) == wanted) {
                return;
            }
            drop(nodes);
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn views(&self) -> String {
        let view = |node: &Node| format!("\n{} sees {:?}", node.name(), view(&node.directory().snapshot()));
        self.nodes().iter().map(view).collect()
    }

    /// Ends the nodes that run, in order and all at once, and says which rules were broken: the mesh's and those of its
    /// [`ledger`](Mesh::ledger). Whoever calls has stopped.
    pub async fn finish(mut self) -> Report {
        let mut violations = self.settle(SETTLED_MAX).await;
        self.watcher = None;
        let nodes = self.nodes();
        futures_util::future::join_all(nodes.iter().map(Node::shutdown)).await;
        let mut one_way = OneWayCounts::default();
        for node in &nodes {
            one_way += node.counts().one_way;
        }
        drop(nodes);
        let lives = {
            let mut seats = self.seats.lock();
            seats.iter_mut().for_each(|seat| seat.node = None);
            seats.iter_mut().flat_map(|seat| std::mem::take(&mut seat.lives)).collect::<Vec<_>>()
        };
        violations.extend(self.ledger.violations());
        if one_way.accepted != one_way.handled + one_way.refused + one_way.unknown + one_way.lost {
            violations.push(format!("one-way sends do not add up: {one_way:?}"));
        }
        let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        if !within(SETTLED_MAX, || alive() <= self.tasks_before).await {
            violations.push(format!("{} tasks run on, and {} ran before", alive(), self.tasks_before));
        }
        let lives_held = lives.iter().filter(|life| life.strong_count() > 0).count();
        self.log.note(format!("end {one_way:?} {:?}", self.ledger.sums()));
        Report { violations, one_way, lives_held }
    }

    /// As [`finish`](Self::finish).
    ///
    /// # Panics
    /// If a rule was broken; the message lists all of them.
    pub async fn shutdown(self) {
        let report = self.finish().await;
        assert!(report.violations.is_empty(), "broken rules:\n  {}", report.violations.join("\n  "));
    }

    /// Waits until nothing is under way: every place in a queue is free again, every call answered, every send
    /// acknowledged. Returns what is still under way after `limit`.
    pub async fn settle(&self, limit: Duration) -> Vec<String> {
        let busy = || self.nodes().iter().flat_map(|node| node.inner().busy()).collect::<Vec<_>>();
        let _late = within(limit, || busy().is_empty()).await;
        busy()
    }
}

async fn within(limit: Duration, holds: impl Fn() -> bool) -> bool {
    let end = Instant::now() + limit;
    while !holds() {
        if Instant::now() >= end {
            return false;
        }
        sleep(Duration::from_millis(50)).await;
    }
    true
}

/// Names, lives and services of those that are ready.
type View = BTreeMap<String, (u64, Vec<String>)>;

fn view(snapshot: &Snapshot) -> View {
    let ready = snapshot.nodes().filter(|record| record.state == NodeState::Ready);
    ready
        .map(|record| {
            let services = record.services.iter().map(|service| service.name.clone()).collect();
            (record.name.clone(), (record.incarnation, services))
        })
        .collect()
}

/// What a node says of itself.
fn own_view(node: &Node) -> View {
    let mut own = view(&node.directory().snapshot());
    own.retain(|name, _| name == node.name());
    own
}
