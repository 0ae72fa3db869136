//! Meshes as a fixture: what is done to them by hand, what they check, and that a seed replays exactly.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use parking_lot::Mutex;
use qmesh::testing::{CallKind, Fault, Link, LogEntry, Mesh, MeshBuilder, each_seed, seeds, simulate};
use qmesh_tests::{EXPECTED, expect_panics, millis, secs, spawn, swarm, work};

fn mesh(seed: u64) -> MeshBuilder {
    Mesh::builder().nodes(4).seed(seed).furnish(|_, node| node.serve(work::server()))
}

#[tokio::test(start_paused = true)]
async fn a_mesh_that_loses_a_node_and_is_cut_for_ten_minutes_heals_with_either_gossip() {
    for builder in [mesh(1), mesh(1).chitchat()] {
        let mesh = builder.build().await;
        let client = mesh.client::<work::WorkClient>(0);
        client.whoami().await.unwrap();

        mesh.crash(2);
        assert!(mesh.running(2).is_none() && mesh.named("node-2").is_none());
        mesh.agree(secs(5)).await;
        mesh.restart(2).await;
        mesh.agree(secs(5)).await;

        for (one, other) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
            mesh.cut(one, other);
        }
        tokio::time::sleep(Duration::from_mins(10)).await;
        assert_eq!(mesh.node(0).directory().snapshot().nodes().len(), 2);
        assert_eq!(mesh.node(3).directory().snapshot().nodes().len(), 2);
        mesh.heal();
        mesh.agree(secs(20)).await;
        client.whoami().timeout(secs(2)).await.unwrap();
        mesh.stop(1).await;
        mesh.agree(secs(2)).await;
        mesh.shutdown().await;
    }
}

/// Through a seed's address and through its record a node may dial another one twice at once.
#[test]
fn nodes_that_start_together_keep_the_same_sessions() {
    let all = (0..64_u64).filter(|seed| {
        let (built, log) = simulate(async {
            let jittery = Link { delay: millis(2), jitter: millis(10), loss: 0.0 };
            let link = if seed.is_multiple_of(2) { Link::default() } else { jittery };
            let mesh = mesh(*seed).nodes(6).link(link).build().await;
            let built = mesh.elapsed();
            // Longer than a session that was replaced may go on.
            tokio::time::sleep(secs(7)).await;
            mesh.shutdown().await;
            built
        });
        let settled = |entry: &&LogEntry| entry.at > built + millis(400) && entry.at < built + secs(7);
        log.entries().iter().filter(settled).any(|entry| entry.what.contains("session_down"))
    });
    assert_eq!(all.collect::<Vec<_>>(), Vec::<u64>::new(), "these seeds lost sessions without a fault");
}

#[test]
fn a_seed_replays_exactly() {
    expect_panics();
    for seed in 100..104 {
        let ((one, first), (other, second)) = (swarm::run(seed, false), swarm::run(seed, false));
        assert_eq!(one.violations, Vec::<String>::new(), "seed {seed}");
        let (first, second) = (first.entries(), second.entries());
        for (at, (one, other)) in first.iter().zip(&second).enumerate() {
            assert_eq!(
                one,
                other,
                "event {at} of seed {seed}\n{}\n--\n{}",
                tail(&first, at),
                tail(&second, at)
            );
        }
        assert_eq!((first.len(), one.fingerprint), (second.len(), other.fingerprint));
        assert!(first.len() > 500, "{} events", first.len());
    }
}

/// What led to an event.
fn tail(entries: &[LogEntry], at: usize) -> String {
    let lines = entries[at.saturating_sub(8)..entries.len().min(at + 3)].iter();
    lines.map(|entry| format!("{entry}\n")).collect()
}

#[test]
fn two_seeds_are_two_stories() {
    let [one, other] = [100, 101].map(|seed| swarm::run(seed, false).0);
    assert_ne!(one.fingerprint, other.fingerprint);
}

#[test]
fn a_seed_that_fails_ends_the_test_and_others_are_not_run() {
    let ran = Mutex::new(Vec::new());
    let failed = catch_unwind(AssertUnwindSafe(|| {
        each_seed(seeds(5..9, None), async |seed| {
            ran.lock().push(seed);
            assert!(seed != 6, "{EXPECTED}");
        });
    }));
    expect_panics();
    assert!(failed.is_err());
    assert_eq!(*ran.lock(), [5, 6]);
    assert_eq!(seeds(0..9, Some("7".to_owned())), [7]);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_in_the_end_is_told() {
    let mesh = mesh(1).build().await;
    let client = mesh.client::<work::WorkClient>(0);
    let forgotten = spawn(std::future::pending::<()>());
    let ticket = mesh.ledger().start(CallKind::Once, secs(1));
    let report = mesh.finish().await;
    let told = report.violations.join("; ");
    assert!(told.contains("1 tasks run on, and 0 ran before"), "{told}");
    assert!(told.contains("it has no end"), "{told}");
    assert_eq!(report.lives_held, 1, "by the client");
    forgotten.abort();
    drop((client, ticket));
}

#[tokio::test(start_paused = true)]
async fn a_date_that_goes_back_keeps_nobody_out() {
    for builder in [mesh(3), mesh(3).chitchat()] {
        let mesh = builder.build().await;
        mesh.inject(Fault::ClockJump(1, -3_600_000)).await;
        mesh.restart(1).await;
        mesh.agree(secs(20)).await;
        mesh.client::<work::WorkClient>(1).whoami().timeout(secs(5)).await.unwrap();
        mesh.shutdown().await;
    }
}
