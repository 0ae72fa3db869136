//! What happens in a mesh is told as typed events, in order, with what they say.

use futures_util::StreamExt as _;
use qmesh::{
    About, Authority, Context, Decision, Events, Happened, Identity, MeshEvent, Node, Outcome, RestartPolicy,
};
use qmesh_tests::{
    EXPECTED, Mesh, expect_panics, millis, secs, spawn,
    stranger::{self, Stranger, frame, kind},
    watch, work,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

#[qmesh::service(name = "tests.Eventful")]
pub(crate) trait Eventful {
    async fn panic(&mut self);
    async fn wait(&mut self, cx: &Context, millis: u64);
    async fn secret(&self);
}

struct Service;

impl Eventful for Service {
    async fn panic(&mut self) {
        panic!("{EXPECTED}");
    }

    async fn wait(&mut self, _cx: &Context, millis: u64) {
        sleep(std::time::Duration::from_millis(millis)).await;
    }

    async fn secret(&self) {}
}

/// The events of `kinds` until one is as wanted, which is the last of them.
async fn until(events: &mut Events, kinds: &[&str], wanted: impl Fn(&MeshEvent) -> bool) -> Vec<MeshEvent> {
    let mut seen = Vec::new();
    let all = timeout(secs(30), async {
        while let Some(Happened { event, .. }) = events.next().await {
            let is_last = wanted(&event);
            if kinds.contains(&event.kind()) {
                seen.push(event);
            }
            if is_last {
                return;
            }
        }
        panic!("the node has ended");
    });
    if all.await.is_err() {
        panic!("it did not happen; what did: {seen:?}");
    }
    seen
}

fn of_kind(kind: &str) -> impl Fn(&MeshEvent) -> bool {
    move |event| event.kind() == kind
}

const MEMBERS: &[&str] = &[
    "started",
    "joined",
    "restarted",
    "draining",
    "left",
    "died",
    "suspected",
    "session_up",
    "session_replaced",
    "session_down",
];

#[tokio::test(start_paused = true)]
async fn a_join_a_leave_a_kill_and_a_new_life_are_told_in_order() {
    let mesh = Mesh::new();
    let first = mesh.node("node-0").start().await.unwrap();
    let mut events = first.events();
    let started = until(&mut events, MEMBERS, of_kind("started")).await;
    let MeshEvent::Started { addresses, .. } = &started[0] else { panic!("{started:?}") };
    assert_eq!(addresses, &["memory://node-0"]);

    let peer = || "node-1".to_owned();
    let joined = |node: &Node| MeshEvent::Joined {
        peer: peer(),
        id: node.id().to_string(),
        addresses: vec!["memory://node-1".to_owned()],
    };
    let up = MeshEvent::SessionUp { peer: peer(), path: "memory".to_owned(), dialled: false };

    let second = mesh.node("node-1").start().await.unwrap();
    watch::agree(&[first.clone(), second.clone()], secs(10)).await;
    assert_eq!(until(&mut events, MEMBERS, of_kind("joined")).await, [up.clone(), joined(&second)]);

    let mut leaving = second.events();
    second.shutdown().await;
    let told = collect(&mut leaving).await;
    assert!(
        told.iter().all(|told| told.event.kind() != "suspected"),
        "whoever leaves suspects nobody: {told:?}"
    );
    let gone = until(&mut events, MEMBERS, of_kind("session_down")).await;
    let [MeshEvent::Draining { .. }, MeshEvent::Left { .. }, MeshEvent::SessionDown { why, .. }] = &gone[..]
    else {
        panic!("{gone:?}")
    };
    assert!(why.contains("the node stops"), "{why}");
    assert!(gone.iter().all(|event| event.peer() == Some("node-1")), "{gone:?}");

    let third = mesh.node("node-1").start().await.unwrap();
    watch::agree(&[first.clone(), third.clone()], secs(10)).await;
    assert_eq!(until(&mut events, MEMBERS, of_kind("joined")).await, [up, joined(&third)]);

    // As if its process had been killed.
    mesh.network.crash("node-1");
    let dead = until(&mut events, MEMBERS, of_kind("died")).await;
    let kinds: Vec<_> = dead.iter().map(MeshEvent::kind).collect();
    assert_eq!(kinds, ["session_down", "suspected", "died"], "{dead:?}");
    drop(third);

    let mut rest = first.events();
    first.shutdown().await;
    let numbers: Vec<_> =
        collect(&mut rest).await.into_iter().map(|happened| (happened.seq, happened.event.kind())).collect();
    assert!(numbers.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0), "{numbers:?}");
    assert_eq!(numbers.last().unwrap().1, "stopping");
    assert_eq!(rest.missed(), 0);
}

/// All events up to the end of the node.
async fn collect(events: &mut Events) -> Vec<Happened> {
    timeout(secs(30), events.collect()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_service_that_panics_is_told_of_until_it_is_given_up() {
    expect_panics();
    let mesh = Mesh::new();
    let restart = RestartPolicy { intensity: 2, ..RestartPolicy::default() };
    let node = mesh.node("node-0").serve(EventfulServer::new(|| Service).restart(restart));
    let node = node.serve(work::server()).start().await.unwrap();
    let client = node.client::<EventfulClient>();
    for _ in 0..3 {
        assert_eq!(client.panic().await.unwrap_err().outcome(), Outcome::Unknown);
    }
    let kinds = ["service_ready", "service_restarted", "service_stopped"];
    let told = until(&mut node.events(), &kinds, of_kind("service_stopped")).await;
    let service = || "tests.Eventful".to_owned();
    let why = || "a handler panicked".to_owned();
    let restarted = |restarts| MeshEvent::ServiceRestarted { service: service(), restarts, why: why() };
    assert_eq!(
        told,
        [
            MeshEvent::ServiceReady { service: service() },
            MeshEvent::ServiceReady { service: "tests.Work".to_owned() },
            restarted(1),
            restarted(2),
            MeshEvent::ServiceStopped { service: service(), why: why() },
        ]
    );
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_warms_up_is_ready_when_it_says_so() {
    let mesh = Mesh::new();
    let server = EventfulServer::new(|| Service).ready_when(|_| async {
        sleep(secs(1)).await;
        Ok::<_, String>(())
    });
    let node = mesh.node("node-0").serve(server).start().await.unwrap();
    let kinds = ["service_warming", "started", "service_ready"];
    let told = until(&mut node.events(), &kinds, of_kind("service_ready")).await;
    assert_eq!(told.iter().map(MeshEvent::kind).collect::<Vec<_>>(), kinds);
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn refused_calls_are_told_now_and_then_with_how_many_were_not() {
    let mesh = Mesh::new();
    let server = EventfulServer::new(|| Service).authorize(|_, _, method| match method {
        "secret" => Decision::Deny,
        _ => Decision::Allow,
    });
    let host = mesh.node("node-0").serve(server).start().await.unwrap();
    let guest = mesh.node("guest").start().await.unwrap();
    watch::endpoints(&guest, "tests.Eventful", 1).await;
    let client = guest.client::<EventfulClient>();
    for _ in 0..50 {
        client.secret().await.unwrap_err();
    }
    sleep(secs(1)).await;
    client.secret().await.unwrap_err();
    let mut events = host.events();
    let refused = MeshEvent::CallRefused {
        service: "tests.Eventful".to_owned(),
        method: "secret".to_owned(),
        caller: "node/guest".to_owned(),
        guest: None,
    };
    let mut left_out = Vec::new();
    while left_out.len() < 2 {
        let happened = timeout(secs(1), events.next()).await.unwrap().unwrap();
        if happened.event == refused {
            left_out.push(happened.left_out);
        }
    }
    assert_eq!(left_out, [0, 49]);
    assert_eq!(host.counts().refused_calls, 51);
    Mesh::end([host, guest]).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_has_no_place_says_so() {
    let mesh = Mesh::new();
    let node = mesh.node("node-0").serve(EventfulServer::new(|| Service).queue(1)).start().await.unwrap();
    let client = node.client::<EventfulClient>();
    let busy = client.clone();
    let under_way = spawn(async move { busy.wait(1000).await });
    sleep(millis(10)).await;
    client.wait(0).timeout(millis(500)).await.unwrap_err();
    let told = until(&mut node.events(), &["service_overloaded"], of_kind("service_overloaded")).await;
    let [MeshEvent::ServiceOverloaded { service, depth, capacity, wait_ms }] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((service.as_str(), *depth, *capacity), ("tests.Eventful", 1, 1));
    assert!(*wait_ms >= 100, "{wait_ms}");
    under_way.await.unwrap().unwrap();
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn strangers_and_liars_are_told_of() {
    let mesh = Mesh::new();
    let node = mesh.node("node-0").start().await.unwrap();
    let mut events = node.events();

    let liar = Stranger::in_memory(&mesh.network, &mesh.identity, "node-0").unwrap();
    let (session, _control) = liar.introduce("tests").await.unwrap();
    let _gossip = stranger::open(&*session, frame(kind::GOSSIP, b"lies")).await.unwrap();
    let told = until(&mut events, &["record_rejected"], of_kind("record_rejected")).await;
    let lie =
        MeshEvent::RecordRejected { from: "stranger".to_owned(), reason: "malformed_message".to_owned() };
    assert_eq!(told, [lie]);
    let _channel = stranger::open(&*session, frame(kind::CALL, b"no opening")).await.unwrap();
    let told = until(&mut events, &["channel_broken"], of_kind("channel_broken")).await;
    let [MeshEvent::ChannelBroken { peer, why }] = &told[..] else { panic!("{told:?}") };
    assert!(peer == "stranger" && why.contains("0x20"), "{told:?}");
    drop((session, liar));

    let others = Identity::issued_by(&Authority::ephemeral("others").unwrap());
    let stranger = Stranger::in_memory(&mesh.network, &others, "node-0").unwrap();
    stranger.knock().await.unwrap_err();
    let told = until(&mut events, &["peer_refused"], of_kind("peer_refused")).await;
    let [MeshEvent::PeerRefused { address, why }] = &told[..] else { panic!("{told:?}") };
    assert!(address == "memory://stranger" && why.contains("another mesh"), "{told:?}");
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_seed_that_is_silent_is_told_of_once() {
    let mesh = Mesh::new();
    let node = mesh.node("node-1").start().await.unwrap();
    sleep(secs(60)).await;
    let first = mesh.node("node-0").start().await.unwrap();
    watch::agree(&[first.clone(), node.clone()], secs(30)).await;
    let mut events = node.events();
    let kinds = ["seed_silent", "seed_answers"];
    let told = until(&mut events, &kinds, of_kind("seed_answers")).await;
    let [MeshEvent::SeedSilent { address, .. }, MeshEvent::SeedAnswers { address: again }] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((address.as_str(), again.as_str()), ("memory://node-0", "memory://node-0"));
    Mesh::end([first, node]).await;
}

/// What a command line is told by the node that it asks.
async fn ask(mesh: &Mesh, node: &str, question: Value) -> Value {
    let guest = Stranger::guest_in_memory(&mesh.network, &mesh.identity, node).unwrap();
    let (_session, mut control) = guest.introduce("tests").await.unwrap();
    stranger::ask(&mut control, &question).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn two_nodes_that_are_cut_from_each_other_say_so() {
    let mesh = Mesh::new();
    let names = ["node-0", "node-1", "node-2"];
    let mut nodes = Vec::new();
    for name in names {
        nodes.push(mesh.node(name).serve(work::server()).start().await.unwrap());
    }
    watch::agree(&nodes, secs(10)).await;
    let about: About =
        serde_json::from_value(ask(&mesh, "node-0", json!("about")).await["about"].take()).unwrap();
    assert_eq!(
        (about.node.as_str(), about.mesh.as_str(), &about.knows[..]),
        ("node-0", "tests", &names.map(str::to_owned)[..])
    );
    assert_eq!(about.protocols, ["qmesh/1", "gossip/chitchat"]);
    assert_eq!(about.sessions.iter().map(|session| &*session.peer).collect::<Vec<_>>(), ["node-1", "node-2"]);
    assert!(
        about.certificate_expires > about.unix_ms / 1000
            && about.authority_expires >= about.certificate_expires
    );
    let [queue] = &about.queues[..] else { panic!("{about:?}") };
    assert_eq!((queue.service.as_str(), queue.ready, queue.depth), ("tests.Work", true, 0));
    assert!(
        about.unreachable.is_empty() && about.rejected.is_empty() && about.given_up.is_empty(),
        "{about:?}"
    );

    mesh.network.cut("node-1", "node-2");
    let told = until(&mut nodes[1].events(), &["unreachable"], of_kind("unreachable")).await;
    let [MeshEvent::Unreachable { peer, addresses, .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!((peer.as_str(), &addresses[..]), ("node-2", &["memory://node-2".to_owned()][..]));
    let about: About =
        serde_json::from_value(ask(&mesh, "node-1", json!("about")).await["about"].take()).unwrap();
    let [unreachable] = &about.unreachable[..] else { panic!("{about:?}") };
    assert_eq!((unreachable.peer.as_deref(), unreachable.silent), (Some("node-2"), true), "{unreachable:?}");

    mesh.network.heal_all();
    until(
        &mut nodes[1].events(),
        &[],
        |event| matches!(event, MeshEvent::SessionUp { peer, .. } if peer == "node-2"),
    )
    .await;
    sleep(secs(5)).await;
    let about: About =
        serde_json::from_value(ask(&mesh, "node-1", json!("about")).await["about"].take()).unwrap();
    assert_eq!(about.unreachable, []);
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn a_command_line_reads_on_where_it_was_and_waits_for_what_comes() {
    let mesh = Mesh::new();
    let node = mesh.node("node-0").serve(work::server()).start().await.unwrap();
    let read = async |question: Value| {
        let answer = ask(&mesh, "node-0", json!({ "events": question })).await;
        let events: Vec<Happened> = serde_json::from_value(answer["events"]["events"].clone()).unwrap();
        events
    };
    let first = read(json!({"after": 0, "max": 1})).await;
    assert_eq!(first[0].event, MeshEvent::ServiceReady { service: "tests.Work".to_owned() });
    let after = first[0].seq;
    let rest = read(json!({"after": 0, "after_of": {"node-0": after, "node-1": 7}, "max": 9})).await;
    assert_eq!((rest.len(), rest[0].event.kind(), rest[0].node.as_str()), (1, "started", "node-0"));
    let after = rest[0].seq;
    let start = Instant::now();
    assert_eq!(read(json!({"after": after, "max": 9, "wait_ms": 700})).await, []);
    assert_eq!(start.elapsed().as_millis() / 10, 70);
    let (next, other) = tokio::join!(read(json!({"after": after, "max": 9, "wait_ms": 20_000})), async {
        sleep(secs(1)).await;
        mesh.node("node-1").start().await.unwrap()
    });
    assert_eq!(next[0].event.peer(), Some("node-1"), "{next:?}");
    Mesh::end([node, other]).await;
}
