//! Rounds between nodes whose messages arrive at once, or never.

use std::{sync::Weak, time::Duration};

use qmesh_transport::{Address, Authority, Identity};
use tokio::time::timeout;

use super::*;
use crate::{Announcement, GopherMap, NodeState};

/// Nodes that hear each other, but for those that are silenced.
#[derive(Default)]
struct Air {
    maps: Mutex<BTreeMap<NodeId, GopherMap>>,
    silenced: Mutex<BTreeSet<NodeId>>,
}

struct Voice {
    own: NodeId,
    air: Weak<Air>,
}

impl Carrier for Voice {
    fn send(&self, to: NodeId, message: Bytes) {
        let Some(air) = self.air.upgrade() else { return };
        let heard = [self.own, to].iter().all(|id| !air.silenced.lock().contains(id));
        let map = air.maps.lock().get(&to).filter(|_| heard).cloned();
        if let Some(map) = map {
            map.received(self.own, message);
        }
    }
}

async fn start(air: &Arc<Air>, identity: &Identity, name: &str, incarnation: u64) -> GopherMap {
    let credentials = identity.credentials(name).unwrap();
    let own = credentials.id();
    let announcement = Announcement {
        state: NodeState::Ready,
        addresses: vec![Address::memory(name)],
        zone: None,
        services: vec![],
    };
    let voice = Arc::new(Voice { own, air: Arc::downgrade(air) });
    let config = Config::local();
    let map =
        GopherMap::start_replayable(config, credentials, incarnation, announcement, voice).await.unwrap();
    air.maps.lock().insert(own, map.clone());
    map
}

fn names(map: &GopherMap) -> Vec<String> {
    map.directory().snapshot().nodes().map(|node| node.name.clone()).collect()
}

/// Runs the rounds of all nodes for so long.
async fn run(maps: &[&GopherMap], how_long: Duration) {
    let rounds = futures_util::future::join_all(maps.iter().map(|map| map.stopped()));
    assert!(timeout(how_long, rounds).await.is_err(), "nobody's rounds end");
}

#[tokio::test(start_paused = true)]
async fn nodes_learn_of_each_other_notice_silence_and_hear_again() {
    let (air, identity) = (Arc::new(Air::default()), identity());
    let first = start(&air, &identity, "first", 1).await;
    let second = start(&air, &identity, "second", 1).await;
    let third = start(&air, &identity, "third", 1).await;
    let maps = [&first, &second, &third];
    let id =
        |map: &GopherMap| *air.maps.lock().iter().find(|(_, known)| names(known) == names(map)).unwrap().0;
    let third_id = id(&third);
    // The second knows both others, and tells them.
    second.greet(id(&first));
    third.greet(identity.credentials("second").unwrap().id());
    run(&maps, Duration::from_secs(2)).await;
    assert!(maps.iter().all(|map| names(map).len() == 3), "{:?}", maps.map(names));

    air.silenced.lock().insert(third_id);
    run(&maps, Duration::from_millis(1_000)).await;
    assert_eq!(names(&first).len(), 3, "a second of silence is no death");
    run(&maps, Duration::from_millis(1_500)).await;
    assert_eq!(maps.map(|map| names(map).len()), [2, 2, 1]);

    air.silenced.lock().clear();
    run(&maps, Duration::from_secs(1)).await;
    assert!(maps.iter().all(|map| names(map).len() == 3), "{:?}", maps.map(names));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_the_mesh_knows_a_newer_one_of_is_told() {
    let (air, identity) = (Arc::new(Air::default()), identity());
    let peer = start(&air, &identity, "peer", 1).await;
    let own = identity.credentials("own").unwrap().id();
    let newer = start(&air, &identity, "own", 100).await;
    newer.greet(identity.credentials("peer").unwrap().id());
    run(&[&peer, &newer], Duration::from_secs(1)).await;

    let older = start(&air, &identity, "own", 7).await;
    peer.greet(own);
    let told = timeout(Duration::from_secs(1), older.stopped()).await.unwrap();
    assert_eq!(told, GossipStopped::Superseded { generation: 100 });
    older.restart().await.unwrap();
    run(&[&peer, &older], Duration::from_secs(1)).await;
    assert_eq!(peer.directory().snapshot().node(own).unwrap().generation, 101);
}

#[test]
fn what_is_malformed_is_not_read() {
    let text: Arc<str> = "text".into();
    let mut bytes = vec![0; news::HEAD];
    bytes[news::HEAD - 1] = 4;
    bytes.extend_from_slice(text.as_bytes());
    let whole = news::decode(bytes.clone().into()).unwrap();
    assert_eq!((whole.len(), &whole[0].text), (1, &text));
    for length in 1..bytes.len() {
        assert!(news::decode(Bytes::copy_from_slice(&bytes[..length])).is_none(), "{length}");
    }
}

fn identity() -> Identity {
    Identity::issued_by(&Authority::ephemeral("test").unwrap())
}
