//! What a node knows of all nodes: their newest records, and when each of them spoke last. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
    time::Duration,
};

use qmesh_transport::NodeId;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::wire::{Age, BUCKETS_MAX, Bucket, Entry, Unit};
use crate::{NodeRecord, NodeState, record::Sealed};

/// How many nodes a bucket has, about. A bucket whose nodes two peers do not agree on tells neither of them anything.
const BUCKET_NODES: usize = 64;

/// What of an id decides its place on the second ring.
const RING_SEED: u64 = 2;

/// Every node that is known, this one included while it gossips.
pub(super) struct Members {
    own: NodeId,
    limits: Limits,
    known: BTreeMap<NodeId, Member>,
    /// How many of them are alive.
    living: usize,
    /// Nodes whose last session with us died.
    suspects: BTreeSet<NodeId>,
    /// Whether somebody spoke whose silence was long: others may be about to take it for dead.
    is_urgent: bool,
}

/// How long a node may be silent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Until it is dead.
    pub(super) silence: Duration,
    /// Until it is dead if the session with it is, too.
    pub(super) silence_of_suspect: Duration,
    /// Until the next sign of its life is urgent.
    pub(super) urgent: Duration,
    /// Until it is forgotten.
    pub(super) memory: Duration,
}

/// What is known of a node.
pub(super) struct Member {
    pub(super) record: Arc<NodeRecord>,
    pub(super) text: Arc<str>,
    /// The latest moment at which it is known to have spoken.
    spoke_at: Option<Instant>,
    first_seen: Instant,
    /// Whether it was alive when that was last looked at.
    is_alive: bool,
    /// When its record was last handed on.
    pub(super) relayed_at: Option<Instant>,
    ring: u64,
    presence: u64,
    state: u64,
}

/// What a look at the members showed.
pub(super) struct Look {
    /// Everybody who is alive, if that has changed.
    pub(super) alive: Option<BTreeSet<NodeId>>,
    pub(super) forgotten: Vec<NodeId>,
    /// When the next of them dies, unless it is heard of.
    pub(super) next_death: Option<Instant>,
}

impl Members {
    pub(super) const fn new(own: NodeId, limits: Limits) -> Self {
        Self { own, limits, known: BTreeMap::new(), living: 0, suspects: BTreeSet::new(), is_urgent: false }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn get(&self, id: NodeId) -> Option<&Member> {
        self.known.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: NodeId) -> Option<&mut Member> {
        self.known.get_mut(&id)
    }

    pub(super) fn is_alive(&self, id: NodeId) -> bool {
        self.known.get(&id).is_some_and(|member| member.is_alive)
    }

    /// Keeps a verified record. A node that was known keeps its signs of life: it is the same one.
    pub(super) fn keep(&mut self, sealed: Sealed, now: Instant) {
        let Sealed { record, text } = sealed;
        let run = [&record.id.as_bytes()[..], &record.generation.to_be_bytes()].concat();
        let presence = xxh3_64_with_seed(&run, 0);
        let state = xxh3_64_with_seed(&record.version.to_be_bytes(), presence);
        let ring = xxh3_64_with_seed(record.id.as_bytes(), RING_SEED);
        let former = self.known.get(&record.id);
        let member = Member {
            spoke_at: former.and_then(|former| former.spoke_at),
            first_seen: former.map_or(now, |former| former.first_seen),
            is_alive: former.is_some_and(|former| former.is_alive),
            relayed_at: former.and_then(|former| former.relayed_at),
            text,
            ring,
            presence,
            state,
            record,
        };
        self.known.insert(member.record.id, member);
    }

    /// Stops being one of them.
    pub(super) fn withdraw(&mut self) {
        if self.known.remove(&self.own).is_some_and(|own| own.is_alive) {
            self.living -= 1;
        }
    }

    /// A sign of life, so long ago. What was heard later stays.
    pub(super) fn hear(&mut self, id: NodeId, age: Duration, now: Instant) {
        if let Some(member) = self.known.get_mut(&id) {
            self.is_urgent |= member.hear(age, now, self.limits.urgent);
        }
    }

    /// Whether something urgent was heard since this was last asked.
    pub(super) fn take_urgent(&mut self) -> bool {
        std::mem::take(&mut self.is_urgent)
    }

    pub(super) fn suspect(&mut self, id: NodeId) {
        if self.known.contains_key(&id) {
            self.suspects.insert(id);
        }
    }

    pub(super) fn trust(&mut self, id: NodeId) {
        self.suspects.remove(&id);
    }

    /// Signs of life of those who are alive, by bucket, in the order of their ids.
    pub(super) fn hear_living(
        &mut self,
        split: u8,
        age: impl Fn(usize, usize) -> Option<Duration>,
        now: Instant,
    ) {
        let mut places = vec![0; 1 << split];
        for (id, member) in self.known.iter_mut().filter(|(_, member)| member.is_alive) {
            let bucket = bucket_of(*id, split);
            if let Some(age) = age(bucket, places[bucket]) {
                self.is_urgent |= member.hear(age, now, self.limits.urgent);
            }
            places[bucket] += 1;
        }
    }

    /// Who lives at `judged`, and who is long dead at `now`.
    pub(super) fn look(&mut self, now: Instant, judged: Instant) -> Look {
        let (own, limits, suspects) = (self.own, self.limits, &self.suspects);
        let (mut has_changed, mut next_death) = (false, None);
        self.living = 0;
        for (id, member) in &mut self.known {
            let silence = if suspects.contains(id) { limits.silence_of_suspect } else { limits.silence };
            let dies_at = member.spoke_at.filter(|_| *id != own).map(|at| at + silence);
            let is_here = *id == own || dies_at.is_some_and(|at| at > judged);
            let is_alive = is_here && member.record.state != NodeState::Gone;
            has_changed |= is_alive != member.is_alive;
            member.is_alive = is_alive;
            if is_alive {
                self.living += 1;
                next_death = next_death.into_iter().chain(dies_at).min();
            }
        }
        let is_forgotten = |id: &NodeId, member: &mut Member| {
            let seen = member.spoke_at.unwrap_or(member.first_seen);
            *id != own && !member.is_alive && now.saturating_duration_since(seen) > limits.memory
        };
        let forgotten: Vec<_> = self.known.extract_if(.., is_forgotten).map(|(id, _)| id).collect();
        self.suspects.retain(|id| self.known.contains_key(id));
        let alive = has_changed.then(|| self.living().map(|(id, _)| *id).collect());
        Look { alive, forgotten, next_death }
    }

    fn living(&self) -> impl Iterator<Item = (&NodeId, &Member)> {
        self.known.iter().filter(|(_, member)| member.is_alive)
    }

    /// The nodes that this one always speaks with: the nearest on either side of it, on two rings of all that are alive.
    /// On the first ring they stand by their ids, on the second by hashes of these. What one is to the other, the other is
    /// to it.
    pub(super) fn neighbours(&self) -> Vec<NodeId> {
        // Who has left keeps its place, to say so.
        let standing = || self.known.iter().filter(|(id, member)| member.is_alive || **id == self.own);
        let by_id: Vec<_> = standing().map(|(id, _)| *id).collect();
        let mut by_hash: Vec<_> = standing().map(|(id, member)| (member.ring, *id)).collect();
        by_hash.sort_unstable();
        let by_hash: Vec<_> = by_hash.into_iter().map(|(_, id)| id).collect();
        let mut neighbours = Vec::new();
        for ring in [by_id, by_hash] {
            let Some(at) = ring.iter().position(|id| *id == self.own) else { continue };
            for beside in [at + 1, at + ring.len() - 1] {
                let id = ring[beside % ring.len()];
                if id != self.own && !neighbours.contains(&id) {
                    neighbours.push(id);
                }
            }
        }
        neighbours
    }

    /// The next node after `last` that is remembered, and neither alive nor gone in order.
    pub(super) fn next_dead(&self, last: NodeId) -> Option<NodeId> {
        let after = (Bound::Excluded(last), Bound::Unbounded);
        let in_turn = self.known.range(after).chain(self.known.range(..=last));
        let is_dead = |id: &NodeId, member: &Member| {
            !member.is_alive && *id != self.own && member.record.state != NodeState::Gone
        };
        in_turn.filter(|(id, member)| is_dead(id, member)).map(|(id, _)| *id).next()
    }

    /// How many first bits of an id choose its bucket.
    pub(super) fn split(&self) -> u8 {
        let buckets = self.living.div_ceil(BUCKET_NODES).next_power_of_two().min(BUCKETS_MAX);
        u8::try_from(buckets.ilog2()).expect("there are 256 buckets at most")
    }

    /// Who is alive, by bucket, with what a message tells of each.
    pub(super) fn buckets(&self, split: u8, unit: Unit, now: Instant) -> Vec<Bucket> {
        let empty = Bucket { presence: 0, state: 0, ages: Vec::new() };
        let mut buckets = vec![empty; 1 << split];
        for (id, member) in self.living() {
            let bucket = &mut buckets[bucket_of(*id, split)];
            bucket.presence = bucket.presence.wrapping_add(low(member.presence));
            bucket.state = bucket.state.wrapping_add(low(member.state));
            bucket.ages.push(self.age(*id, member, unit, now));
        }
        buckets
    }

    /// All that are known in these buckets, the dead as well.
    pub(super) fn entries(&self, buckets: &[u8], split: u8, unit: Unit, now: Instant) -> Vec<Entry> {
        self.in_buckets(buckets, split).map(|(id, member)| self.entry(*id, member, unit, now)).collect()
    }

    pub(super) fn in_buckets(&self, buckets: &[u8], split: u8) -> impl Iterator<Item = (&NodeId, &Member)> {
        let mut is_within = [false; BUCKETS_MAX];
        buckets.iter().for_each(|bucket| is_within[usize::from(*bucket)] = true);
        self.known.iter().filter(move |(id, _)| is_within[bucket_of(**id, split)])
    }

    /// A record as it is told.
    pub(super) fn told(&self, id: NodeId, unit: Unit, now: Instant) -> Option<(Entry, Arc<str>)> {
        let member = self.known.get(&id)?;
        Some((self.entry(id, member, unit, now), Arc::clone(&member.text)))
    }

    fn entry(&self, id: NodeId, member: &Member, unit: Unit, now: Instant) -> Entry {
        let (generation, version) = member.record.order();
        Entry { id, generation, version, age: self.age(id, member, unit, now) }
    }

    fn age(&self, id: NodeId, member: &Member, unit: Unit, now: Instant) -> Age {
        if id == self.own {
            return Age::NOW;
        }
        let age = member.spoke_at.map(|at| now.saturating_duration_since(at));
        age.map_or(Age::NEVER, |age| unit.tell(age))
    }
}

// === impl Member ===

impl Member {
    /// Notes a sign of life; returns whether it ends a silence that was long.
    fn hear(&mut self, age: Duration, now: Instant, long: Duration) -> bool {
        let (former, told) = (self.spoke_at, now.checked_sub(age));
        self.spoke_at = former.max(told);
        let was_silent = |at: Instant| now.saturating_duration_since(at) >= long;
        former.is_some_and(was_silent) && told.is_some_and(|at| !was_silent(at))
    }
}

/// Which bucket an id is in.
fn bucket_of(id: NodeId, split: u8) -> usize {
    usize::from(id.as_bytes()[0]) >> (8 - split)
}

fn low(hash: u64) -> u32 {
    let [_, _, _, _, low @ ..] = hash.to_be_bytes();
    u32::from_be_bytes(low)
}

#[cfg(test)]
mod tests;
