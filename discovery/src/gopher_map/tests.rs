//! The handle over a stand-in protocol: a second implementation of the port, which shows that it is one.

use std::collections::BTreeSet;

use async_trait::async_trait;
use qmesh_transport::{Address, Authority, Identity};

use super::*;
use crate::{Change, RECORD_BYTES_MAX, ServiceRecord};

/// A protocol that notes what it is asked for. Everybody it is told of is alive.
#[derive(Default)]
struct StandIn {
    said: Mutex<Vec<Said>>,
    newest_generation: AtomicU64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Start { generation: u64, version: u64 },
    Announce { state: NodeState, version: u64 },
    Greet(NodeId),
    Suspect(NodeId),
    Renew,
    Stop,
}

#[async_trait]
impl Membership for StandIn {
    async fn start(&self, own: Sealed) {
        let (generation, version) = own.record.order();
        self.said.lock().push(Said::Start { generation, version });
    }

    fn announce(&self, own: Sealed) {
        self.said.lock().push(Said::Announce { state: own.record.state, version: own.record.version });
    }

    async fn told(&self) {}

    fn received(&self, _from: NodeId, _message: Bytes) {}

    fn greet(&self, peer: NodeId) {
        self.said.lock().push(Said::Greet(peer));
    }

    fn suspect(&self, peer: NodeId) {
        self.said.lock().push(Said::Suspect(peer));
    }

    fn renew(&self, _credentials: Credentials) {
        self.said.lock().push(Said::Renew);
    }

    fn newest_generation(&self) -> u64 {
        self.newest_generation.load(Relaxed)
    }

    async fn stopped(&self) -> GossipStopped {
        GossipStopped::InOrder
    }

    async fn stop(&self) {
        self.said.lock().push(Said::Stop);
    }

    fn stats(&self) -> GossipStats {
        GossipStats::default()
    }
}

async fn started() -> (GopherMap, Arc<StandIn>) {
    started_with(credentials()).await
}

fn credentials() -> Credentials {
    Identity::issued_by(&Authority::ephemeral("test").unwrap()).credentials("lobby").unwrap()
}

async fn started_with(credentials: Credentials) -> (GopherMap, Arc<StandIn>) {
    let announcement = Announcement {
        state: NodeState::Starting,
        addresses: vec![Address::memory("lobby")],
        zone: None,
        services: Vec::new(),
    };
    let stand_in = Arc::new(StandIn::default());
    let node = Node {
        id: credentials.id(),
        directory: Directory::new(credentials.id()),
        incarnation: 100,
        interval: Duration::from_millis(200),
        membership: Arc::<StandIn>::clone(&stand_in),
        own: Mutex::new(Own { credentials, announcement, generation: 0, version: 0 }),
        starting: tokio::sync::Mutex::default(),
        suspicions: AtomicU64::new(0),
    };
    (GopherMap::over(node).await.unwrap(), stand_in)
}

#[tokio::test]
async fn the_first_generation_is_the_incarnation_and_the_own_record_is_in_the_directory() {
    let (map, stand_in) = started().await;
    assert_eq!(*stand_in.said.lock(), [Said::Start { generation: 100, version: 1 }]);
    let snapshot = map.directory().snapshot();
    let own = snapshot.nodes().next().unwrap();
    assert_eq!((own.name.as_str(), own.mesh.as_str(), own.incarnation), ("lobby", "test", 100));
}

#[tokio::test]
async fn a_change_is_announced_once_and_no_change_is_not() {
    let (map, stand_in) = started().await;
    map.announce(|own| own.state = NodeState::Ready).unwrap();
    map.announce(|own| own.state = NodeState::Ready).unwrap();
    assert_eq!(stand_in.said.lock()[1..], [Said::Announce { state: NodeState::Ready, version: 2 }]);
    assert_eq!(map.directory().snapshot().nodes().next().unwrap().state, NodeState::Ready);
}

#[tokio::test]
async fn what_is_too_large_takes_no_version() {
    let (map, stand_in) = started().await;
    let name = "x".repeat(RECORD_BYTES_MAX);
    let huge = ServiceRecord { name, version: String::new(), weight: 1, fingerprint: 0 };
    let refused = map.announce(|own| own.services.push(huge));
    assert!(matches!(refused, Err(AnnounceError::TooLarge(_))), "{refused:?}");
    map.announce(|own| own.state = NodeState::Ready).unwrap();
    assert_eq!(stand_in.said.lock()[1..], [Said::Announce { state: NodeState::Ready, version: 2 }]);
}

#[tokio::test]
async fn a_restart_goes_above_all_generations_that_were_seen_and_greets_who_is_known() {
    let (map, stand_in) = started().await;
    let peer = NodeId::from_bytes([9; 16]);
    let mut record = (**map.directory().snapshot().nodes().next().unwrap()).clone();
    record.id = peer;
    map.directory().apply(Event::Records(vec![Arc::new(record)]));
    map.directory().apply(Event::Alive(BTreeSet::from([peer])));

    map.restart().await.unwrap();
    stand_in.newest_generation.store(5_000, Relaxed);
    map.restart().await.unwrap();
    let greet = Said::Greet(peer);
    let starts = [Said::Start { generation: 101, version: 2 }, Said::Start { generation: 5_001, version: 3 }];
    let [first, second] = starts;
    assert_eq!(stand_in.said.lock()[1..], [first, greet.clone(), second, greet]);
}

#[tokio::test(start_paused = true)]
async fn leaving_says_so_then_stops_and_is_for_good() {
    let (map, stand_in) = started().await;
    let mut watch = map.directory().watch();
    watch.next().await;
    map.leave().await;
    assert_eq!(
        stand_in.said.lock()[1..],
        [Said::Announce { state: NodeState::Gone, version: 2 }, Said::Stop]
    );
    assert!(matches!(&watch.next().await[..], [Change::Left(_)]));
    assert_eq!(map.announce(|_| {}), Err(AnnounceError::Left));
    assert_eq!(map.restart().await, Err(StartError::Left));
}

#[tokio::test]
async fn a_suspicion_is_counted_and_passed_on_and_kills_nobody_by_itself() {
    let (map, stand_in) = started().await;
    let own = map.directory().snapshot().nodes().next().unwrap().id;
    map.suspect(own);
    assert_eq!(map.stats().suspicions, 1);
    assert_eq!(stand_in.said.lock()[1..], [Said::Suspect(own)]);
    assert!(map.directory().snapshot().node(own).is_some());
}

#[tokio::test]
async fn a_renewed_certificate_is_announced_and_another_nodes_is_refused() {
    let identity = Identity::issued_by(&Authority::ephemeral("test").unwrap());
    let (map, stand_in) = started_with(identity.credentials("lobby").unwrap()).await;
    assert_eq!(map.renew(credentials()), Err(AnnounceError::OtherNode));
    map.renew(identity.credentials("lobby").unwrap()).unwrap();
    assert_eq!(
        stand_in.said.lock()[1..],
        [Said::Renew, Said::Announce { state: NodeState::Starting, version: 2 }]
    );
}
