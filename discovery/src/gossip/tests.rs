//! Runs of gossip that end, and what they leave behind.

use std::time::Duration;

use qmesh_transport::{Authority, Identity};
use tokio::time::Instant;

use super::*;
use crate::{Announcement, NodeState, record::Order};

/// A carrier to nowhere.
struct Nowhere;

impl Carrier for Nowhere {
    fn send(&self, _to: NodeId, _message: Bytes) {}
}

struct Fixture {
    credentials: Credentials,
    gossip: Gossip,
}

fn fixture() -> Fixture {
    let credentials = Identity::issued_by(&Authority::ephemeral("test").unwrap()).credentials("me").unwrap();
    let directory = Directory::new(credentials.id());
    let gossip = Gossip::new(Config::local(), credentials.clone(), Arc::new(Nowhere), directory);
    Fixture { credentials, gossip }
}

impl Fixture {
    fn seal(&self, generation: u64, version: u64) -> Sealed {
        let announcement =
            Announcement { state: NodeState::Ready, addresses: Vec::new(), zone: None, services: Vec::new() };
        Sealed::seal(&self.credentials, Order { incarnation: 1, generation, version }, &announcement).unwrap()
    }

    /// What chitchat holds of ourselves.
    async fn own_version(&self) -> u64 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let chitchat = self.gossip.run.lock().as_ref().unwrap().handle.chitchat();
        let mut chitchat = chitchat.lock().await;
        let own = chitchat.self_node_state();
        assert_eq!(own.key_values().count(), usize::from(own.max_version() > 0));
        own.max_version()
    }
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_breaks_says_so_and_runs_again() {
    let fixture = fixture();
    fixture.gossip.start(fixture.seal(1, 1)).await;
    fixture.gossip.run.lock().as_ref().unwrap().handle.abort();
    assert_eq!(fixture.gossip.stopped().await, GossipStopped::Broken);
    assert_eq!(fixture.gossip.stopped().await, GossipStopped::Broken);

    fixture.gossip.start(fixture.seal(2, 2)).await;
    assert!(tokio::time::timeout(Duration::from_secs(5), fixture.gossip.stopped()).await.is_err());
    assert_eq!(fixture.own_version().await, 2);
}

#[tokio::test(start_paused = true)]
async fn chitchats_version_is_the_records() {
    let fixture = fixture();
    fixture.gossip.start(fixture.seal(1, 5)).await;
    assert_eq!(fixture.own_version().await, 5);
    fixture.gossip.announce(fixture.seal(1, 6));
    fixture.gossip.announce(fixture.seal(1, 7));
    assert_eq!(fixture.own_version().await, 7);
}

#[tokio::test(start_paused = true)]
async fn a_newer_run_of_ours_ends_this_one() {
    let fixture = fixture();
    fixture.gossip.start(fixture.seal(10, 1)).await;
    let former = push_message(&fixture.seal(500, 1));
    fixture.gossip.received(NodeId::from_bytes([9; 16]), former.into());
    assert_eq!(fixture.gossip.stopped().await, GossipStopped::Superseded { generation: 500 });
    assert_eq!(fixture.gossip.newest_generation(), 500);
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_in_order_and_wakes_whoever_waits() {
    let fixture = fixture();
    fixture.gossip.start(fixture.seal(1, 1)).await;
    let (stopped, ()) = tokio::join!(fixture.gossip.stopped(), fixture.gossip.stop());
    assert_eq!(stopped, GossipStopped::InOrder);
    assert_eq!(fixture.gossip.stopped().await, GossipStopped::InOrder);
}

#[tokio::test(start_paused = true)]
async fn a_new_run_in_place_of_a_living_one_wakes_nobody() {
    let fixture = fixture();
    fixture.gossip.start(fixture.seal(1, 1)).await;
    let restart = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        fixture.gossip.start(fixture.seal(2, 2)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        fixture.gossip.stop().await;
    };
    let began = Instant::now();
    let (stopped, ()) = tokio::join!(fixture.gossip.stopped(), restart);
    assert_eq!((stopped, began.elapsed()), (GossipStopped::InOrder, Duration::from_secs(2)));
}

#[tokio::test(start_paused = true)]
async fn messages_beyond_the_inbox_are_dropped_and_counted() {
    let fixture = fixture();
    fixture.gossip.start(fixture.seal(1, 1)).await;
    let peer = NodeId::from_bytes([9; 16]);
    let syn = Message::Syn { digest: Vec::new(), mesh: "test".into() }.encode();
    for _ in 0..Config::local().inbox_messages_max + 3 {
        fixture.gossip.received(peer, syn.clone().into());
    }
    assert_eq!(fixture.gossip.stats().inbox_full, 3);
    assert!(fixture.gossip.stats().rejected.is_empty());
}
