//! Who may call what holds on every way that a call can take.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use bytes::Bytes;
use qmesh::{Context, Decision, Failure, Node, Outcome, Reason, Receiver, Rules};
use qmesh_tests::{
    EXPECTED, Mesh, expect_panics, millis, secs,
    stranger::{self, Stranger, frame, kind, opening, read_frame},
    watch,
};
use serde_json::{Value, json};
use tokio::time::sleep;

#[qmesh::service(name = "tests.Vault")]
pub(crate) trait Vault {
    async fn look(&self, cx: &Context) -> String;
    async fn open(&self) -> String;
    async fn put(&mut self, items: Receiver<u64>) -> u64;
    async fn list(&self) -> Receiver<u64>;
    #[oneway]
    async fn knock(&self);
}

/// What handlers ran.
#[derive(Clone, Default)]
struct Room(Arc<AtomicU64>);

impl Vault for Room {
    async fn look(&self, cx: &Context) -> String {
        self.0.fetch_add(1, Relaxed);
        format!("{} for {:?}", cx.caller(), cx.on_behalf_of().map(ToString::to_string))
    }

    async fn open(&self) -> String {
        self.0.fetch_add(1, Relaxed);
        "open".to_owned()
    }

    async fn put(&mut self, items: Receiver<u64>) -> u64 {
        self.0.fetch_add(1, Relaxed);
        items.collect().await.unwrap().iter().sum()
    }

    async fn list(&self) -> Receiver<u64> {
        self.0.fetch_add(1, Relaxed);
        let (sender, receiver) = qmesh::stream(1);
        sender.finish();
        receiver
    }

    async fn knock(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

fn server(room: &Room) -> qmesh::Server<VaultContract, Room> {
    let room = room.clone();
    VaultServer::new(move || room.clone())
}

fn rules(callers: &[&str], calls: &[&str]) -> Rules {
    Rules::new().allow(callers.iter().copied(), calls.iter().copied()).unwrap()
}

/// Two nodes, of which the first serves.
async fn nodes(mesh: &Mesh, server: qmesh::Server<VaultContract, Room>) -> [Node; 2] {
    let host = mesh.node("node-0").serve(server).start().await.unwrap();
    let guest = mesh.node("guest").start().await.unwrap();
    watch::endpoints(&guest, "tests.Vault", 1).await;
    [host, guest]
}

/// One call of each shape, but [`Vault::look`].
async fn all_shapes(node: &Node) -> Vec<Result<(), Failure>> {
    let vault = node.client::<VaultClient>();
    let (sender, items) = qmesh::stream(1);
    sender.finish();
    vec![
        vault.open().await.map(drop),
        vault.put(items).await.map(drop),
        vault.list().await.map(drop),
        vault.knock().await,
        node.call_json("tests.Vault", "open", &json!({}), secs(1)).await.map(drop).map_err(
            |error| match error {
                qmesh::CallError::Failed(failure) => failure,
                qmesh::CallError::Service(error) => panic!("{error}"),
            },
        ),
        node.call_json("tests.Vault", "knock", &json!({}), secs(1)).await.map(drop).map_err(|error| {
            match error {
                qmesh::CallError::Failed(failure) => failure,
                qmesh::CallError::Service(error) => panic!("{error}"),
            }
        }),
    ]
}

#[tokio::test(start_paused = true)]
async fn without_a_policy_the_mesh_may_call() {
    let (mesh, room) = (Mesh::new(), Room::default());
    let nodes = nodes(&mesh, server(&room)).await;
    for node in &nodes {
        assert!(all_shapes(node).await.iter().all(Result::is_ok));
    }
    assert_eq!(nodes[0].counts().refused_calls, 0);
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_allowed_is_refused_in_every_shape_here_and_elsewhere() {
    let (mesh, room) = (Mesh::new(), Room::default());
    let allowed = rules(&["*"], &["tests.Vault/look"]);
    let nodes = nodes(&mesh, server(&room).authorize_by(allowed)).await;
    let mut refused = 0;
    for node in &nodes {
        let caller = format!("node/{}", node.name());
        assert_eq!(node.client::<VaultClient>().look().await.unwrap(), format!("{caller} for None"));
        for called in all_shapes(node).await {
            let failure = called.unwrap_err();
            assert_eq!(
                (failure.outcome(), failure.reason()),
                (Outcome::NotExecuted, Reason::Refused),
                "{failure}"
            );
            let told = format!("{caller} ({}) may not call tests.Vault/", node.id());
            assert!(failure.detail().starts_with(&told), "{failure}");
            refused += 1;
        }
        // The sender of the last one was told before it arrived.
        sleep(millis(1)).await;
        assert_eq!(nodes[0].counts().refused_calls, refused, "each is counted where it is refused");
    }
    assert_eq!(room.0.load(Relaxed), 2, "nothing ran but what is allowed");
    assert_eq!(nodes.iter().map(|node| node.counts().retries).sum::<u64>(), 0, "no refusal is repeated");
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn every_policy_must_allow_the_nodes_as_the_services() {
    let (mesh, room) = (Mesh::new(), Room::default());
    let policy = |caller: &qmesh::Caller, _: &str, method: &str| {
        if caller.name() == "guest" || method == "look" { Decision::Allow } else { Decision::Deny }
    };
    let server = server(&room).authorize(policy);
    let host = mesh.node("node-0").authorize_by(rules(&["*"], &["*/look", "*/open"])).serve(server);
    let host = host.start().await.unwrap();
    let guest = mesh.node("guest").start().await.unwrap();
    watch::endpoints(&guest, "tests.Vault", 1).await;
    let (here, there) = (host.client::<VaultClient>(), guest.client::<VaultClient>());
    here.look().await.unwrap();
    there.open().await.unwrap();
    for refused in [here.open().await.map(drop), there.list().await.map(drop)] {
        assert_eq!(refused.unwrap_err().reason(), Reason::Refused);
    }
    Mesh::end([host, guest]).await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_panics_denies_and_harms_nobody() {
    expect_panics();
    let (mesh, room) = (Mesh::new(), Room::default());
    let policy = |_: &qmesh::Caller, _: &str, method: &str| {
        assert!(method != "open", "{EXPECTED}");
        Decision::Allow
    };
    let nodes = nodes(&mesh, server(&room).authorize(policy)).await;
    for node in &nodes {
        let vault = node.client::<VaultClient>();
        assert_eq!(vault.open().await.unwrap_err().reason(), Reason::Refused);
        vault.look().await.unwrap();
    }
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_what_it_may_not_is_answered_and_counted() {
    let (mesh, room) = (Mesh::new(), Room::default());
    let host = mesh.node("node-0").serve(server(&room).authorize_by(rules(&["node/guest"], &["*"])));
    let host = host.start().await.unwrap();
    let stranger = Stranger::in_memory(&mesh.network, &mesh.identity, "node-0").unwrap();
    let (session, _control) = stranger.introduce("tests").await.unwrap();
    let methods = [("knock", "knock() one-way"), ("open", "open() -> String")];
    let request = opening("tests.Vault", "msgpack", &methods);
    let mut channel = stranger::open(&*session, frame(kind::OPEN, &request)).await.unwrap();
    let (opened, answer) = read_frame(&mut channel).await.unwrap().unwrap();
    assert_eq!(opened, kind::OPENED);
    assert!(
        String::from_utf8_lossy(&answer).contains("may not call tests.Vault/knock"),
        "it was told at once"
    );
    let knock = |count| -> Bytes { vec![frame(kind::ONE_WAY, &[0, 0x90]); count].concat().into() };
    channel.writer.write_all(knock(3)).await.unwrap();
    let acknowledged = async {
        loop {
            let (kind, counts) = read_frame(&mut channel).await.unwrap().unwrap();
            assert_eq!(kind, kind::ACKNOWLEDGE);
            if counts[1] == 3 {
                break counts;
            }
        }
    };
    assert_eq!(acknowledged.await[..], [0, 3, 0], "handled, refused, unknown");
    channel.writer.write_all(frame(kind::CALL, &[7, 2, 0x90, 0x4e, 0x90])).await.unwrap();
    let (kind, reply) = read_frame(&mut channel).await.unwrap().unwrap();
    let told = String::from_utf8_lossy(&reply);
    assert!(kind == kind::REPLY && reply[..2] == [7, 2], "{told}");
    assert!(told.contains("node/stranger") && told.contains("may not call tests.Vault/open"), "{told}");
    assert_eq!((host.counts().refused_calls, host.counts().broken_channels), (4, 0));
    assert_eq!(room.0.load(Relaxed), 0);
    Mesh::end([host]).await;
}

/// Asks a node, as a command line does, to call a method.
async fn asked(mesh: &Mesh, node: &str, method: &str) -> Value {
    let guest = Stranger::guest_in_memory(&mesh.network, &mesh.identity, node).unwrap();
    let (_session, mut control) = guest.introduce("tests").await.unwrap();
    let call = json!({"service": "tests.Vault", "method": method, "arguments": {}, "timeout_ms": 1000});
    let answer = stranger::ask(&mut control, &json!({"call": call})).await.unwrap();
    answer["failed"].as_object().map_or_else(|| answer.clone(), |failed| failed["detail"].clone())
}

/// As [`asked`], with a channel of its own: what it is told.
async fn asked_by_channel(mesh: &Mesh, node: &str, method: &str) -> String {
    let guest = Stranger::guest_in_memory(&mesh.network, &mesh.identity, node).unwrap();
    let (session, _control) = guest.introduce("tests").await.unwrap();
    let request = opening("tests.Vault", "json", &[(method, "")]);
    // It says that it calls for somebody else, and gives the node a second to find an endpoint.
    let pretence =
        [&[0x2a, 0x17, 0x0a, 0x10][..], &[7; 16], &[0x12, 0x03], b"ops", &[0x20, 0xe8, 0x07]].concat();
    let request = [request, pretence].concat();
    let mut channel = stranger::open(&*session, frame(kind::OPEN, &request)).await.unwrap();
    assert_eq!(read_frame(&mut channel).await.unwrap().unwrap().0, kind::OPENED);
    channel.writer.write_all(frame(kind::STREAM, b"\0\0{}")).await.unwrap();
    let (kind, reply) = read_frame(&mut channel).await.unwrap().unwrap();
    assert_eq!(kind, kind::REPLY);
    String::from_utf8_lossy(&reply).into_owned()
}

#[tokio::test(start_paused = true)]
async fn a_command_line_calls_in_its_own_name_where_it_asks_the_serving_node() {
    let (mesh, room) = (Mesh::new(), Room::default());
    let guests = rules(&["client/stranger"], &["*/look"]);
    let nodes = nodes(&mesh, server(&room).authorize_by(guests)).await;
    assert_eq!(asked(&mesh, "node-0", "look").await, json!({"value": "client/stranger for None"}));
    for method in ["open", "knock"] {
        let told = asked(&mesh, "node-0", method).await.to_string();
        assert!(told.contains("client/stranger") && !told.contains("node/node-0"), "{told}");
    }
    let told = asked_by_channel(&mesh, "node-0", "list").await;
    assert!(told.contains("client/stranger") && told.contains("may not call tests.Vault/list"), "{told}");
    assert!(!told.contains("node/node-0") && !told.contains("ops"), "{told}");
    assert_eq!(room.0.load(Relaxed), 1);
    assert_eq!(nodes[0].counts().refused_calls, 3);
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_lends_its_name_to_no_command_line_that_asks_it() {
    let elsewhere = "node/guest for Some(\"client/stranger\")";
    for (callers, may) in [
        (&["node/guest", "client/stranger"][..], true),
        // The node may, and the one who asks it may not; or the other way round.
        (&["node/guest"], false),
        (&["client/stranger"], false),
    ] {
        let (mesh, room) = (Mesh::new(), Room::default());
        let nodes = nodes(&mesh, server(&room).authorize_by(rules(callers, &["*"]))).await;
        let told = asked(&mesh, "guest", "look").await;
        if may {
            assert_eq!(told, json!({ "value": elsewhere }));
            let told = asked_by_channel(&mesh, "guest", "list").await;
            assert!(!told.contains("may not call") && room.0.load(Relaxed) == 2, "{told}");
            continue;
        }
        for method in ["look", "knock"] {
            let told = asked(&mesh, "guest", method).await.to_string();
            assert!(told.contains(&format!("may not call tests.Vault/{method}")), "{callers:?}: {told}");
        }
        let told = asked_by_channel(&mesh, "guest", "list").await;
        assert!(told.contains("may not call tests.Vault/list on behalf of client/stranger"), "{told}");
        assert_eq!(room.0.load(Relaxed), 0, "{callers:?}");
        Mesh::end(nodes).await;
    }
}
