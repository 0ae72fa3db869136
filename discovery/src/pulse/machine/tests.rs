//! Machines that talk to each other in a time of their own, and peers that lie to them.

use std::collections::{BTreeMap, VecDeque};

use qmesh_transport::{Authority, Identity};
use rustls_pki_types::UnixTime;

use super::{super::wire::Age, *};
use crate::{Announcement, Directory, record::Order};

const MILLIS: Duration = Duration::from_millis(1);

/// How long a message takes.
const DELAY: Duration = MILLIS;

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
        if is_through && self.cut_off.contains(&from) == self.cut_off.contains(&to) {
            self.queue.push_back((self.now + DELAY, from, to, message));
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

fn pulse(unit: Unit, buckets: Vec<Bucket>) -> Bytes {
    Message::Pulse(Pulse { unit, is_question: true, buckets }).encode()
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
    let mut world = World::of(30);
    let paused = world.ids[11];
    world.puppet(paused);
    world.run(world.config.silence_min * 3 / 4);
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
fn a_cut_mesh_heals_by_itself_while_it_remembers() {
    let mut world = World::of(20);
    let ids = world.ids.clone();
    let (left, right) = ids.split_at(9);
    world.cut_off = left.iter().copied().collect();
    world.until(MILLIS * 4_000, left, left);
    world.until(MILLIS * 4_000, right, right);
    world.run(Duration::from_mins(1));
    world.cut_off.clear();
    let took = world.until(MILLIS * 8_000, &ids, &ids);
    assert!(took < MILLIS * 4_000, "{took:?}");
}

#[test]
fn a_node_lives_as_long_as_one_other_hears_it() {
    let mut world = World::of(5);
    let (remote, gate) = (world.ids[4], world.ids[2]);
    let ids = world.ids.clone();
    world.remote = Some((remote, gate));
    for id in ids.iter().filter(|id| **id != gate) {
        world.act(*id, |machine, now| machine.suspect(remote, now));
    }
    for _ in 0..200 {
        world.run(MILLIS * 50);
        world.all_see(5);
    }
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

#[test]
fn a_liar_keeps_the_dead_in_view_no_longer_than_it_lies() {
    let mut world = World::of(8);
    let (liar, dead, viewer) = (world.ids[0], world.ids[3], world.ids[5]);
    world.kill(dead);
    let rest = world.ids.clone();
    for _ in 0..100 {
        world.run(MILLIS * 50);
        let unit = Unit::new(MILLIS * 200, MILLIS * 1_800);
        let entry = Entry { id: dead, generation: 1, version: 1, age: Age(1) };
        let lie = Detail { unit, split: 0, buckets: vec![0], entries: vec![entry] };
        world.say(liar, viewer, Message::Detail(lie).encode());
        assert!(world.view(viewer).contains(&dead));
    }
    world.until(MILLIS * 2_500, &rest, &rest);
}

#[test]
fn no_lie_about_ages_kills() {
    let mut world = World::of(8);
    let ids = world.ids.clone();
    let liar = ids[2];
    let unit = Unit::new(MILLIS * 200, MILLIS * 1_800);
    let honest: Vec<_> = ids.iter().copied().filter(|id| *id != liar).collect();
    for age in [Age(254), Age::NEVER] {
        for _ in 0..100 {
            world.run(MILLIS * 20);
            for to in &honest {
                let entry = |id: &NodeId| Entry { id: *id, generation: 1, version: 1, age };
                let entries = ids.iter().map(entry).collect();
                let detail = Detail { unit, split: 0, buckets: vec![0], entries };
                world.say(liar, *to, Message::Detail(detail).encode());
                let mut buckets = world.nodes[to].machine.members.buckets(0, unit, world.now);
                buckets[0].ages.iter_mut().for_each(|told| *told = age);
                world.say(liar, *to, pulse(unit, buckets));
            }
            world.all_see(8);
        }
    }
}

#[test]
fn a_member_that_hands_nothing_on_silences_nobody() {
    let mut world = World::of(12);
    let ids = world.ids.clone();
    for silent in ids.iter().copied() {
        // It says that it lives, and nothing else.
        world.puppets = BTreeSet::from([silent]);
        for _ in 0..60 {
            world.run(MILLIS * 50);
            for to in &ids {
                world.say(silent, *to, pulse(Unit::new(MILLIS, MILLIS), Vec::from([empty_bucket()])));
            }
            for viewer in ids.iter().filter(|id| **id != silent) {
                assert_eq!(world.view(*viewer).len(), 12, "seen by {viewer}");
            }
        }
        world.puppets.clear();
        world.run(MILLIS * 2_000);
    }
}

fn empty_bucket() -> Bucket {
    Bucket { presence: 0, state: 0, ages: Vec::new() }
}

/// Lets one node tell another a record, and returns what that made of it.
fn told(world: &mut World, liar: NodeId, viewer: NodeId, entry: Entry, text: &Arc<str>) -> Vec<Rejection> {
    let unit = Unit::new(MILLIS * 200, MILLIS * 1_800);
    let records = vec![(entry, Arc::clone(text))];
    let message = Records { unit, purpose: Purpose::News, wanted: Vec::new(), records };
    world.rejected.clear();
    world.say(liar, viewer, Message::Records(message).encode());
    world.run(DELAY);
    std::mem::take(&mut world.rejected)
}

#[test]
fn only_what_its_owner_signed_is_believed() {
    let mut world = World::of(4);
    let [viewer, liar, victim, _] = world.ids[..] else { panic!("four nodes") };
    let genuine = world.seal("node-2", 1, 5, NodeState::Gone).text;
    let entry = |id, generation, version| Entry { id, generation, version, age: Age(1) };
    let forged: Arc<str> = "AAAA".into();
    let mut tell = |entry, text: &Arc<str>| told(&mut world, liar, viewer, entry, text);
    assert_eq!(tell(entry(victim, 1, 9), &forged), [Rejection::Unverified]);
    assert_eq!(tell(entry(victim, 1, 9), &genuine), [Rejection::Version]);
    assert_eq!(tell(entry(victim, 2, 5), &genuine), [Rejection::Version]);
    assert_eq!(tell(entry(viewer, 9, 5), &genuine), [Rejection::Unverified], "another's record as ours");
    assert_eq!(tell(entry(NodeId::from_bytes([9; 16]), 9, 5), &genuine), [Rejection::Unverified]);
    world.all_see(4);
    assert!(world.nodes[&viewer].machine.ended().is_none());
}

#[test]
fn strangers_that_nobody_hears_take_no_place() {
    let mut world = World::of(4);
    let (viewer, liar) = (world.ids[0], world.ids[1]);
    let stranger = world.seal("stranger", 1, 1, NodeState::Ready);
    let id = stranger.record.id;
    for age in [Age::NEVER, Age(200)] {
        let entry = Entry { id, generation: 1, version: 1, age };
        assert_eq!(told(&mut world, liar, viewer, entry, &stranger.text), []);
    }
    assert_eq!(world.nodes[&viewer].machine.nodes(), 4);
}

#[test]
fn a_full_mesh_takes_no_further_node_and_says_so() {
    let mut world = World::new();
    world.config.nodes_max = 3;
    for number in 0..3 {
        world.join(&format!("node-{number}"), 1);
        world.run(MILLIS * 500);
    }
    let known = world.ids.clone();
    let late = world.join("late", 1);
    world.run(MILLIS * 3_000);
    assert!(world.rejected.contains(&Rejection::Full));
    assert!(known.iter().all(|id| !world.view(*id).contains(&late)));
}

#[test]
fn records_that_do_not_verify_cost_seventeen_signatures_at_most() {
    let mut world = World::of(2);
    let (viewer, liar) = (world.ids[0], world.ids[1]);
    let unit = Unit::new(MILLIS * 200, MILLIS * 1_800);
    let forged = |version| (Entry { id: liar, generation: 1, version, age: Age(1) }, "AAAA".into());
    let records = (2..500).map(forged).collect();
    let message = Records { unit, purpose: Purpose::News, wanted: Vec::new(), records };
    world.say(liar, viewer, Message::Records(message).encode());
    world.run(DELAY);
    assert_eq!(world.rejected, [Rejection::Unverified; FAILURES_PER_MESSAGE_MAX + 1]);
}

#[test]
fn a_peer_that_asks_without_end_is_answered_at_a_pace() {
    let mut world = World::of(30);
    let (viewer, liar) = (world.ids[0], world.ids[1]);
    world.puppet(liar);
    let (before, began) = (world.bytes, world.now);
    let wanted = world.ids.clone();
    let mut asked = 0;
    for _ in 0..1_000 {
        let unit = Unit::new(MILLIS * 200, MILLIS * 1_800);
        let question = pulse(unit, vec![empty_bucket()]);
        let want = Records { unit, purpose: Purpose::Answer, wanted: wanted.clone(), records: Vec::new() };
        let want = Message::Records(want).encode();
        asked += question.len() + want.len();
        world.say(liar, viewer, question);
        world.say(liar, viewer, want);
        world.run(MILLIS);
    }
    assert_eq!(world.now - began, MILLIS * 1_000);
    let answered = world.bytes - before - asked;
    // In a second: twenty answers of each kind, of about 1 KB and 25 KB.
    assert!(answered < 25 * 30 * 1_000, "{answered} bytes");
}

#[test]
fn what_makes_no_sense_is_counted_and_changes_nothing() {
    let mut world = World::of(3);
    let (viewer, liar) = (world.ids[0], world.ids[1]);
    for bytes in [&b""[..], &[0], &[9, 0, 0, 0, 1], b"GET / HTTP/1.1\r\n"] {
        world.say(liar, viewer, Bytes::copy_from_slice(bytes));
    }
    world.run(DELAY);
    assert_eq!(world.rejected, [Rejection::Malformed; 4]);
    world.all_see(3);
}
