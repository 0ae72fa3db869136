//! Calls between nodes, as a user writes them.

use std::{sync::Arc, time::Duration};

use qmesh::{Authority, MemoryNetwork, Outcome, Reason, RestartPolicy, prelude::*};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Line {
    who: String,
    text: String,
}

#[derive(Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
enum ChatError {
    #[error("no room {0}")]
    NoRoom(String),
    #[error(transparent)]
    Upstream(#[from] Failure),
}

#[qmesh::service(name = "chat.Chat")]
trait Chat {
    /// The last lines of a room.
    #[idempotent]
    async fn history(&self, room: String, limit: u32) -> Result<Vec<Line>, ChatError>;
    async fn say(&mut self, cx: &Context, text: String) -> u64;
    #[oneway]
    async fn nudge(&mut self, who: String);
    async fn nudged(&self) -> Vec<String>;
    async fn slow(&self, millis: u64) -> u64;
    async fn explode(&mut self, shared: bool) -> u64;
}

#[derive(Default)]
struct Rooms {
    lines: Vec<Line>,
    nudged: Vec<String>,
}

impl Chat for Rooms {
    async fn history(&self, room: String, limit: u32) -> Result<Vec<Line>, ChatError> {
        if room != "general" {
            return Err(ChatError::NoRoom(room));
        }
        Ok(self.lines.iter().take(limit as usize).cloned().collect())
    }

    async fn say(&mut self, cx: &Context, text: String) -> u64 {
        self.lines.push(Line { who: cx.caller().name().to_owned(), text });
        self.lines.len() as u64
    }

    async fn nudge(&mut self, who: String) {
        self.nudged.push(who);
    }

    async fn nudged(&self) -> Vec<String> {
        self.nudged.clone()
    }

    async fn slow(&self, millis: u64) -> u64 {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        millis
    }

    async fn explode(&mut self, _shared: bool) -> u64 {
        panic!("as asked")
    }
}

struct Mesh {
    network: MemoryNetwork,
    authority: Authority,
}

impl Mesh {
    fn new() -> Self {
        Self {
            network: MemoryNetwork::new(7),
            authority: Authority::ephemeral("test").expect("an authority"),
        }
    }

    fn node(&self, name: &str) -> qmesh::NodeBuilder {
        let identity = Identity::issued_by(&self.authority);
        let builder = Node::builder(name).identity(identity).memory(&self.network).config(Config::local());
        builder.seed(Address::memory("lobby"))
    }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[tokio::test(start_paused = true)]
async fn a_service_is_called_by_name_from_another_node() {
    let mesh = Mesh::new();
    let _lobby = mesh.node("lobby").serve(ChatServer::new(Rooms::default)).start().await.unwrap();
    let guest = mesh.node("guest").start().await.unwrap();
    let chat = guest.client::<ChatClient>();
    assert_eq!(chat.say("hello").await.unwrap(), 1);
    let lines = chat.history("general", 20).timeout(secs(2)).await.unwrap();
    assert_eq!(lines, [Line { who: "guest".into(), text: "hello".into() }]);
    assert_eq!(chat.history("attic", 20).await, Err(CallError::Service(ChatError::NoRoom("attic".into()))));
    chat.nudge("bob").await.unwrap();
    assert_eq!(chat.nudged().await.unwrap(), ["bob"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_on_the_same_node_moves_the_value() {
    let mesh = Mesh::new();
    let lobby = mesh.node("lobby").serve(ChatServer::new(Rooms::default)).start().await.unwrap();
    let chat = lobby.client::<ChatClient>();
    assert_eq!(chat.say("hello").await.unwrap(), 1);
    chat.nudge("bob").await.unwrap();
    assert_eq!(chat.nudged().await.unwrap(), ["bob"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_an_endpoint_until_its_time_is_over() {
    let mesh = Mesh::new();
    let lobby = mesh.node("lobby").start().await.unwrap();
    let failure = lobby.client::<ChatClient>().say("x").timeout(secs(3)).await.unwrap_err();
    assert_eq!((failure.outcome(), failure.reason()), (Outcome::NotSent, Reason::NoEndpoint));
    assert_eq!(
        failure.to_string(),
        "chat.Chat/say: not sent: no endpoint of chat.Chat; known are none; this node has found no other node"
    );
    let chat = lobby.client::<ChatClient>();
    let late = async {
        tokio::time::sleep(secs(1)).await;
        mesh.node("late").serve(ChatServer::new(Rooms::default)).start().await.unwrap()
    };
    let (said, _late) = tokio::join!(chat.say("x").timeout(secs(20)), late);
    assert_eq!(said.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn shared_calls_overlap() {
    let mesh = Mesh::new();
    let _lobby = mesh.node("lobby").serve(ChatServer::new(Rooms::default)).start().await.unwrap();
    let guest = mesh.node("guest").start().await.unwrap();
    let chat = guest.client::<ChatClient>();
    chat.slow(0).await.unwrap();
    let start = tokio::time::Instant::now();
    let calls = (0..16).map(|_| chat.slow(1000));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.unwrap(), 1000);
    }
    assert!(start.elapsed() < secs(2), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_its_own_call_and_the_state() {
    let mesh = Mesh::new();
    let policy = RestartPolicy { intensity: 1, ..RestartPolicy::default() };
    let server = ChatServer::new(Rooms::default).restart(policy);
    let lobby = mesh.node("lobby").serve(server).start().await.unwrap();
    let guest = mesh.node("guest").start().await.unwrap();
    let chat = guest.client::<ChatClient>();
    chat.say("hello").await.unwrap();
    let failure = chat.explode(false).await.unwrap_err();
    assert_eq!((failure.outcome(), failure.reason()), (Outcome::Unknown, Reason::Panicked), "{failure}");
    assert_eq!(chat.say("again").await.unwrap(), 1, "the factory made the state anew");
    let tree = lobby.tree();
    let service = tree.iter().find(|actor| actor.path == "node/service/chat.Chat").unwrap();
    assert_eq!(service.restarts, 1);
    // Once more, and it is beyond its intensity: it leaves the directory.
    chat.explode(false).await.unwrap_err();
    let failure = chat.say("gone").timeout(secs(2)).await.unwrap_err();
    assert_ne!(failure.outcome(), Outcome::Unknown, "{failure}");
    tokio::time::sleep(secs(2)).await;
    assert!(guest.directory().snapshot().endpoints("chat.Chat").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_tool_calls_by_name_with_json() {
    let mesh = Mesh::new();
    let lobby = mesh.node("lobby").serve(ChatServer::new(Rooms::default)).start().await.unwrap();
    let guest = mesh.node("guest").start().await.unwrap();
    for node in [&guest, &lobby] {
        let said = serde_json::json!({"text": "hello"});
        let answer = node.call_json("chat.Chat", "say", &said, secs(5)).await.unwrap();
        assert!(answer.is_u64(), "{answer}");
        let error = node.call_json("chat.Chat", "shout", &said, secs(5)).await.unwrap_err().to_string();
        assert!(error.contains("no method `shout`; it has history, say, nudge"), "{error}");
        let error = node.call_json("chat.Chat", "say", &serde_json::json!({}), secs(5)).await.unwrap_err();
        assert!(error.to_string().contains("missing field `text`"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_call_and_cancels_it() {
    let mesh = Mesh::new();
    let _lobby = mesh.node("lobby").serve(ChatServer::new(Rooms::default)).start().await.unwrap();
    let guest = mesh.node("guest").start().await.unwrap();
    let chat = Arc::new(guest.client::<ChatClient>());
    chat.slow(0).await.unwrap();
    let start = tokio::time::Instant::now();
    let failure = chat.slow(60_000).timeout(Duration::from_millis(200)).await.unwrap_err();
    assert_eq!((failure.outcome(), failure.reason()), (Outcome::Unknown, Reason::DeadlineExceeded));
    assert!(start.elapsed() < Duration::from_millis(300));
    // The shared call was dropped on the far node: an exclusive one does not wait for it.
    assert_eq!(chat.say("free").timeout(secs(1)).await.unwrap(), 1);
}
