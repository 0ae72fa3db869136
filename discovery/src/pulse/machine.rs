//! The protocol as a pure state machine: what happens and the time in, messages and events out.

use std::{collections::BTreeSet, ops::Bound, sync::Arc, time::Duration};

use bytes::Bytes;
use qmesh_transport::{Credentials, NodeId};
use tokio::time::Instant;

use super::{
    members::{Limits, Look, Members},
    pace::{Answer, Pace},
    wire::{Bucket, Detail, Entry, Message, Pulse, Purpose, Records, Unit},
};
use crate::{
    Config, GossipStopped, NodeRecord, NodeState, Rejection,
    config::FAILURES_PER_MESSAGE_MAX,
    membership::Event,
    now::Now,
    record::{self, Sealed},
};

/// Pulses that a node sends in an interval, each to another peer.
const PULSES_PER_INTERVAL: u32 = 3;

/// Intervals that an urgent sign of life may take to the farthest node and is not yet silence.
const WAY_INTERVALS: u32 = 1;

/// Intervals for which a node that has slept, or has just begun, takes nobody's silence for death.
const EXCUSED_INTERVALS: u32 = 5;

/// Of so many pulses that go to peers in turn, one goes to a dead node: it may be alive again, or behind a cut that healed.
const TURNS_PER_DEAD: usize = 4;

/// A node's side of the protocol.
pub(super) struct Machine {
    credentials: Credentials,
    own: NodeId,
    interval: Duration,
    nodes_max: usize,
    limits: Limits,
    unit: Unit,
    members: Members,
    neighbours: Vec<NodeId>,
    /// Peers that we have a session with, as far as we were told.
    links: BTreeSet<NodeId>,
    turn: Turn,
    pace: Pace,
    /// Whose records are to be handed on with the next pulse: they were only just before.
    to_relay: BTreeSet<NodeId>,
    /// When all neighbours were last sent a pulse at once.
    spread_at: Option<Instant>,
    /// Whether that is to be done with the next pulse: it was only just before.
    to_spread: bool,
    run: Option<Run>,
    newest_own_generation: u64,
}

/// One life of gossip.
struct Run {
    generation: u64,
    next_pulse: Instant,
    next_death: Option<Instant>,
    excuse: Excuse,
    is_superseded: bool,
}

/// Whoever was alive at `since` is, until then.
struct Excuse {
    since: Instant,
    until: Instant,
}

/// Whose turn it is.
struct Turn {
    pulses: usize,
    /// Rounds over all neighbours; in each, one more peer has its turn.
    rounds: usize,
    linked: NodeId,
    dead: NodeId,
}

/// What comes of it.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) messages: Vec<(NodeId, Message)>,
    pub(super) events: Vec<Event>,
    pub(super) rejected: Vec<Rejection>,
}

impl Outcome {
    /// Sends a peer this unless there is something for it already: a carrier keeps one message for each.
    fn push_if_first(&mut self, peer: NodeId, message: &Message) {
        if self.messages.iter().all(|(to, _)| *to != peer) {
            self.messages.push((peer, message.clone()));
        }
    }
}

impl Machine {
    pub(super) fn new(config: &Config, credentials: Credentials) -> Self {
        let (own, interval) = (credentials.id(), config.interval);
        let limits = Limits {
            silence: config.silence().max(config.silence_min + interval * WAY_INTERVALS),
            silence_of_suspect: config.silence_min + interval / 2,
            urgent: config.silence_min,
            memory: config.dead_grace,
        };
        Self {
            credentials,
            own,
            interval,
            nodes_max: config.nodes_max,
            limits,
            unit: Unit::new(interval, limits.silence),
            members: Members::new(own, limits),
            neighbours: Vec::new(),
            links: BTreeSet::new(),
            turn: Turn { pulses: 0, rounds: 0, linked: own, dead: own },
            pace: Pace::new(interval / 4),
            to_relay: BTreeSet::new(),
            spread_at: None,
            to_spread: false,
            run: None,
            newest_own_generation: 0,
        }
    }

    /// Begins a run, in place of a former one.
    pub(super) fn start(&mut self, own: Sealed, now: Instant) -> Outcome {
        let excuse = Excuse { since: now, until: now + self.interval * EXCUSED_INTERVALS };
        // Nodes that start together do not speak together.
        let phase = self.pause() * u32::from(self.own.as_bytes()[15]) / 256;
        self.run = Some(Run {
            generation: own.record.generation,
            next_pulse: now + phase,
            next_death: None,
            excuse,
            is_superseded: false,
        });
        self.announce(own, now)
    }

    /// Replaces our own record.
    pub(super) fn announce(&mut self, own: Sealed, now: Instant) -> Outcome {
        let mut outcome = Outcome::default();
        let Some(run) = &self.run else { return outcome };
        let newest = self.members.get(self.own).map(|member| member.record.order());
        // Another announcement may have overtaken it.
        if own.record.generation != run.generation || newest >= Some(own.record.order()) {
            return outcome;
        }
        self.members.keep(own, now);
        self.look(now, &mut outcome);
        self.relay([self.own], None, now, &mut outcome);
        outcome
    }

    pub(super) fn stop(&mut self) {
        self.run = None;
        self.members.withdraw();
    }

    /// Why the run has ended; none while it goes on.
    pub(super) fn ended(&self) -> Option<GossipStopped> {
        match &self.run {
            None => Some(GossipStopped::InOrder),
            Some(run) if run.is_superseded => {
                Some(GossipStopped::Superseded { generation: self.newest_own_generation })
            }
            Some(_) => None,
        }
    }

    /// When to [tick](Self::tick) next.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        let run = self.run.as_ref()?;
        Some(run.next_death.map_or(run.next_pulse, |death| death.min(run.next_pulse)))
    }

    pub(super) const fn newest_own_generation(&self) -> u64 {
        self.newest_own_generation
    }

    pub(super) fn renew(&mut self, credentials: Credentials) {
        self.credentials = credentials;
    }

    pub(super) fn nodes(&self) -> usize {
        self.members.len()
    }

    /// Whether a node was alive when that was last looked at.
    #[cfg(any(test, fuzzing))]
    pub(super) fn is_alive(&self, id: NodeId) -> bool {
        self.members.is_alive(id)
    }

    /// Takes in a node that has just spoken, for a test to begin with.
    #[cfg(any(test, fuzzing))]
    pub(super) fn know(&mut self, sealed: Sealed, now: Instant) -> Outcome {
        let (id, mut outcome) = (sealed.record.id, Outcome::default());
        self.members.keep(sealed, now);
        self.members.hear(id, Duration::ZERO, now);
        self.look(now, &mut outcome);
        outcome
    }

    /// The length of a pulse.
    pub(super) fn pulse_bytes(&self, now: Instant) -> usize {
        self.pulse(false, now).encode().len()
    }

    /// A session with a peer is up.
    pub(super) fn greet(&mut self, peer: NodeId, now: Instant) -> Outcome {
        let mut outcome = Outcome::default();
        self.members.trust(peer);
        self.links.insert(peer);
        if self.run.is_some() {
            self.look(now, &mut outcome);
            outcome.messages.push((peer, self.pulse(false, now)));
        }
        outcome
    }

    /// The session with a peer has died.
    pub(super) fn suspect(&mut self, peer: NodeId, now: Instant) -> Outcome {
        let mut outcome = Outcome::default();
        self.links.remove(&peer);
        self.members.suspect(peer);
        self.look(now, &mut outcome);
        outcome
    }

    /// What is due.
    pub(super) fn tick(&mut self, now: Instant) -> Outcome {
        let mut outcome = Outcome::default();
        self.look(now, &mut outcome);
        let pause = self.pause();
        let Some(run) = &mut self.run else { return outcome };
        if now >= run.next_pulse {
            run.next_pulse = (run.next_pulse + pause).max(now);
            self.pace.clean(now);
            self.speak(now, &mut outcome);
        }
        outcome
    }

    /// A message of a peer, whose id its session proves.
    pub(super) fn received(&mut self, from: NodeId, message: Bytes, now: Now) -> Outcome {
        let mut outcome = Outcome::default();
        if self.run.is_none() || from == self.own {
            return outcome;
        }
        let message = match Message::decode(message) {
            Ok(message) => message,
            Err(rejection) => {
                outcome.rejected.push(rejection);
                return outcome;
            }
        };
        self.members.trust(from);
        let mut is_unsettled = self.hear(from, Duration::ZERO, now.instant);
        match message {
            Message::Pulse(pulse) => self.read_pulse(from, &pulse, now.instant, &mut outcome),
            Message::Detail(detail) => {
                is_unsettled |= self.read_detail(from, &detail, now.instant, &mut outcome)
            }
            Message::Records(records) => self.read_records(from, records, now, &mut outcome),
        }
        if is_unsettled {
            self.look(now.instant, &mut outcome);
        }
        self.to_spread |= self.members.take_urgent();
        self.spread(Some(from), now.instant, &mut outcome);
        outcome
    }

    /// Takes in who spoke when, where both of us know the same nodes; where not, tells what we know.
    fn read_pulse(&mut self, from: NodeId, pulse: &Pulse, now: Instant, outcome: &mut Outcome) {
        let split = u8::try_from(pulse.buckets.len().ilog2()).expect("there are 256 buckets at most");
        let ours = self.members.buckets(split, self.unit, now);
        let mean_same = |theirs: &Bucket, ours: &Bucket| {
            theirs.presence == ours.presence && theirs.ages.len() == ours.ages.len()
        };
        let told = |bucket: usize, place: usize| {
            let theirs = &pulse.buckets[bucket];
            mean_same(theirs, &ours[bucket]).then(|| pulse.unit.read(theirs.ages[place])).flatten()
        };
        self.members.hear_living(split, told, now);
        let differ =
            |(theirs, ours): &(&Bucket, &Bucket)| !mean_same(theirs, ours) || theirs.state != ours.state;
        let pairs = (0..=u8::MAX).zip(pulse.buckets.iter().zip(&ours));
        let differing: Vec<_> = pairs.filter(|(_, pair)| differ(pair)).map(|(at, _)| at).collect();
        if !differing.is_empty() && self.pace.allows(from, Answer::Detail, now) {
            let entries = self.members.entries(&differing, split, self.unit, now);
            let detail = Detail { unit: self.unit, split, buckets: differing, entries };
            outcome.messages.push((from, Message::Detail(detail)));
        } else if pulse.is_question && self.pace.allows(from, Answer::Pulse, now) {
            outcome.messages.push((from, self.pulse(false, now)));
        }
    }

    /// Asks for what we lack, and tells what the peer lacks.
    fn read_detail(&mut self, from: NodeId, detail: &Detail, now: Instant, outcome: &mut Outcome) -> bool {
        let (mut is_unsettled, mut wanted, mut told) = (false, Vec::new(), BTreeSet::new());
        for entry in &detail.entries {
            let age = detail.unit.read(entry.age);
            let ours = self.members.get(entry.id).map(|member| member.record.order());
            match ours {
                None if age.is_some_and(|age| age < self.limits.silence) => wanted.push(entry.id),
                None => {}
                Some(ours) if ours < entry.order() => wanted.push(entry.id),
                Some(ours) if ours > entry.order() => told.extend([entry.id]),
                Some(_) => {}
            }
            if let (Some(age), true) = (age, ours.is_some_and(|ours| ours.0 == entry.generation)) {
                is_unsettled |= self.hear(entry.id, age, now);
            }
        }
        let theirs: BTreeSet<_> = detail.entries.iter().map(|entry| entry.id).collect();
        let ours = self.members.in_buckets(&detail.buckets, detail.split).map(|(id, _)| *id);
        told.extend(ours.filter(|id| !theirs.contains(id) && self.members.is_alive(*id)));
        if !(wanted.is_empty() && told.is_empty()) && self.pace.allows(from, Answer::Records, now) {
            outcome.messages.push((from, self.records(wanted, told, now)));
        }
        is_unsettled
    }

    fn read_records(&mut self, from: NodeId, message: Records, now: Now, outcome: &mut Outcome) {
        let Records { unit, purpose, wanted, records } = message;
        let (mut news, mut failures) = (Vec::new(), 0);
        for (entry, text) in records {
            match self.learn(&entry, text, unit.read(entry.age), now) {
                Ok(Some(record)) => news.push(record),
                Ok(None) => {}
                Err(rejection) => {
                    outcome.rejected.push(rejection);
                    failures += usize::from(rejection == Rejection::Unverified);
                }
            }
            if failures > FAILURES_PER_MESSAGE_MAX {
                break;
            }
        }
        let to_relay: Vec<_> = news
            .iter()
            .map(|record| record.id)
            .filter(|id| purpose == Purpose::News || *id == from)
            .collect();
        if !news.is_empty() {
            outcome.events.push(Event::Records(news));
        }
        self.look(now.instant, outcome);
        self.relay(to_relay, Some(from), now.instant, outcome);
        if !wanted.is_empty() && self.pace.allows(from, Answer::Records, now.instant) {
            outcome.messages.push((from, self.records(Vec::new(), wanted, now.instant)));
        } else if purpose == Purpose::AnswerCut && self.pace.allows(from, Answer::Pulse, now.instant) {
            // The peer sees by it what we still lack.
            outcome.messages.push((from, self.pulse(false, now.instant)));
        }
    }

    /// Takes a record in, if it is news.
    fn learn(
        &mut self,
        entry: &Entry,
        text: Arc<str>,
        age: Option<Duration>,
        now: Now,
    ) -> Result<Option<Arc<NodeRecord>>, Rejection> {
        let known = self.members.get(entry.id).map(|member| member.record.order());
        if known >= Some(entry.order()) {
            if let (Some(age), true) = (age, known.is_some_and(|known| known.0 == entry.generation)) {
                self.hear(entry.id, age, now.instant);
            }
            return Ok(None);
        }
        // A stranger who is dead is nobody to remember.
        if known.is_none() && age.is_none_or(|age| age >= self.limits.silence) {
            return Ok(None);
        }
        if known.is_none() && self.members.len() >= self.nodes_max {
            return Err(Rejection::Full);
        }
        let opened =
            record::open(&text, &self.credentials, now.wall).map_err(|_refused| Rejection::Unverified)?;
        if opened.id != entry.id {
            return Err(Rejection::Unverified);
        }
        if opened.order() != entry.order() {
            return Err(Rejection::Version);
        }
        if entry.id == self.own {
            self.newest_own_generation = self.newest_own_generation.max(entry.generation);
            if let Some(run) = &mut self.run {
                run.is_superseded = true;
            }
            return Ok(None);
        }
        if known.is_none() && opened.state == NodeState::Gone {
            return Ok(None);
        }
        let record = Arc::new(opened);
        self.members.keep(Sealed { text, record: Arc::clone(&record) }, now.instant);
        if let Some(age) = age {
            self.members.hear(entry.id, age, now.instant);
        }
        Ok(Some(record))
    }

    /// Notes a sign of life; whether it may change who is alive.
    fn hear(&mut self, id: NodeId, age: Duration, now: Instant) -> bool {
        self.members.hear(id, age, now);
        !self.members.is_alive(id)
    }

    /// Sends the pulse, or the records that waited, to whose turn it is.
    fn speak(&mut self, now: Instant, outcome: &mut Outcome) {
        let to_relay = std::mem::take(&mut self.to_relay);
        self.relay(to_relay, None, now, outcome);
        self.spread(None, now, outcome);
        let Some(peer) = self.next_peer() else { return };
        // Neighbours send theirs by themselves.
        let is_question = !self.neighbours.contains(&peer);
        outcome.push_if_first(peer, &self.pulse(is_question, now));
    }

    /// All neighbours, one after the other, and then a peer that is none: one that we have a session with, or a dead one.
    fn next_peer(&mut self) -> Option<NodeId> {
        let turn = &mut self.turn;
        let at = turn.pulses % (self.neighbours.len() + 1);
        turn.pulses += 1;
        if let Some(neighbour) = self.neighbours.get(at) {
            return Some(*neighbour);
        }
        turn.rounds += 1;
        if turn.rounds.is_multiple_of(TURNS_PER_DEAD)
            && let Some(dead) = self.members.next_dead(turn.dead)
        {
            turn.dead = dead;
            return Some(dead);
        }
        let after = (Bound::Excluded(turn.linked), Bound::Unbounded);
        let mut in_turn = self.links.range(after).chain(self.links.range(..=turn.linked));
        let next = in_turn.find(|id| self.members.is_alive(**id) && !self.neighbours.contains(id));
        turn.linked = *next?;
        Some(turn.linked)
    }

    fn pulse(&self, is_question: bool, now: Instant) -> Message {
        let buckets = self.members.buckets(self.members.split(), self.unit, now);
        Message::Pulse(Pulse { unit: self.unit, is_question, buckets })
    }

    fn records(&self, wanted: Vec<NodeId>, told: impl IntoIterator<Item = NodeId>, now: Instant) -> Message {
        let told = told.into_iter().filter_map(|id| self.members.told(id, self.unit, now));
        let (records, all) = Records::fit(wanted.len(), told);
        let purpose = if all { Purpose::Answer } else { Purpose::AnswerCut };
        Message::Records(Records { unit: self.unit, purpose, wanted, records })
    }

    /// Tells the neighbours new records, each at most once between two pulses.
    fn relay(
        &mut self,
        ids: impl IntoIterator<Item = NodeId>,
        except: Option<NodeId>,
        now: Instant,
        outcome: &mut Outcome,
    ) {
        let pause = self.pause();
        let mut told = Vec::new();
        for id in ids {
            let Some(member) = self.members.get_mut(id) else { continue };
            if member.relayed_at.is_some_and(|at| now.saturating_duration_since(at) < pause) {
                self.to_relay.insert(id);
                continue;
            }
            member.relayed_at = Some(now);
            told.extend(self.members.told(id, self.unit, now));
        }
        // What has no room is learnt from pulses.
        let (records, _all) = Records::fit(0, told.into_iter());
        if records.is_empty() {
            return;
        }
        let news = Records { unit: self.unit, purpose: Purpose::News, wanted: Vec::new(), records };
        let peers = self.neighbours.iter().filter(|peer| Some(**peer) != except);
        outcome.messages.extend(peers.map(|peer| (*peer, Message::Records(news.clone()))));
    }

    /// Sends all neighbours a pulse at once where that is urgent, at most once between two pulses of their own.
    fn spread(&mut self, except: Option<NodeId>, now: Instant, outcome: &mut Outcome) {
        let is_due = self.spread_at.is_none_or(|at| now.saturating_duration_since(at) >= self.pause());
        if !(self.to_spread && is_due) {
            return;
        }
        (self.to_spread, self.spread_at) = (false, Some(now));
        let pulse = self.pulse(false, now);
        for peer in self.neighbours.iter().filter(|peer| Some(**peer) != except) {
            outcome.push_if_first(*peer, &pulse);
        }
    }

    /// Sees who is alive by now.
    fn look(&mut self, now: Instant, outcome: &mut Outcome) {
        let Some(run) = &mut self.run else { return };
        if now.saturating_duration_since(run.next_pulse) > self.interval {
            // The machine slept. Others may have spoken meanwhile; nobody was there to hear it.
            run.excuse = Excuse { since: run.next_pulse, until: now + self.interval * EXCUSED_INTERVALS };
            // Nor did this node say anything.
            self.to_spread = true;
        }
        let judged = if now < run.excuse.until { run.excuse.since } else { now };
        let Look { alive, forgotten, next_death } = self.members.look(now, judged);
        run.next_death =
            next_death.map(|at| if now < run.excuse.until { at.max(run.excuse.until) } else { at });
        if let Some(alive) = alive {
            self.neighbours = self.members.neighbours();
            outcome.events.push(Event::Alive(alive));
        }
        if !forgotten.is_empty() {
            outcome.events.push(Event::Forgotten(forgotten));
        }
    }

    /// The time between two pulses.
    fn pause(&self) -> Duration {
        self.interval / PULSES_PER_INTERVAL
    }
}

#[cfg(test)]
mod tests;
