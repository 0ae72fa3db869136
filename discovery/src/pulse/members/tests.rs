//! Rings and buckets, over nodes that all live.

use std::collections::VecDeque;

use super::*;

fn limits() -> Limits {
    let silence = Duration::from_secs(1);
    Limits { silence, silence_of_suspect: silence, urgent: silence, memory: silence * 10 }
}

/// What each of so many nodes knows: all of them.
fn meshes(count: u8) -> Vec<Members> {
    let now = Instant::now();
    // Ids are hashes; these stand in no order either.
    let ids: Vec<_> = (0..count).map(|number| NodeId::of_public_key(&[number])).collect();
    let knows_all = |own: &NodeId| {
        let mut members = Members::new(*own, limits());
        for id in &ids {
            members.keep(sealed(*id, 1, 1), now);
            members.hear(*id, Duration::ZERO, now);
        }
        members.look(now, now);
        members
    };
    ids.iter().map(knows_all).collect()
}

fn sealed(id: NodeId, generation: u64, version: u64) -> Sealed {
    let record = NodeRecord {
        mesh: "test".to_owned(),
        id,
        name: String::new(),
        incarnation: 1,
        generation,
        version,
        state: NodeState::Ready,
        addresses: Vec::new(),
        zone: None,
        services: Vec::new(),
    };
    Sealed { text: "".into(), record: Arc::new(record) }
}

/// How many of `all` hear of `from`, if `silent` hands nothing on, and over how many nodes at most.
fn reached(all: &[Members], from: NodeId, silent: NodeId) -> (usize, usize) {
    let neighbours: BTreeMap<_, _> = all.iter().map(|members| (members.own, members.neighbours())).collect();
    let mut far = BTreeMap::from([(from, 0)]);
    let mut queue = VecDeque::from([from]);
    while let Some(at) = queue.pop_front() {
        for next in neighbours[&at].iter().filter(|_| at != silent) {
            if !far.contains_key(next) {
                far.insert(*next, far[&at] + 1);
                queue.push_back(*next);
            }
        }
    }
    (far.len(), far.into_values().max().unwrap_or(0))
}

#[test]
fn neighbours_are_mutual_and_everybody_has_up_to_four() {
    for count in [1, 2, 3, 5, 10, 60, 200] {
        let all = meshes(count);
        let neighbours: BTreeMap<_, _> =
            all.iter().map(|members| (members.own, members.neighbours())).collect();
        for (id, beside) in &neighbours {
            assert!(beside.len() >= usize::from(count - 1).min(2) && beside.len() <= 4, "{beside:?}");
            assert!(beside.iter().all(|other| neighbours[other].contains(id)), "of {count}");
        }
    }
}

#[test]
fn one_that_hands_nothing_on_separates_nobody_and_the_way_is_short() {
    for count in [3_u8, 4, 8, 30, 200] {
        let all = meshes(count);
        for (from, silent) in [(0, 1), (1, 2), (2, 0)] {
            let (nodes, hops) = reached(&all, all[from].own, all[silent].own);
            assert_eq!(nodes, usize::from(count));
            assert!(hops <= 9, "{hops} hops between {count} nodes");
        }
    }
}

#[test]
fn nodes_that_know_the_same_make_the_same_buckets() {
    let (now, all) = (Instant::now(), meshes(100));
    let unit = Unit::new(Duration::from_secs(1), limits().silence);
    assert_eq!((all[0].split(), meshes(200)[0].split(), meshes(20)[0].split()), (1, 2, 0));
    let hashes = |members: &Members| {
        let buckets = members.buckets(2, unit, now);
        let hashes = buckets.iter().map(|bucket| (bucket.presence, bucket.state, bucket.ages.len()));
        hashes.collect::<Vec<_>>()
    };
    let whole = hashes(&all[0]);
    assert!(all.iter().all(|members| hashes(members) == whole));
    assert_eq!(whole.iter().map(|(_, _, nodes)| nodes).sum::<usize>(), 100);
}

#[test]
fn an_age_reaches_the_node_whose_place_it_has() {
    let mut members = meshes(100).remove(0);
    let later = Instant::now() + Duration::from_secs(2);
    let living: Vec<_> = members.living().map(|(id, _)| *id).collect();
    let target = living[61];
    let bucket = bucket_of(target, 2);
    let place = living.iter().filter(|id| bucket_of(**id, 2) == bucket && **id < target).count();
    let told = |at: usize, nth: usize| (at == bucket && nth == place).then_some(Duration::ZERO);
    members.hear_living(2, told, later);
    let alive = members.look(later, later).alive;
    assert_eq!(alive, Some(BTreeSet::from([members.own, target])));
}

#[test]
fn a_version_changes_the_state_of_its_bucket_and_a_generation_who_is_in_it() {
    let now = Instant::now();
    let unit = Unit::new(Duration::from_secs(1), limits().silence);
    let mut members = meshes(40).remove(0);
    let (changed, other) = (members.own, NodeId::of_public_key(&[7]));
    let before = members.buckets(0, unit, now).remove(0);
    members.keep(sealed(other, 1, 2), now);
    let later = members.buckets(0, unit, now).remove(0);
    assert!(later.presence == before.presence && later.state != before.state);
    members.keep(sealed(changed, 2, 1), now);
    assert_ne!(members.buckets(0, unit, now).remove(0).presence, before.presence);
}

#[test]
fn the_latest_sign_of_life_counts_and_the_dead_are_forgotten_in_the_end() {
    let (now, own, other) = (Instant::now(), NodeId::of_public_key(&[0]), NodeId::of_public_key(&[1]));
    let second = Duration::from_secs(1);
    let mut members = Members::new(own, limits());
    members.keep(sealed(own, 1, 1), now);
    members.keep(sealed(other, 1, 1), now);
    let look = members.look(now, now);
    assert_eq!(look.alive, Some(BTreeSet::from([own])), "a record alone is no sign of life");

    members.hear(other, Duration::from_millis(100), now + second);
    members.hear(other, Duration::from_millis(800), now + second);
    let look = members.look(now + second, now + second);
    assert_eq!(look.alive, Some(BTreeSet::from([own, other])));
    let dies_at = now + second + second - Duration::from_millis(100);
    assert_eq!(look.next_death, Some(dies_at));

    assert_eq!(members.look(dies_at, dies_at).alive, Some(BTreeSet::from([own])));
    assert_eq!(members.next_dead(own), Some(other));
    let late = dies_at + limits().memory;
    assert_eq!(members.look(late, late).forgotten, [other]);
    assert_eq!(members.len(), 1);
}

#[test]
fn what_was_known_to_run_before_keeps_its_signs_of_life_in_a_new_run() {
    let (now, other) = (Instant::now(), NodeId::of_public_key(&[1]));
    let mut members = meshes(2).remove(0);
    members.keep(sealed(other, 9, 1), now);
    assert_eq!(members.look(now, now).alive, None, "nothing has changed");
}
