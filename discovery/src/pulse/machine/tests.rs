//! Machines that talk to each other in a time of their own.

mod liars;
mod links;

use std::collections::{BTreeMap, VecDeque};

use qmesh_transport::{Authority, Identity};
use rustls_pki_types::UnixTime;
use xxhash_rust::xxh3::xxh3_64;

use super::*;
use crate::{Announcement, Directory, record::Order};

const MILLIS: Duration = Duration::from_millis(1);

/// Nodes by number, and what is between them.
struct World {
    identity: Identity,
    config: Config,
    now: Instant,
    nodes: BTreeMap<NodeId, Node>,
    ids: Vec<NodeId>,
    queue: VecDeque<(Instant, NodeId, NodeId, Bytes)>,
    /// Those on one side of a cut.
    cut_off: BTreeSet<NodeId>,
    /// A node that only the second one hears, and that hears only that one.
    remote: Option<(NodeId, NodeId)>,
    /// Who hears nobody, and whom nobody hears.
    deaf: BTreeSet<NodeId>,
    mute: BTreeSet<NodeId>,
    /// How long a message takes.
    delay: Duration,
    /// How many of a hundred messages are lost, and how many were sent so far.
    loss: u64,
    sent: u64,
    bytes: usize,
    /// Nodes that do nothing by themselves: a test speaks for them.
    puppets: BTreeSet<NodeId>,
    rejected: Vec<Rejection>,
}

struct Node {
    machine: Machine,
    directory: Directory,
}

impl World {
    fn new() -> Self {
        Self {
            identity: Identity::seeded(&Authority::ephemeral("test").unwrap(), 1),
            config: Config::local(),
            now: Instant::now(),
            nodes: BTreeMap::new(),
            ids: Vec::new(),
            queue: VecDeque::new(),
            cut_off: BTreeSet::new(),
            remote: None,
            deaf: BTreeSet::new(),
            mute: BTreeSet::new(),
            delay: MILLIS,
            loss: 0,
            sent: 0,
            bytes: 0,
            puppets: BTreeSet::new(),
            rejected: Vec::new(),
        }
    }

    /// So many nodes that know each other.
    fn of(count: usize) -> Self {
        let mut world = Self::new();
        for number in 0..count {
            world.join(&format!("node-{number}"), 1);
            world.run(MILLIS * 17);
        }
        world.run(MILLIS * 1_000);
        world.all_see(count);
        world
    }

    /// Starts a node, with a session with one of those that are there.
    fn join(&mut self, name: &str, generation: u64) -> NodeId {
        let credentials = self.identity.credentials(name).unwrap();
        let id = credentials.id();
        let node = Node { machine: Machine::new(&self.config, credentials), directory: Directory::new(id) };
        self.nodes.insert(id, node);
        let own = self.seal(name, generation, 1, NodeState::Ready);
        // As the handle does.
        self.nodes[&id].directory.apply(Event::Records(vec![Arc::clone(&own.record)]));
        self.act(id, |machine, now| machine.start(own, now));
        if let Some(gate) = self.ids.get(self.ids.len() / 2).copied().filter(|gate| *gate != id) {
            self.act(id, |machine, now| machine.greet(gate, now));
            self.act(gate, |machine, now| machine.greet(id, now));
        }
        self.ids.retain(|known| *known != id);
        self.ids.push(id);
        id
    }

    fn seal(&self, name: &str, generation: u64, version: u64, state: NodeState) -> Sealed {
        let announcement = Announcement { state, addresses: Vec::new(), zone: None, services: Vec::new() };
        let order = Order { incarnation: 1, generation, version };
        Sealed::seal(&self.identity.credentials(name).unwrap(), order, &announcement).unwrap()
    }

    fn kill(&mut self, id: NodeId) {
        self.nodes.remove(&id);
        self.ids.retain(|known| *known != id);
    }

    fn act(&mut self, id: NodeId, act: impl FnOnce(&mut Machine, Instant) -> Outcome) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let Outcome { messages, events, rejected } = act(&mut node.machine, self.now);
        events.into_iter().for_each(|event| node.directory.apply(event));
        self.rejected.extend(rejected);
        if self.puppets.contains(&id) {
            return;
        }
        for (to, message) in messages {
            self.say(id, to, message.encode());
        }
    }

    fn say(&mut self, from: NodeId, to: NodeId, message: Bytes) {
        self.bytes += message.len();
        let is_through = self.remote.is_none_or(|(remote, gate)| {
            [from, to].iter().all(|id| *id != remote) || [from, to].contains(&gate)
        });
        let is_through = is_through && !self.mute.contains(&from) && !self.deaf.contains(&to);
        self.sent += 1;
        let is_lost = xxh3_64(&self.sent.to_be_bytes()) % 100 < self.loss;
        if is_through && !is_lost && self.cut_off.contains(&from) == self.cut_off.contains(&to) {
            self.queue.push_back((self.now + self.delay, from, to, message));
        }
    }

    /// Lets time pass.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let wakes = self.nodes.iter().filter_map(|(id, node)| Some((node.machine.wakes_at()?, *id)));
            let wake = wakes.min();
            let arrival = self.queue.front().map(|message| message.0);
            let next = arrival.into_iter().chain(wake.map(|wake| wake.0)).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if arrival == Some(next)
                && let Some((_, from, to, message)) = self.queue.pop_front()
            {
                let date = UnixTime::now();
                self.act(to, |machine, now| {
                    machine.received(from, message, Now { wall: date, instant: now })
                });
            } else if let Some((_, id)) = wake {
                self.act(id, Machine::tick);
            }
        }
        self.now = end;
    }

    /// Runs until each of them sees exactly these; how long that took.
    fn until(&mut self, limit: Duration, viewers: &[NodeId], seen: &[NodeId]) -> Duration {
        let began = self.now;
        let seen: BTreeSet<_> = seen.iter().copied().collect();
        while !viewers.iter().all(|viewer| self.view(*viewer) == seen) {
            assert!(self.now - began < limit, "not within {limit:?}");
            self.run(MILLIS * 5);
        }
        self.now - began
    }

    fn view(&self, viewer: NodeId) -> BTreeSet<NodeId> {
        self.nodes[&viewer].directory.snapshot().nodes().map(|record| record.id).collect()
    }

    fn all_see(&self, count: usize) {
        for id in self.nodes.keys() {
            assert_eq!(self.view(*id).len(), count, "seen by {id}");
        }
    }

    /// Lets a node say nothing that is true, but what the test gives it.
    fn puppet(&mut self, id: NodeId) {
        self.puppets.insert(id);
    }
}

#[test]
fn a_newcomer_is_known_everywhere_within_a_few_messages() {
    let mut world = World::of(60);
    world.join("late", 1);
    let ids = world.ids.clone();
    let took = world.until(MILLIS * 100, &ids, &ids);
    assert!(took <= MILLIS * 20, "{took:?}");
}

#[test]
fn the_dead_leave_all_directories_within_two_seconds_and_at_about_the_same_time() {
    let mut world = World::of(60);
    world.kill(world.ids[7]);
    let ids = world.ids.clone();
    let first = |world: &World| ids.iter().any(|id| world.view(*id).len() < 60);
    let began = world.now;
    while !first(&world) {
        world.run(MILLIS * 5);
    }
    let first = world.now - began;
    let last = first + world.until(MILLIS * 500, &ids, &ids);
    assert!(first >= world.config.silence_min && last < MILLIS * 2_000, "{first:?} to {last:?}");
    assert!(last - first < MILLIS * 400, "{first:?} to {last:?}");
}

#[test]
fn half_of_all_may_die_at_once() {
    let mut world = World::of(60);
    for _ in 0..30 {
        world.kill(world.ids[0]);
    }
    let ids = world.ids.clone();
    world.until(MILLIS * 6_000, &ids, &ids);
}

#[test]
fn a_pause_shorter_than_the_least_silence_is_no_death() {
    let mut world = World::of(100);
    let paused = world.ids[11];
    world.puppet(paused);
    world.run(world.config.silence_min);
    world.puppets.clear();
    let ids = world.ids.clone();
    for _ in 0..40 {
        world.run(MILLIS * 50);
        world.all_see(ids.len());
    }
}

#[test]
fn who_has_slept_takes_nobodys_silence_for_death() {
    let mut world = World::of(10);
    let ids = world.ids.clone();
    // All of them at once, as in a machine that was halted: no message is under way, and no tick comes.
    world.queue.clear();
    world.now += Duration::from_mins(1);
    for _ in 0..40 {
        world.run(MILLIS * 50);
        world.all_see(ids.len());
    }
    world.kill(ids[3]);
    let rest = world.ids.clone();
    world.until(MILLIS * 2_000, &rest, &rest);
}

#[test]
fn a_change_is_told_at_once_and_many_in_a_row_are_told_together() {
    let mut world = World::of(40);
    let author = world.ids[5];
    let before = world.bytes;
    for version in 2..100 {
        let own = world.seal("node-5", 1, version, NodeState::Ready);
        world.act(author, |machine, now| machine.announce(own, now));
    }
    let knows = |world: &World, version| {
        let knows =
            |id: &NodeId| world.nodes[id].directory.snapshot().node(author).unwrap().version >= version;
        // The author's own directory is the handle's affair.
        world.ids.iter().filter(|id| **id != author).all(knows)
    };
    world.run(MILLIS * 20);
    assert!(knows(&world, 2), "the first is told at once");
    world.run(world.config.interval * 4);
    assert!(knows(&world, 99), "the last is told with the next pulses");
    let per_node = (world.bytes - before) / 40;
    assert!(per_node < 20_000, "{per_node} bytes for 98 versions");
}

#[test]
fn who_has_left_is_nobodys_neighbour_and_forgotten_in_the_end() {
    let mut world = World::of(10);
    let leaver = world.ids[4];
    let gone = world.seal("node-4", 1, 2, NodeState::Gone);
    world.act(leaver, |machine, now| machine.announce(gone, now));
    let rest: Vec<_> = world.ids.iter().copied().filter(|id| *id != leaver).collect();
    // Over two or three hops of a millisecond each.
    world.run(MILLIS * 4);
    world.until(MILLIS, &rest, &rest);
    world.kill(leaver);
    world.run(world.config.dead_grace + MILLIS * 5_000);
    assert!(rest.iter().all(|id| world.nodes[id].machine.nodes() == 9));
    world.all_see(9);
}

#[test]
fn an_earlier_run_learns_of_a_later_one_and_which_it_was() {
    let mut world = World::of(4);
    let id = world.ids[1];
    world.kill(id);
    world.join("node-1", 500);
    world.run(MILLIS * 100);
    world.kill(id);
    world.join("node-1", 7);
    world.run(MILLIS * 500);
    let ended = world.nodes[&id].machine.ended();
    assert_eq!(ended, Some(GossipStopped::Superseded { generation: 500 }));
}
