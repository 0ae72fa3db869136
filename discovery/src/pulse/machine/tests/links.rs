//! What lies between the nodes: cuts, losses, slowness.

use super::*;

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
fn one_in_twenty_messages_lost_kills_nobody_and_the_dead_are_known_as_soon() {
    let mut world = World::of(60);
    world.loss = 5;
    for _ in 0..600 {
        world.run(MILLIS * 50);
        world.all_see(60);
    }
    world.kill(world.ids[20]);
    let ids = world.ids.clone();
    world.until(MILLIS * 1_600, &ids, &ids);
}

#[test]
fn who_speaks_and_hears_nobody_is_seen_and_sees_nobody_until_it_hears_again() {
    let mut world = World::of(10);
    let (ids, deaf) = (world.ids.clone(), world.ids[6]);
    world.deaf.insert(deaf);
    world.until(MILLIS * 2_000, &[deaf], &[deaf]);
    let others: Vec<_> = ids.iter().copied().filter(|id| *id != deaf).collect();
    for _ in 0..200 {
        world.run(MILLIS * 50);
        assert!(others.iter().all(|id| world.view(*id).len() == 10));
    }
    world.deaf.clear();
    world.until(MILLIS * 1_000, &ids, &ids);
}

#[test]
fn who_hears_and_is_not_heard_is_dead_to_the_others_until_it_is_heard_again() {
    let mut world = World::of(10);
    let (ids, mute) = (world.ids.clone(), world.ids[6]);
    world.mute.insert(mute);
    let others: Vec<_> = ids.iter().copied().filter(|id| *id != mute).collect();
    world.until(MILLIS * 2_000, &others, &others);
    for _ in 0..200 {
        world.run(MILLIS * 50);
        assert!(others.iter().all(|id| world.view(*id).len() == 9));
        assert_eq!(world.view(mute).len(), 10);
    }
    world.mute.clear();
    world.until(MILLIS * 1_000, &ids, &ids);
}

#[test]
fn a_death_is_known_in_time_unless_messages_take_more_than_an_eighth_of_an_interval() {
    for (delay, latest) in [(10, 1_450), (25, 1_450), (50, 2_500), (100, 4_000), (200, 6_000)] {
        let mut world = World::of(60);
        world.delay = MILLIS * delay;
        world.run(MILLIS * 2_000);
        world.kill(world.ids[20]);
        let ids = world.ids.clone();
        world.until(MILLIS * latest, &ids, &ids);
    }
}
