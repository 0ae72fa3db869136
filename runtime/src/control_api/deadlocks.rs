//! Which calls wait for each other, so that none of them can end.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::control_api::{Traffic, Waiting};

/// Handlers that wait for each other in a circle: each of them for a call that the next one's service cannot serve before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Deadlock {
    /// The nodes of the handlers, and what they wait for; each is at the service, on the node, that the one before waits for,
    /// and the first one where the last one waits.
    pub circle: Vec<(String, Waiting)>,
    /// Calls of other handlers that wait for these.
    pub held_up: u64,
    /// How long the circle has been closed, in milliseconds.
    pub for_ms: u64,
}

/// What has waited for less may not have waited at the same time: nodes answer one after the other.
const WAITED_MS_MIN: u64 = 1000;

/// Finds the handlers that wait for each other in circles, over all nodes.
///
/// A call that waits at a service can go on as long as that can still begin or end something. It cannot where a handler that
/// waits itself keeps all others out (it is `&mut self`, or a `&mut self` one waits for it, or all places of the service are
/// taken by such handlers), or where such a handler serves this very call, as their common trace tells. So whatever can go on
/// is taken away, again and again; what is left waits until its deadline. Only what has waited for a second counts.
#[must_use]
pub fn deadlocks<'a>(nodes: impl IntoIterator<Item = &'a Traffic>) -> Vec<Deadlock> {
    let mesh = Mesh::of(nodes);
    let mut stuck: BTreeSet<usize> = (0..mesh.waits.len()).collect();
    loop {
        let free: Vec<_> = stuck.iter().copied().filter(|wait| !mesh.is_held(*wait, &stuck)).collect();
        if free.is_empty() {
            break;
        }
        for wait in free {
            stuck.remove(&wait);
        }
    }
    mesh.circles(stuck)
}

/// A service on a node.
type Place<'a> = (&'a str, &'a str);

/// All that waits, and where.
struct Mesh<'a> {
    /// The node of the handler, and what it waits for.
    waits: Vec<(&'a str, &'a Waiting)>,
    /// The waits of the handlers of each service.
    at: HashMap<Place<'a>, Vec<usize>>,
    /// How many calls a service takes, and whether a `&mut self` one waits there for `&self` ones to end.
    limits: HashMap<Place<'a>, (u64, bool)>,
}

impl<'a> Mesh<'a> {
    fn of(nodes: impl IntoIterator<Item = &'a Traffic>) -> Self {
        let mut mesh = Self { waits: Vec::new(), at: HashMap::new(), limits: HashMap::new() };
        for traffic in nodes {
            let node = traffic.node.as_str();
            for load in &traffic.services {
                mesh.limits.insert((&load.service, node), (load.capacity, load.held_up.is_some()));
            }
            for waiting in traffic.waiting.iter().filter(|waiting| waiting.for_ms >= WAITED_MS_MIN) {
                mesh.at.entry((&waiting.from, node)).or_default().push(mesh.waits.len());
                mesh.waits.push((node, waiting));
            }
        }
        mesh
    }

    fn handlers(&self, place: Place<'a>) -> &[usize] {
        self.at.get(&place).map_or(&[], Vec::as_slice)
    }

    /// Whether a call cannot go on as long as those others do not.
    fn is_held(&self, wait: usize, stuck: &BTreeSet<usize>) -> bool {
        self.holders(wait, stuck).next().is_some()
    }

    /// The waits that a call waits for.
    fn holders<'b>(&'b self, wait: usize, stuck: &'b BTreeSet<usize>) -> impl Iterator<Item = usize> + 'b {
        let call = self.waits[wait].1;
        let place = (call.service.as_str(), call.node.as_str());
        let there = self.handlers(place);
        let (capacity, shared_are_waited_for) = self.limits.get(&place).copied().unwrap_or((u64::MAX, false));
        let stuck_there = there.iter().copied().filter(|other| stuck.contains(other));
        let numbers: BTreeSet<_> = stuck_there.clone().map(|other| self.waits[other].1.handler_id).collect();
        let none_enters = shared_are_waited_for || numbers.len() as u64 >= capacity;
        stuck_there.filter(move |other| {
            let holder = self.waits[*other].1;
            let serves = call.trace.is_some() && call.trace == holder.trace && call.method == holder.handler;
            holder.exclusive || none_enters || serves
        })
    }

    /// Each circle once, with what else waits for it.
    fn circles(&self, stuck: BTreeSet<usize>) -> Vec<Deadlock> {
        // Which circle each call comes to: every one that is stuck comes to one.
        let mut circles: BTreeMap<BTreeSet<usize>, (Vec<usize>, u64)> = BTreeMap::new();
        for start in stuck.iter().copied() {
            let mut way = Vec::new();
            let mut at = start;
            while !way.contains(&at) {
                way.push(at);
                let Some(next) = self.holders(at, &stuck).next() else { break };
                at = next;
            }
            let begins = way.iter().position(|wait| *wait == at).unwrap_or(0);
            let circle = way.split_off(begins);
            let held_up = u64::from(!circle.contains(&start));
            let known = circles.entry(circle.iter().copied().collect()).or_insert((circle, 0));
            known.1 += held_up;
        }
        let deadlocks = circles.into_values().map(|(mut circle, held_up)| {
            let first = circle.iter().enumerate().min_by_key(|(_, wait)| **wait).map_or(0, |(at, _)| at);
            circle.rotate_left(first);
            let for_ms = circle.iter().map(|wait| self.waits[*wait].1.for_ms).min().unwrap_or(0);
            let circle =
                circle.into_iter().map(|wait| (self.waits[wait].0.to_owned(), self.waits[wait].1.clone()));
            Deadlock { circle: circle.collect(), held_up, for_ms }
        });
        deadlocks.collect()
    }
}

#[cfg(test)]
mod tests;
