//! What can be done to a mesh, by hand or by a plan that a seed draws.

use std::time::Duration;

use futures_util::future::join_all;
use qmesh_transport::Link;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::time::sleep;

use super::{Mesh, checks::AGREEMENT_MAX};

/// Something that goes wrong, or is mended. Nodes go by their numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// A node vanishes without a word.
    Crash(usize),
    /// A node ends in order.
    Stop(usize),
    /// A node that does not run starts; one that runs crashes first.
    Restart(usize),
    /// Nothing passes between two nodes.
    Cut(usize, usize),
    /// Nothing passes between a node and all others.
    Isolate(usize),
    /// A node that is cut off hears all others again.
    Rejoin(usize),
    /// Nothing passes from the first node to the second.
    CutOneWay(usize, usize),
    /// Two nodes hear each other again.
    Heal(usize, usize),
    /// Both directions between two nodes become like this.
    Link(usize, usize, Link),
    /// Handlers of a node that [ask](super::Site::be_slow) take so much longer.
    Slow(usize, Duration),
    /// What a node believes the date to be jumps by so many milliseconds. Its next life is numbered by it.
    ClockJump(usize, i64),
}

/// Faults, each with when it happens. [`Mesh::play`] does them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaultPlan {
    /// In order of time, which counts from the start of the plan.
    pub steps: Vec<(Duration, Fault)>,
}

impl FaultPlan {
    /// Draws a plan for so many nodes: at most `faults` of them, within `duration`.
    ///
    /// Each seed uses some kinds of faults and not others: a mesh under all of them at once rarely gets far enough to
    /// show what one alone can do.
    #[must_use]
    pub fn draw(seed: u64, nodes: usize, faults: usize, duration: Duration) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ 0xFA17);
        let mut kinds: Vec<u32> = (0..KINDS).filter(|_| rng.random_bool(0.5)).collect();
        if kinds.is_empty() {
            kinds.push(rng.random_range(0..KINDS));
        }
        let mut steps = Vec::new();
        while nodes > 1 && steps.len() < faults {
            let at = duration.mul_f64(rng.random());
            // From a moment to many seconds, each order of magnitude as often.
            let for_so_long = Duration::from_micros(1 << rng.random_range(4..24_u32));
            let (does, mends) = pair(&mut rng, nodes, kinds[steps.len() % kinds.len()]);
            steps.push((at, does));
            steps.extend(mends.map(|mends| ((at + for_so_long).min(duration), mends)));
        }
        steps.truncate(faults);
        steps.sort_by_key(|(at, _)| *at);
        Self { steps }
    }
}

const KINDS: u32 = 8;

/// A fault of that kind, and what mends it.
fn pair(rng: &mut StdRng, nodes: usize, kind: u32) -> (Fault, Option<Fault>) {
    let one = rng.random_range(0..nodes);
    let other = (one + rng.random_range(1..nodes)) % nodes;
    let millis = |rng: &mut StdRng, most| Duration::from_millis(rng.random_range(0..most));
    match kind {
        0 => (Fault::Crash(one), Some(Fault::Restart(one))),
        1 => (Fault::Stop(one), Some(Fault::Restart(one))),
        2 => (Fault::Cut(one, other), Some(Fault::Heal(one, other))),
        3 => (Fault::CutOneWay(one, other), Some(Fault::Heal(one, other))),
        4 => {
            let link = Link {
                delay: millis(rng, 200),
                jitter: millis(rng, 200),
                loss: f64::from(rng.random_range(0..30_u32)) / 100.0,
            };
            (Fault::Link(one, other, link), Some(Fault::Link(one, other, Link::default())))
        }
        5 => (Fault::Isolate(one), Some(Fault::Rejoin(one))),
        6 => (Fault::Slow(one, millis(rng, 500)), Some(Fault::Slow(one, Duration::ZERO))),
        _ => (Fault::ClockJump(one, rng.random_range(-3_600_000..3_600_000)), Some(Fault::Restart(one))),
    }
}

impl Mesh {
    /// Does what the fault says, now.
    ///
    /// # Panics
    /// If there is no node of that number.
    pub async fn inject(&self, fault: Fault) {
        self.log.note(format!("fault {fault:?}"));
        match fault {
            Fault::Crash(number) => self.crash(number),
            Fault::Stop(number) => self.stop(number).await,
            Fault::Restart(number) => self.restart(number).await,
            Fault::Cut(one, other) => self.cut(one, other),
            Fault::CutOneWay(from, to) => self.cut_one_way(from, to),
            Fault::Isolate(number) => self.each_other(number, |one, other| self.network.cut(one, other)),
            Fault::Rejoin(number) => self.each_other(number, |one, other| self.network.heal(one, other)),
            Fault::Heal(one, other) => self.network.heal(self.site(one).name(), self.site(other).name()),
            Fault::Link(one, other, link) => {
                self.network.set_link(self.site(one).name(), self.site(other).name(), link);
            }
            Fault::Slow(number, by) => self.site(number).slow_down(by),
            Fault::ClockJump(number, by_ms) => self.turn_clock(number, by_ms),
        }
    }

    fn each_other(&self, number: usize, does: impl Fn(&str, &str)) {
        let one = self.site(number);
        for other in (0..self.len()).filter(|other| *other != number) {
            does(one.name(), self.site(other).name());
        }
    }

    /// Nothing passes between two nodes.
    ///
    /// # Panics
    /// If there is no node of that number.
    pub fn cut(&self, one: usize, other: usize) {
        self.network.cut(self.site(one).name(), self.site(other).name());
    }

    /// Nothing passes from one node to the other.
    ///
    /// # Panics
    /// If there is no node of that number.
    pub fn cut_one_way(&self, from: usize, to: usize) {
        self.network.cut_one_way(self.site(from).name(), self.site(to).name());
    }

    /// Heals every cut.
    pub fn heal(&self) {
        self.network.heal_all();
    }

    /// Does all of a plan, each step in its time: a node that takes long to stop holds up none of the others.
    ///
    /// # Panics
    /// As [`inject`](Self::inject).
    pub async fn play(&self, plan: &FaultPlan) {
        let step = |(at, fault): &(Duration, Fault)| {
            let (at, fault) = (*at, *fault);
            async move {
                sleep(at).await;
                self.inject(fault).await;
            }
        };
        join_all(plan.steps.iter().map(step)).await;
    }

    /// Mends everything: cuts, links, slowness, nodes that do not run. Waits until the nodes agree; returns how long
    /// that took.
    ///
    /// # Panics
    /// If they do not within 20 seconds.
    pub async fn mend(&self) -> Duration {
        self.log.note("mend");
        self.heal();
        for number in 0..self.len() {
            for other in 0..number {
                let (one, other) = (self.site(number), self.site(other));
                self.network.set_link(one.name(), other.name(), Link::default());
            }
            self.site(number).slow_down(Duration::ZERO);
            if self.running(number).is_none() {
                self.restart(number).await;
            }
        }
        self.agree(AGREEMENT_MAX).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_one_plan_and_others_draw_others() {
        let draw = |seed| FaultPlan::draw(seed, 5, 20, Duration::from_secs(30));
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        for (at, _) in (0..100).flat_map(|seed| draw(seed).steps) {
            assert!(at <= Duration::from_secs(30));
        }
        let has = |holds: fn(&Fault) -> bool| {
            (0..100).any(|seed| draw(seed).steps.iter().any(|(_, fault)| holds(fault)))
        };
        assert!(
            has(|fault| matches!(fault, Fault::Crash(_))) && has(|fault| matches!(fault, Fault::Stop(_)))
        );
        assert!(
            has(|fault| matches!(fault, Fault::CutOneWay(..)))
                && has(|fault| matches!(fault, Fault::Cut(..)))
        );
        assert!(
            has(|fault| matches!(fault, Fault::Link(..))) && has(|fault| matches!(fault, Fault::Slow(..)))
        );
        assert!(has(|fault| matches!(fault, Fault::ClockJump(..))));
    }
}
