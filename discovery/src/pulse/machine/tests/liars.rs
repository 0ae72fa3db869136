//! Members that lie.

use super::{super::super::wire::Age, *};

fn pulse(unit: Unit, buckets: Vec<Bucket>) -> Bytes {
    Message::Pulse(Pulse { unit, is_question: true, buckets }).encode()
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
    world.run(world.delay);
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
    world.run(world.delay);
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
    world.run(world.delay);
    assert_eq!(world.rejected, [Rejection::Malformed; 4]);
    world.all_see(3);
}

#[test]
fn an_answer_that_claims_to_be_cut_is_answered_at_a_pace() {
    let mut world = World::of(30);
    let (viewer, liar) = (world.ids[0], world.ids[1]);
    world.puppet(liar);
    let mut answers = 0;
    for _ in 0..1_000 {
        let unit = Unit::new(MILLIS * 200, MILLIS * 1_800);
        let cut = Records { unit, purpose: Purpose::AnswerCut, wanted: Vec::new(), records: Vec::new() };
        world.say(liar, viewer, Message::Records(cut).encode());
        world.run(MILLIS);
        answers += world.queue.iter().filter(|(_, from, to, _)| (*from, *to) == (viewer, liar)).count();
    }
    // Twenty a second, and those that the viewer sends by itself.
    assert!((20..40).contains(&answers), "{answers} answers");
}

#[test]
fn a_member_that_announces_without_end_costs_each_node_three_records_an_interval_and_neighbour() {
    let mut world = World::of(30);
    let liar = world.ids[1];
    let before = world.bytes;
    for version in 2..2_000 {
        let own = world.seal("node-1", 1, version, NodeState::Ready);
        world.act(liar, |machine, now| machine.announce(own, now));
        world.run(MILLIS);
    }
    let record = world.seal("node-1", 1, 2_000, NodeState::Ready).text.len() + 64;
    let per_node = (world.bytes - before) / 30;
    // Fifteen a second to four neighbours, and what two that differ tell each other meanwhile.
    let most = 2 * 15 * 4 * record * 3 / 2;
    assert!(per_node < most, "{per_node} bytes for each node in two seconds, not {most}");
    world.all_see(30);
}

#[test]
fn a_liar_that_revives_the_dead_over_and_over_makes_nobody_talk_much_more() {
    let mut world = World::of(30);
    let (liar, dead) = (world.ids[0], world.ids[3]);
    let before = world.bytes;
    world.run(MILLIS * 10_000);
    let at_rest = world.bytes - before;
    let all = world.ids.clone();
    world.kill(dead);
    let viewers = world.ids.clone();
    let (before, mut lies) = (world.bytes, 0);
    for _ in 0..100 {
        let unit = Unit::new(MILLIS * 200, MILLIS * 1_800);
        // As old as may be, so that it is soon urgent again.
        let told = |id: &NodeId| if *id == dead { Age(23) } else { Age::NEVER };
        let entry = |id: &NodeId| Entry { id: *id, generation: 1, version: 1, age: told(id) };
        let lie = Detail { unit, split: 0, buckets: vec![0], entries: all.iter().map(entry).collect() };
        for viewer in viewers.iter().filter(|id| **id != liar) {
            let lie = Message::Detail(lie.clone()).encode();
            lies += lie.len();
            world.say(liar, *viewer, lie);
        }
        world.run(MILLIS * 100);
    }
    let lied_to = world.bytes - before - lies;
    assert!(lied_to < at_rest * 5, "{lied_to} bytes, and {at_rest} at rest");
}
