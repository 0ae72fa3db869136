//! What the memory network promises beyond the conformance suite: links that fail as told, in paused time.

#![expect(clippy::unwrap_used, reason = "in a test, what fails should panic where it fails")]

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use qmesh_transport::{
    Authority, BindError, CloseCode, DialError, HandshakeError, Identity, Link, MemoryEndpoint,
    MemoryNetwork, Session, SessionClosed,
};
use tokio::time::{Instant, sleep};

const IDLE: Duration = Duration::from_secs(1);
const HANDSHAKE: Duration = Duration::from_secs(5);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A network, and identities for the nodes in it.
struct World {
    network: MemoryNetwork,
    identity: Identity,
}

/// Two nodes and their session.
struct Pair {
    world: World,
    _a: MemoryEndpoint,
    b: MemoryEndpoint,
    dialed: Arc<dyn Session>,
    accepted: Arc<dyn Session>,
}

impl World {
    fn new(seed: u64) -> Self {
        let identity = Identity::issued_by(&Authority::ephemeral("test").unwrap());
        Self { network: MemoryNetwork::new(seed), identity }
    }

    fn bind(&self, name: &str) -> MemoryEndpoint {
        self.network.bind(name, self.identity.credentials(name).unwrap()).unwrap()
    }

    async fn pair(self) -> Pair {
        let (a, b) = (self.bind("a"), self.bind("b"));
        let (dialed, accepted) = meet(&a, &b).await;
        Pair { world: self, _a: a, b, dialed: dialed.unwrap(), accepted: accepted.unwrap() }
    }
}

async fn meet(
    a: &MemoryEndpoint,
    b: &MemoryEndpoint,
) -> (Result<Arc<dyn Session>, DialError>, Result<Arc<dyn Session>, HandshakeError>) {
    let (dialer, listener, address) = (a.dialer(), b.listener(), b.local_address());
    tokio::join!(dialer.dial(&address, None), async { listener.accept().await.unwrap().handshake().await })
}

/// Sends `bytes` one way and waits until they have all been read.
async fn carry(from: &Arc<dyn Session>, to: &Arc<dyn Session>, bytes: Bytes) {
    let write = async {
        let mut channel = from.open().await.unwrap();
        channel.writer.write_all(bytes.clone()).await.unwrap();
        channel.writer.finish().unwrap();
    };
    let read = async {
        let mut heard = BytesMut::new();
        let mut channel = to.accept().await.unwrap();
        while channel.reader.read(&mut heard, 1 << 20).await.unwrap() > 0 {}
        heard.freeze()
    };
    let ((), heard) = tokio::join!(write, read);
    assert_eq!(heard, bytes);
}

/// How long something takes.
async fn time(work: impl Future<Output = ()>) -> Duration {
    let start = Instant::now();
    work.await;
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_link_delays_what_it_carries() {
    let world = World::new(1);
    world.network.set_link_one_way("a", "b", Link::with_delay(ms(30)));
    world.network.set_link_one_way("b", "a", Link::with_delay(ms(10)));
    let start = Instant::now();
    let pair = world.pair().await;
    assert_eq!(start.elapsed(), ms(80), "two round trips");
    assert_eq!(time(carry(&pair.dialed, &pair.accepted, Bytes::from_static(b"x"))).await, ms(30));
    assert_eq!(time(carry(&pair.accepted, &pair.dialed, Bytes::from_static(b"x"))).await, ms(10));
    assert_eq!(pair.dialed.stats().round_trip, ms(40));
}

#[tokio::test(start_paused = true)]
async fn losses_cost_time_and_no_bytes() {
    let pair = World::new(7).pair().await;
    let quick = time(carry(&pair.dialed, &pair.accepted, Bytes::from(vec![7; 3 << 20]))).await;
    pair.world.network.set_link("a", "b", Link { delay: ms(5), jitter: ms(5), loss: 0.3 });
    let slow = time(carry(&pair.dialed, &pair.accepted, Bytes::from(vec![8; 3 << 20]))).await;
    assert_eq!(quick, Duration::ZERO);
    assert!(slow > ms(100), "{slow:?}");
}

#[tokio::test(start_paused = true)]
async fn the_seed_decides_the_course() {
    let course = |seed| async move {
        let world = World::new(seed);
        world.network.set_default_link(Link { delay: ms(5), jitter: ms(5), loss: 0.2 });
        let pair = world.pair().await;
        time(carry(&pair.dialed, &pair.accepted, Bytes::from(vec![0; 1 << 20]))).await
    };
    let first = course(1).await;
    assert_eq!(course(1).await, first);
    assert_ne!(course(2).await, first);
}

#[tokio::test(start_paused = true)]
async fn a_cut_link_ends_both_sides_after_the_idle_timeout() {
    let pair = World::new(1).pair().await;
    pair.world.network.cut("a", "b");
    let start = Instant::now();
    assert_eq!(pair.dialed.closed().await, SessionClosed::Silent);
    assert_eq!(pair.accepted.closed().await, SessionClosed::Silent);
    assert_eq!(start.elapsed(), IDLE);
}

#[tokio::test(start_paused = true)]
async fn a_link_cut_in_one_direction_ends_the_deaf_side_first() {
    let pair = World::new(1).pair().await;
    pair.world.network.cut_one_way("a", "b");
    let start = Instant::now();
    assert_eq!(pair.accepted.closed().await, SessionClosed::Silent);
    assert_eq!(start.elapsed(), IDLE);
    assert_eq!(pair.dialed.closed().await, SessionClosed::Silent);
    assert_eq!(start.elapsed(), 2 * IDLE);
}

#[tokio::test(start_paused = true)]
async fn a_short_cut_costs_time_and_no_bytes() {
    let pair = World::new(1).pair().await;
    let network = pair.world.network.clone();
    network.set_link("a", "b", Link::with_delay(ms(10)));
    let cut = async {
        sleep(ms(5)).await;
        network.cut("a", "b");
        sleep(IDLE / 2).await;
        network.heal("a", "b");
    };
    let took =
        time(async { tokio::join!(cut, carry(&pair.dialed, &pair.accepted, Bytes::from_static(b"x"))).0 })
            .await;
    assert_eq!(took, ms(5) + IDLE / 2 + ms(10));
    sleep(3 * IDLE).await;
    assert!(pair.dialed.closed().now_or_never().is_none(), "the session lives");
}

#[tokio::test(start_paused = true)]
async fn a_close_over_a_cut_link_is_not_heard() {
    let pair = World::new(1).pair().await;
    pair.world.network.cut("a", "b");
    pair.dialed.close(CloseCode::SHUTDOWN, "bye");
    assert_eq!(pair.accepted.closed().await, SessionClosed::Silent);
}

#[tokio::test(start_paused = true)]
async fn groups_are_cut_from_each_other_and_from_nobody_else() {
    let world = World::new(1);
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| world.bind(name));
    world.network.isolate(&[&["a", "b"], &["c"]]);
    for (from, to) in [(&a, &b), (&b, &a), (&d, &a), (&c, &d)] {
        meet(from, to).await.0.unwrap();
    }
    for (from, to) in [(&a, &c), (&c, &b)] {
        let error = from.dialer().dial(&to.local_address(), None).await.unwrap_err();
        assert!(matches!(error, DialError::Unreachable(_)), "{error}");
    }
    world.network.heal_all();
    meet(&a, &c).await.0.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dial_over_a_cut_link_fails_after_the_handshake_timeout_and_to_nobody_at_once() {
    let world = World::new(1);
    let (a, b) = (world.bind("a"), world.bind("b"));
    world.network.cut("a", "b");
    let dial = async |address: &str| {
        let error = a.dialer().dial(&address.parse().unwrap(), None).await.unwrap_err();
        assert!(matches!(error, DialError::Unreachable(_)), "{error}");
    };
    assert_eq!(time(dial(&b.local_address().to_string())).await, HANDSHAKE);
    assert_eq!(time(dial("memory://nobody")).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_name_is_held_until_its_endpoint_is_dropped() {
    let world = World::new(1);
    let first = world.bind("a");
    let again = world.network.bind("a", world.identity.credentials("a").unwrap());
    assert!(matches!(again, Err(BindError::Taken(_))));
    let dialer = first.dialer();
    drop(first);
    assert!(
        world.network.bind("a", world.identity.credentials("a").unwrap()).is_err(),
        "its dialer holds it"
    );
    drop(dialer);
    world.bind("a");
}

#[tokio::test(start_paused = true)]
async fn sessions_outlive_their_endpoints() {
    let pair = World::new(1).pair().await;
    drop(pair.b);
    carry(&pair.dialed, &pair.accepted, Bytes::from_static(b"still here")).await;
}

#[tokio::test(start_paused = true)]
async fn another_key_under_the_same_name_disowns_nothing() {
    let pair = World::new(1).pair().await;
    pair.world.network.crash("b");
    let _other = pair.world.network.bind("b", pair.world.identity.credentials("c").unwrap()).unwrap();
    assert_eq!(pair.dialed.closed().await, SessionClosed::Silent);
}

#[tokio::test(start_paused = true)]
async fn a_restart_behind_a_cut_link_is_learnt_when_it_heals() {
    let pair = World::new(1).pair().await;
    pair.world.network.cut("a", "b");
    pair.world.network.crash("b");
    let _restarted = pair.world.bind("b");
    sleep(IDLE / 2).await;
    assert!(pair.dialed.closed().now_or_never().is_none());
    pair.world.network.heal("a", "b");
    assert_eq!(pair.dialed.closed().await, SessionClosed::Restarted);
}

#[tokio::test(start_paused = true)]
async fn a_crash_in_the_middle_of_a_handshake_leaves_nothing() {
    let world = World::new(1);
    let (a, b) = (world.bind("a"), world.bind("b"));
    world.network.set_link("a", "b", Link::with_delay(ms(10)));
    let crash = async {
        sleep(ms(15)).await;
        world.network.crash("b");
    };
    let ((dialed, accepted), ()) = tokio::join!(meet(&a, &b), crash);
    dialed.unwrap_err();
    accepted.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_to_both_sides() {
    let (ours, theirs) = (World::new(1), World::new(1));
    let a = ours.network.bind("a", theirs.identity.credentials("a").unwrap()).unwrap();
    let (dialed, accepted) = meet(&a, &ours.bind("b")).await;
    dialed.unwrap_err();
    let refused = accepted.unwrap_err().to_string();
    assert!(refused.contains("memory://a refused us: it does not trust our authority"), "{refused}");
}

/// A virtual minute must not cost a real one: idle sessions run no timers, and messages no tasks.
#[tokio::test(start_paused = true)]
async fn fifty_nodes_live_ten_minutes_in_seconds() {
    const NODES: usize = 50;
    let world = World::new(1);
    world.network.set_default_link(Link { delay: ms(1), jitter: ms(1), loss: 0.01 });
    let nodes: Vec<_> = (0..NODES).map(|n| world.bind(&format!("n{n}"))).collect();
    let mut sessions = Vec::new();
    for (n, a) in nodes.iter().enumerate() {
        for b in &nodes[..n] {
            let (dialed, accepted) = meet(a, b).await;
            sessions.push((dialed.unwrap(), accepted.unwrap()));
        }
    }
    let real = std::time::SystemTime::now();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(600) {
        sleep(Duration::from_secs(10)).await;
        let talks = sessions.iter().step_by(20).map(|(a, b)| carry(a, b, Bytes::from_static(b"gossip")));
        futures_util::future::join_all(talks).await;
    }
    assert!(
        sessions
            .iter()
            .all(|(a, b)| a.closed().now_or_never().is_none() && b.closed().now_or_never().is_none())
    );
    assert!(real.elapsed().unwrap() < Duration::from_secs(60));
}
