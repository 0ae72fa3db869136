//! The console: what it serves, and what it refuses.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use qmesh::{Authority, Console, ConsoleError, MemoryNetwork, OpenConsole, Rules, prelude::*};

const TOKEN: &str = "a-token-of-some-length";
const NODES: &str = r#""nodes""#;

#[qmesh::service(name = "hall.Hall")]
trait Hall {
    #[idempotent]
    async fn who(&self, cx: &Context) -> String;
}

struct Here;

impl Hall for Here {
    async fn who(&self, cx: &Context) -> String {
        cx.caller().to_string()
    }
}

async fn node(rules: Option<Rules>) -> Node {
    let identity = Identity::issued_by(&Authority::ephemeral("home").expect("an authority"));
    let node = Node::builder("lobby").identity(identity).memory(&MemoryNetwork::new(1));
    let node = node.serve(HallServer::new(|| Here));
    let node = match rules {
        Some(rules) => node.authorize_by(rules),
        None => node,
    };
    node.start().await.expect("it starts")
}

fn here() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// What came back: the status, the head in small letters, the body.
struct Told(u16, String, String);

/// Asks, and blocks the thread until the answer is there.
fn exchange(console: &OpenConsole, request: &str) -> Told {
    let mut stream = TcpStream::connect(console.address()).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    stream.write_all(request.as_bytes()).expect("it takes requests");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Told(status.expect("an answer has a status"), head.to_lowercase(), body.to_owned())
}

fn get(console: &OpenConsole, path: &str) -> Told {
    let host = console.address();
    exchange(console, &format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"))
}

fn ask(console: &OpenConsole, question: &str, more: &str) -> Told {
    let (host, length) = (console.address(), question.len());
    exchange(
        console,
        &format!(
            "POST /api/ask HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n{more}content-length: {length}\r\n\
             connection: close\r\n\r\n{question}"
        ),
    )
}

/// The test's thread is the node's: it does nothing but wait for the answer, and so does the node.
#[tokio::test]
async fn it_answers_while_its_node_is_busy() {
    let node = node(None).await;
    let console = Console::at(here()).serve(&node).unwrap();
    assert_eq!(console.url(), format!("http://{}/", console.address()));
    let Told(status, head, body) = get(&console, "/");
    assert_eq!(status, 200);
    assert!(body.contains("<title>qmesh</title>"), "{body}");
    for said in ["default-src 'none'", "frame-ancestors 'none'", "cache-control: no-store", "nosniff"] {
        assert!(head.contains(said), "{said} is missing: {head}");
    }
    let Told(status, head, body) = ask(&console, NODES, "");
    assert_eq!(status, 200, "{body}");
    assert!(head.contains("default-src 'none'") && body.contains(r#""name":"lobby""#), "{head}\n{body}");
    node.shutdown().await;
}

#[tokio::test]
async fn what_is_no_question_of_a_page_is_refused() {
    let node = node(None).await;
    let console = Console::at(here()).serve(&node).unwrap();
    assert_eq!(ask(&console, NODES, "origin: http://evil.example\r\n").0, 403);
    assert_eq!(ask(&console, "{}", "").0, 400);
    assert_eq!(ask(&console, r#"{"format_disk":{}}"#, "").0, 400);
    assert_eq!(get(&console, "/no-such-page").0, 404);
    let Told(status, head, _) = get(&console, "/api/ask");
    assert!(status == 405 && head.contains("allow: post"), "{head}");
    let foreign = exchange(&console, "GET / HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n");
    assert_eq!(foreign.0, 403, "another name may be made to mean this host");
    let host = console.address();
    let typed = format!(
        "POST /api/ask HTTP/1.1\r\nhost: {host}\r\ncontent-type: text/plain\r\ncontent-length: 7\r\nconnection: close\r\n\r\n{NODES}"
    );
    assert_eq!(exchange(&console, &typed).0, 415, "a form of another site can send this");
    let large = format!(
        "POST /api/ask HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        64 << 20
    );
    assert_eq!(exchange(&console, &large).0, 413, "nobody sends 64 MiB");
    node.shutdown().await;
}

#[tokio::test]
async fn a_token_is_wanted_where_others_can_reach_it_and_never_told() {
    let node = node(None).await;
    let everywhere: SocketAddr = ([0, 0, 0, 0], 0).into();
    assert!(matches!(Console::at(everywhere).serve(&node), Err(ConsoleError::NoToken(_))));
    for weak in ["", "short", "with white space in it", "über-lange-geheimnisse"] {
        let refused = Console::at(here()).token(weak).serve(&node);
        assert!(matches!(refused, Err(ConsoleError::WeakToken(_))), "{weak}");
    }
    let console = Console::at(everywhere).token(TOKEN).serve(&node).unwrap();
    assert!(!console.url().contains(TOKEN), "whoever prints the URL may print it into a log");
    assert_eq!(get(&console, "/").0, 200, "pages are no secret");
    let Told(status, head, _) = ask(&console, NODES, "");
    assert!(status == 401 && head.contains("www-authenticate: bearer"), "{head}");
    assert_eq!(ask(&console, NODES, "authorization: Bearer another-token-of-some\r\n").0, 401);
    assert_eq!(ask(&console, NODES, &format!("authorization: Bearer {TOKEN}\r\n")).0, 200);
    node.shutdown().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error() {
    let node = node(None).await;
    let taken = TcpListener::bind(here()).unwrap();
    let refused = Console::at(taken.local_addr().unwrap()).serve(&node);
    assert!(matches!(refused, Err(ConsoleError::Bind { .. })), "{refused:?}");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_calls_as_a_guest_that_rules_can_keep_out() {
    let call = r#"{"call":{"service":"hall.Hall","method":"who","arguments":{},"timeout_ms":5000}}"#;
    let open = node(None).await;
    let console = Console::at(here()).serve(&open).unwrap();
    assert_eq!(ask(&console, call, "").2, r#"{"value":"client/console"}"#);
    open.shutdown().await;

    let closed = node(Some(Rules::new().allow(["node/*"], ["*"]).unwrap())).await;
    let console = Console::at(here()).serve(&closed).unwrap();
    let refused = ask(&console, call, "").2;
    assert!(refused.contains("NotExecuted") && refused.contains("client/console"), "{refused}");
    closed.shutdown().await;
}

#[tokio::test]
async fn it_ends_with_its_node_and_when_it_is_dropped() {
    let node = node(None).await;
    let console = Console::at(here()).serve(&node).unwrap();
    let address = console.address();
    node.shutdown().await;
    assert_eq!(ask(&console, NODES, "").0, 503, "it says so");
    drop(console);
    let is_free = || TcpListener::bind(address).is_ok();
    for _ in 0..100 {
        if is_free() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the console still listens on {address}");
}
