//! Which calls wait for each other, so that none of them can end.

use std::collections::{BTreeSet, HashMap, HashSet};

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
/// Waits of one node that are reckoned with, and of all together.
const WAITS_OF_NODE: usize = 1024;
const WAITS_MAX: usize = 4096;

/// Finds the handlers that wait for each other in circles, over all nodes.
///
/// A call that waits at a service can go on as long as that can still begin or end something. It cannot where a handler that
/// waits itself keeps all others out (it is `&mut self`, or a `&mut self` one waits for it, or all places of the service are
/// taken by such handlers), or where such a handler serves this very call, as their common trace tells. So whatever can go on
/// is taken away, again and again; what is left waits until its deadline. Only what has waited for a second counts, and of
/// that, 1024 waits of each node and 4096 in all.
#[must_use]
pub fn deadlocks<'a>(nodes: impl IntoIterator<Item = &'a Traffic>) -> Vec<Deadlock> {
    let mesh = Mesh::of(nodes);
    let mut stuck: BTreeSet<usize> = (0..mesh.waits.len()).collect();
    loop {
        let holders = mesh.holders(&stuck);
        let before = stuck.len();
        stuck.retain(|wait| mesh.holder(*wait, &holders).is_some());
        if stuck.len() == before {
            return mesh.circles(&stuck, &holders);
        }
    }
}

/// A service on a node.
type Place<'a> = (&'a str, &'a str);

/// All that waits, and where.
struct Mesh<'a> {
    /// The node of the handler, and what it waits for.
    waits: Vec<(&'a str, &'a Waiting)>,
    /// How many calls a service takes, and whether a `&mut self` one waits there for `&self` ones to end.
    limits: HashMap<Place<'a>, (u64, bool)>,
}

/// Who holds up others, of those who are stuck.
#[derive(Default)]
struct Holders<'a> {
    places: HashMap<Place<'a>, Holder>,
    /// Those who serve the call of that trace and method.
    serving: HashMap<(Place<'a>, &'a str, &'a str), usize>,
}

/// Who holds up all others at a service.
#[derive(Default)]
struct Holder {
    /// The first one that is stuck there, and the first `&mut self` one.
    any: Option<usize>,
    exclusive: Option<usize>,
    handlers: HashSet<u64>,
}

impl<'a> Mesh<'a> {
    fn of(nodes: impl IntoIterator<Item = &'a Traffic>) -> Self {
        let mut mesh = Self { waits: Vec::new(), limits: HashMap::new() };
        for traffic in nodes {
            let node = traffic.node.as_str();
            for load in &traffic.services {
                mesh.limits.insert((&load.service, node), (load.capacity, load.held_up.is_some()));
            }
            let long = traffic.waiting.iter().filter(|waiting| waiting.for_ms >= WAITED_MS_MIN);
            let room = WAITS_MAX.saturating_sub(mesh.waits.len()).min(WAITS_OF_NODE);
            mesh.waits.extend(long.take(room).map(|waiting| (node, waiting)));
        }
        mesh
    }

    fn holders(&self, stuck: &BTreeSet<usize>) -> Holders<'a> {
        let mut holders = Holders::default();
        for wait in stuck.iter().copied() {
            let (node, waiting) = self.waits[wait];
            let place = (waiting.from.as_str(), node);
            let holder = holders.places.entry(place).or_default();
            holder.any.get_or_insert(wait);
            if waiting.exclusive {
                holder.exclusive.get_or_insert(wait);
            }
            holder.handlers.insert(waiting.handler_id);
            if let Some(trace) = &waiting.trace {
                holders.serving.entry((place, trace, &waiting.handler)).or_insert(wait);
            }
        }
        holders
    }

    /// Which wait a call waits for, if it cannot go on before.
    fn holder(&self, wait: usize, holders: &Holders<'a>) -> Option<usize> {
        let call = self.waits[wait].1;
        let place = (call.service.as_str(), call.node.as_str());
        let holder = holders.places.get(&place)?;
        let (capacity, shared_are_waited_for) = self.limits.get(&place).copied().unwrap_or((u64::MAX, false));
        if shared_are_waited_for || holder.handlers.len() as u64 >= capacity {
            return holder.any;
        }
        let serves = |trace: &'a String| holders.serving.get(&(place, trace, &call.method)).copied();
        holder.exclusive.or_else(|| call.trace.as_ref().and_then(serves))
    }

    /// Each circle once, with what else waits for it.
    fn circles(&self, stuck: &BTreeSet<usize>, holders: &Holders<'a>) -> Vec<Deadlock> {
        // Which circle each call comes to: every one that is stuck comes to one.
        let mut comes_to: HashMap<usize, usize> = HashMap::new();
        let mut circles: Vec<(Vec<usize>, u64)> = Vec::new();
        for start in stuck.iter().copied() {
            let (mut way, mut places) = (Vec::new(), HashMap::new());
            let mut at = start;
            let circle = loop {
                if let Some(circle) = comes_to.get(&at) {
                    break *circle;
                }
                if let Some(begins) = places.insert(at, way.len()) {
                    circles.push((way.split_off(begins), 0));
                    let number = circles.len() - 1;
                    comes_to.extend(circles[number].0.iter().map(|wait| (*wait, number)));
                    break number;
                }
                way.push(at);
                at = self.holder(at, holders).unwrap_or(at);
            };
            circles[circle].1 += way.len() as u64;
            comes_to.extend(way.into_iter().map(|wait| (wait, circle)));
        }
        let deadlocks = circles.into_iter().map(|(mut circle, held_up)| {
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
