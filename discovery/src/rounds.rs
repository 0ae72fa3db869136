//! A stand-in for gossip without chance, for simulations: in each round a node tells the next three of those it knows
//! everything that it knows.
//!
//! It keeps gossip's promises by plainer means, so that a run can be replayed: records spread and are verified, silence is
//! death, a newer run of a node replaces the older. It has no task: its rounds run inside of
//! [`stopped`](Membership::stopped), which whoever supervises a node awaits. It believes its peers' counts, and sends
//! whole records where gossip sends differences.

mod news;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use qmesh_transport::{Credentials, NodeId};
use rustls_pki_types::UnixTime;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use self::news::News;
use crate::{
    Carrier, Config, Directory, GossipStats, GossipStopped, NodeRecord,
    membership::{Event, Membership},
    record::{self, Sealed},
};

/// Nodes that hear from a node in one round.
const PEERS_PER_ROUND: usize = 3;

/// Gossip in rounds.
pub(crate) struct Rounds {
    config: Config,
    own: NodeId,
    carrier: Arc<dyn Carrier>,
    directory: Directory,
    state: Mutex<State>,
    ended: Notify,
}

struct State {
    credentials: Credentials,
    run: Option<Run>,
    known: BTreeMap<NodeId, Known>,
    suspects: BTreeSet<NodeId>,
    newest_own_generation: u64,
    stats: GossipStats,
}

/// What we say of ourselves.
struct Run {
    sealed: Sealed,
    rounds: u64,
    next_round: Instant,
    superseded: bool,
}

/// What is known of another node.
struct Known {
    record: Arc<NodeRecord>,
    text: Arc<str>,
    /// Its rounds, as it counted them when this was heard of it.
    rounds: u64,
    /// When it last showed life; never, if all of it is hearsay.
    heard: Option<Instant>,
    first_seen: Instant,
}

impl Rounds {
    pub(crate) fn new(
        config: Config,
        credentials: Credentials,
        carrier: Arc<dyn Carrier>,
        directory: Directory,
    ) -> Self {
        let own = credentials.id();
        let state = State {
            credentials,
            run: None,
            known: BTreeMap::new(),
            suspects: BTreeSet::new(),
            newest_own_generation: 0,
            stats: GossipStats::default(),
        };
        Self { config, own, carrier, directory, state: Mutex::new(state), ended: Notify::new() }
    }

    /// How long a node may be silent.
    fn silence(&self) -> Duration {
        self.config.silence().max(self.config.silence_min)
    }

    fn round(&self, now: Instant) {
        let (message, peers) = {
            let mut state = self.state.lock();
            let Some(run) = &mut state.run else { return };
            run.rounds += 1;
            run.next_round = now + self.config.interval;
            let turn = usize::try_from(run.rounds).unwrap_or(0) * PEERS_PER_ROUND;
            let count = state.known.len();
            let peers: BTreeSet<_> = (0..PEERS_PER_ROUND.min(count))
                .filter_map(|at| state.known.keys().nth((turn + at) % count).copied())
                .collect();
            (state.message(), peers)
        };
        for peer in peers {
            self.send(peer, message.clone());
        }
        self.look(now);
    }

    /// Who is alive by now, and who is long dead.
    fn look(&self, now: Instant) {
        let mut state = self.state.lock();
        let silence = self.silence();
        let state = &mut *state;
        let is_alive = |(id, known): (&NodeId, &Known)| {
            let limit = if state.suspects.contains(id) { self.config.silence_min } else { silence };
            known.heard.is_some_and(|heard| now - heard < limit).then_some(*id)
        };
        let alive: BTreeSet<_> = state.known.iter().filter_map(is_alive).collect();
        let is_forgotten =
            |known: &Known| now - known.heard.unwrap_or(known.first_seen) > self.config.dead_grace;
        let forgotten: Vec<_> =
            state.known.iter().filter(|(_, known)| is_forgotten(known)).map(|(id, _)| *id).collect();
        state.known.retain(|_, known| !is_forgotten(known));
        self.directory.apply(Event::Alive(alive));
        if !forgotten.is_empty() {
            self.directory.apply(Event::Forgotten(forgotten));
        }
    }

    fn send(&self, to: NodeId, message: Bytes) {
        let stats = &mut self.state.lock().stats;
        stats.messages_out += 1;
        stats.bytes_out += message.len() as u64;
        self.carrier.send(to, message);
    }

    fn tell(&self, peer: NodeId) {
        let message = self.state.lock().message();
        self.send(peer, message);
    }
}

// === impl Membership ===

#[async_trait]
impl Membership for Rounds {
    async fn start(&self, own: Sealed) {
        let mut state = self.state.lock();
        let next_round = Instant::now() + self.config.interval;
        state.run = Some(Run { sealed: own, rounds: 0, next_round, superseded: false });
        self.ended.notify_one();
    }

    fn announce(&self, own: Sealed) {
        if let Some(run) = &mut self.state.lock().run {
            run.sealed = own;
        }
        for record in self.directory.snapshot().nodes().filter(|record| record.id != self.own) {
            self.tell(record.id);
        }
    }

    fn received(&self, from: NodeId, message: Bytes) {
        let now = Instant::now();
        let records = {
            let mut state = self.state.lock();
            state.stats.messages_in += 1;
            state.stats.bytes_in += message.len() as u64;
            let Some(news) = news::decode(message) else { return };
            news.into_iter().filter_map(|news| state.hear(self.own, from, news, now)).collect::<Vec<_>>()
        };
        if !records.is_empty() {
            self.directory.apply(Event::Records(records));
        }
        self.look(now);
        self.ended.notify_one();
    }

    fn greet(&self, peer: NodeId) {
        self.state.lock().suspects.remove(&peer);
        self.tell(peer);
    }

    fn suspect(&self, peer: NodeId) {
        if self.directory.snapshot().node(peer).is_some() {
            self.state.lock().suspects.insert(peer);
        }
    }

    fn renew(&self, credentials: Credentials) {
        self.state.lock().credentials = credentials;
    }

    fn newest_generation(&self) -> u64 {
        self.state.lock().newest_own_generation
    }

    async fn stopped(&self) -> GossipStopped {
        loop {
            let next_round = {
                let state = self.state.lock();
                let Some(run) = &state.run else { return GossipStopped::InOrder };
                if run.superseded {
                    return GossipStopped::Superseded { generation: state.newest_own_generation };
                }
                run.next_round
            };
            tokio::select! {
                biased;
                () = self.ended.notified() => {}
                () = sleep_until(next_round) => self.round(Instant::now()),
            }
        }
    }

    async fn stop(&self) {
        self.state.lock().run = None;
        self.ended.notify_one();
    }

    fn stats(&self) -> GossipStats {
        let state = self.state.lock();
        GossipStats { digest_nodes: state.known.len(), ..state.stats.clone() }
    }
}

// === impl State ===

impl State {
    /// Everything that we know, ourselves first.
    fn message(&self) -> Bytes {
        let own = self.run.iter().map(|run| (&run.sealed.record, &run.sealed.text, run.rounds));
        let others = self.known.values().map(|known| (&known.record, &known.text, known.rounds));
        news::encode(own.chain(others))
    }

    /// Takes in what a peer says of a node; its record, if that is new and its owner's.
    fn hear(&mut self, own: NodeId, from: NodeId, news: News, now: Instant) -> Option<Arc<NodeRecord>> {
        let News { id, generation, version, rounds, text } = news;
        if id == own {
            self.newest_own_generation = self.newest_own_generation.max(generation);
            if let Some(run) = &mut self.run {
                run.superseded |= generation > run.sealed.record.generation;
            }
            return None;
        }
        let known = self.known.get(&id);
        let is_news = known.is_none_or(|known| known.record.order() < (generation, version));
        let shows_life = id == from
            || known.is_some_and(|known| (known.record.generation, known.rounds) < (generation, rounds));
        if is_news {
            let opened = record::open(&text, &self.credentials, UnixTime::now()).ok()?;
            // Only what its owner signed counts.
            if (opened.id, opened.order()) != (id, (generation, version)) {
                return None;
            }
            let record = Arc::new(opened);
            let (heard, first_seen) = known.map_or((None, now), |known| (known.heard, known.first_seen));
            let known = Known { record: Arc::clone(&record), text, rounds, heard, first_seen };
            self.known.insert(id, known);
            self.lives(id, rounds, shows_life.then_some(now));
            return Some(record);
        }
        self.lives(id, rounds, shows_life.then_some(now));
        None
    }

    fn lives(&mut self, id: NodeId, rounds: u64, heard: Option<Instant>) {
        if let (Some(known), Some(_)) = (self.known.get_mut(&id), heard) {
            known.rounds = known.rounds.max(rounds);
            known.heard = heard;
            self.suspects.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests;
