//! One seed of the swarm: a mesh, a load and faults, all drawn from one number, and what must hold whatever they are.
//!
//! After TigerBeetle's VOPR and FoundationDB's simulation: each seed uses some of what there is and not the rest, so that
//! together they reach what one test of everything would not.

mod callers;
mod pinned;
mod scenario;
mod service;

use std::{sync::Arc, time::Duration};

use futures_util::future::{join, join_all};
use qmesh::{
    Config,
    testing::{CallKind, Log, Mesh, OneWayCounts, Sums, simulate},
};
use serde::Serialize;
use tokio::time::timeout;

use self::{scenario::Scenario, service::WorkClient};

/// How a seed went.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// The number that everything was drawn from.
    pub seed: u64,
    /// Faults that were injected.
    pub faults: u64,
    /// Calls that were started.
    pub calls: u64,
    /// One-way sends that were accepted.
    pub one_way: u64,
    /// Calls and sends whose end nobody knows.
    pub unaccounted: u64,
    /// How long the nodes took to agree when all was mended.
    pub agreed_after: f64,
    /// How long it took, in virtual time.
    pub virtual_seconds: f64,
    /// A number over all events and their times.
    pub fingerprint: u64,
    /// Which rules were broken.
    pub violations: Vec<String>,
}

impl Run {
    /// A run that ended in a panic.
    #[must_use]
    pub fn panicked(seed: u64, why: String) -> Self {
        Self {
            seed,
            faults: 0,
            calls: 0,
            one_way: 0,
            unaccounted: 0,
            agreed_after: 0.0,
            virtual_seconds: 0.0,
            fingerprint: 0,
            violations: vec![why],
        }
    }
}

/// What waits in front of slow services has had its turn by then.
const SETTLED_MAX: Duration = Duration::from_secs(180);
/// A run that is not over by then hangs.
const VIRTUAL_MAX: Duration = Duration::from_secs(60 * 60);

/// Runs a seed, over chitchat if so wished, and returns its log too.
///
/// # Panics
/// If the nodes of its mesh do not find each other, at the start or after all faults were mended.
#[must_use]
pub fn run(seed: u64, chitchat: bool) -> (Run, Log) {
    let (run, log) = simulate(async move {
        let ran = timeout(VIRTUAL_MAX, run_scenario(Scenario::draw(seed), chitchat)).await;
        ran.unwrap_or_else(|_| panic!("it hangs: an hour has passed"))
    });
    (Run { fingerprint: log.fingerprint(), ..run }, log)
}

async fn run_scenario(scenario: Scenario, chitchat: bool) -> Run {
    let (serving, panics) = (scenario.serving.clone(), scenario.panics);
    // The handlers write into the books of the mesh that is yet to be built.
    let ledger = qmesh::testing::Ledger::default();
    let books = ledger.clone();
    let mut config = Config::local();
    config.limits.one_way_window = scenario.one_way_window;
    let builder = Mesh::builder().nodes(scenario.nodes).seed(scenario.seed);
    let builder = builder.link(scenario.link).config(config);
    let builder = builder.ledger(&ledger).furnish(move |site, node| match serving.get(site.number()) {
        Some(Some(queue)) => node.serve(service::server(site, &books, *queue, panics)),
        _ => node,
    });
    let builder = if chitchat { builder.chitchat() } else { builder };
    let mesh = Arc::new(builder.build().await);
    let callers = (0..scenario.callers).map(|number| callers::run(&mesh, &scenario, number));
    join(mesh.play(&scenario.plan), join_all(callers)).await;
    let agreed_after = mesh.mend().await.as_secs_f64();
    // What was accepted is still to be handled.
    let mut broken = mesh.settle(SETTLED_MAX).await;
    for number in 0..mesh.len() {
        broken.extend(probe(&mesh, number).await);
    }
    let virtual_seconds = mesh.elapsed().as_secs_f64();
    let mesh = Arc::into_inner(mesh).expect("nobody else has it any more");
    let report = mesh.finish().await;
    broken.extend(report.violations);
    if report.lives_held > 0 {
        broken.push(format!("{} lives of nodes are still held", report.lives_held));
    }
    let sums = ledger.sums();
    broken.extend(acknowledged_wrongly(&sums, &report.one_way));
    if scenario.plan.steps.is_empty() && scenario.panics == 0.0 {
        broken.extend(lost_without_a_fault(&sums, &report.one_way));
    }
    Run {
        seed: scenario.seed,
        faults: scenario.plan.steps.len() as u64,
        calls: sums.calls,
        one_way: sums.one_way,
        unaccounted: sums.unaccounted,
        agreed_after,
        virtual_seconds,
        fingerprint: 0,
        violations: broken,
    }
}

/// A mended mesh answers: from every node, whatever was done to it before.
async fn probe(mesh: &Mesh, number: usize) -> Option<String> {
    let (client, limit) = (mesh.client::<WorkClient>(number), Duration::from_secs(10));
    let answer =
        mesh.ledger().call(CallKind::Idempotent, limit, |id| client.read(id, 0).timeout(limit)).await;
    answer.err().map(|failure| format!("node {number} gets no answer from a mended mesh: {failure}"))
}

/// Nobody acknowledges what was not accepted, or as handled what no handler began.
fn acknowledged_wrongly(sums: &Sums, told: &OneWayCounts) -> Option<String> {
    let wrong = told.handled > sums.one_way_handled || told.accepted > sums.one_way;
    wrong.then(|| format!("one-way sends: {told:?} is told, and {sums:?} is true"))
}

/// Where nothing goes wrong, every send that was accepted is handled.
fn lost_without_a_fault(sums: &Sums, told: &OneWayCounts) -> Option<String> {
    let lost = told.accepted > told.handled || sums.one_way > sums.one_way_handled;
    lost.then(|| format!("one-way sends were lost without a fault: {told:?} is told, and {sums:?} is true"))
}
