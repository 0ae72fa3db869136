//! What a seed draws: how many nodes, who serves, who calls what, and what goes wrong.

use std::time::Duration;

use qmesh::testing::{FaultPlan, Link};
use rand::{Rng, SeedableRng, rngs::StdRng};

/// Kinds of calls, of which each seed uses some.
pub(super) const KINDS: usize = 8;

/// A mesh, a load and faults.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) seed: u64,
    pub(super) nodes: usize,
    /// For each node, the places in the queue of its service, if it serves.
    pub(super) serving: Vec<Option<usize>>,
    /// The share of calls whose handler panics.
    pub(super) panics: f64,
    pub(super) link: Link,
    /// One-way sends that may be unacknowledged on a channel: what is behind a slow service when all is mended.
    pub(super) one_way_window: u64,
    pub(super) callers: usize,
    /// How often each kind of call is made.
    pub(super) weights: [u32; KINDS],
    /// How long a caller rests at most.
    pub(super) pace: Duration,
    /// How long a handler takes at most, in milliseconds.
    pub(super) work_ms: u64,
    /// The share of calls that are given up halfway.
    pub(super) given_up: f64,
    pub(super) duration: Duration,
    pub(super) plan: FaultPlan,
}

impl Scenario {
    pub(super) fn draw(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let nodes = rng.random_range(2..=7);
        let mut serving: Vec<_> = (0..nodes).map(|_| rng.random_bool(0.6).then(|| queue(&mut rng))).collect();
        let always = rng.random_range(0..nodes);
        serving[always] = Some(queue(&mut rng));
        let millis = |rng: &mut StdRng, most: u64| Duration::from_millis(rng.random_range(0..most));
        let link = match rng.random_range(0..3) {
            0 => Link::default(),
            1 => Link::with_delay(millis(&mut rng, 20)),
            _ => Link { delay: millis(&mut rng, 5), jitter: millis(&mut rng, 20), loss: 0.02 },
        };
        let mut weights =
            [(); KINDS].map(|()| if rng.random_bool(0.6) { rng.random_range(1..10) } else { 0 });
        weights[rng.random_range(0..KINDS)] += 1;
        let duration = Duration::from_secs(rng.random_range(5..30));
        let faults = rng.random_range(0..24);
        Self {
            seed,
            nodes,
            serving,
            panics: if rng.random_bool(0.2) { 0.005 } else { 0.0 },
            link,
            one_way_window: [1, 4, 16, 64][rng.random_range(0..4)],
            callers: rng.random_range(1..=12),
            weights,
            pace: millis(&mut rng, 200) + Duration::from_millis(1),
            work_ms: rng.random_range(1..100),
            given_up: if rng.random_bool(0.3) { 0.1 } else { 0.0 },
            duration,
            plan: FaultPlan::draw(seed, nodes, faults, duration),
        }
    }
}

/// Short queues show what is refused, long ones what waits.
fn queue(rng: &mut StdRng) -> usize {
    [1, 2, 8, 64, 1024][rng.random_range(0..5)]
}
