//! The stock services, called as anybody calls them.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::time::Duration;

use qmesh::{Authority, MemoryNetwork, prelude::*};
use qmesh_services::{
    Stock,
    clock::ClockClient,
    echo::{EchoClient, EchoError},
};
use serde_json::json;
use tokio::time::Instant;

struct Mesh {
    network: MemoryNetwork,
    authority: Authority,
}

impl Mesh {
    fn new() -> Self {
        Self { network: MemoryNetwork::new(3), authority: Authority::ephemeral("test").unwrap() }
    }

    fn node(&self, name: &str) -> qmesh::NodeBuilder {
        let identity = Identity::issued_by(&self.authority);
        let node = Node::builder(name).identity(identity).memory(&self.network).config(Config::local());
        node.seed(Address::memory("lobby"))
    }

    /// A node that serves all of the stock, and one that calls.
    async fn lobby_and_guest(&self) -> (Node, Node) {
        let lobby = Stock::ALL.into_iter().fold(self.node("lobby"), |node, stock| stock.serve(node));
        (lobby.start().await.unwrap(), self.node("guest").start().await.unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn echo_answers_what_it_is_told() {
    let mesh = Mesh::new();
    let (lobby, guest) = mesh.lobby_and_guest().await;
    for node in [&lobby, &guest] {
        assert_eq!(node.client::<EchoClient>().say("hello").await.unwrap(), "hello");
    }
}

#[tokio::test(start_paused = true)]
async fn echo_knows_the_caller_by_its_certificate() {
    let mesh = Mesh::new();
    let (_lobby, guest) = mesh.lobby_and_guest().await;
    let introduction = guest.client::<EchoClient>().who_am_i().await.unwrap();
    assert_eq!((introduction.caller.as_str(), introduction.node.as_str()), ("guest", "lobby"));
    assert_eq!(introduction.caller_id, guest.id().to_string());
}

#[tokio::test(start_paused = true)]
async fn echo_fails_with_its_own_error_when_asked_to() {
    let mesh = Mesh::new();
    let (_lobby, guest) = mesh.lobby_and_guest().await;
    let error = guest.client::<EchoClient>().fail("a test").await.unwrap_err();
    assert_eq!(error, CallError::Service(EchoError::Asked("a test".into())));
    assert_eq!(error.to_string(), "failed, as asked: a test");
}

#[tokio::test(start_paused = true)]
async fn the_clock_tells_the_time_of_its_node() {
    let mesh = Mesh::new();
    let (_lobby, guest) = mesh.lobby_and_guest().await;
    let clock = guest.client::<ClockClient>();
    let first = clock.now().await.unwrap();
    assert_eq!(first.node, "lobby");
    assert!(clock.now().await.unwrap().unix_ms >= first.unix_ms);
}

#[tokio::test(start_paused = true)]
async fn the_clock_waits_as_long_as_it_is_told() {
    let mesh = Mesh::new();
    let (_lobby, guest) = mesh.lobby_and_guest().await;
    let clock = guest.client::<ClockClient>();
    let before = clock.uptime_ms().await.unwrap();
    clock.wait(1500_u64).await.unwrap();
    let after = clock.uptime_ms().await.unwrap();
    assert!((1500..1700).contains(&(after - before)), "{before} {after}");
    let late = clock.wait(60_000_u64).timeout(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(late.outcome(), Outcome::Unknown);
}

#[tokio::test(start_paused = true)]
async fn echo_repeats_and_counts_streams() {
    let mesh = Mesh::new();
    let (_lobby, guest) = mesh.lobby_and_guest().await;
    let echo = guest.client::<EchoClient>();
    let texts = || Receiver::of(["one", "two"].map(str::to_owned));
    assert_eq!(echo.repeat(texts()).await.unwrap().collect().await.unwrap(), ["one", "two"]);
    assert_eq!(echo.count(texts()).await.unwrap(), 2);
    let (sender, cut) = qmesh::stream(1);
    sender.send("one".to_owned()).await.unwrap();
    drop(sender);
    let error = echo.count(cut).await.unwrap_err();
    assert!(matches!(&error, CallError::Service(EchoError::Cut(1, _))), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_clock_ticks() {
    let mesh = Mesh::new();
    let (_lobby, guest) = mesh.lobby_and_guest().await;
    let clock = guest.client::<ClockClient>();
    let mut ticks = clock.ticks(100_u64, Some(5)).await.unwrap();
    let start = Instant::now();
    for _ in 0..5 {
        assert_eq!(ticks.recv().await.unwrap().unwrap().node, "lobby");
    }
    assert_eq!(ticks.recv().await, Ok(None));
    assert!((400..500).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_clock_ticks_until_its_node_drains() {
    let mesh = Mesh::new();
    let (lobby, guest) = mesh.lobby_and_guest().await;
    let clock = guest.client::<ClockClient>();
    let without_end = clock.ticks(100_u64, None).await.unwrap();
    let counted = clock.ticks(100_u64, Some(30)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (without_end, counted, ()) = tokio::join!(without_end.collect(), counted.collect(), lobby.shutdown());
    assert!((10..13).contains(&without_end.unwrap().len()), "it ends in order");
    assert_eq!(counted.unwrap().len(), 30, "what was promised comes");
}

#[tokio::test(start_paused = true)]
async fn tools_reach_the_stock_by_name() {
    let mesh = Mesh::new();
    let (_lobby, guest) = mesh.lobby_and_guest().await;
    for (stock, method, arguments) in
        [(Stock::Echo, "say", json!({"text": "hello"})), (Stock::Clock, "uptime_ms", json!({}))]
    {
        let timeout = Duration::from_secs(5);
        guest.call_json(stock.name(), method, &arguments, timeout).await.unwrap();
    }
}

#[test]
fn a_service_that_is_not_in_stock_is_answered_with_those_that_are() {
    assert_eq!("echo.Echo".parse(), Ok(Stock::Echo));
    let error = "echo.Ego".parse::<Stock>().unwrap_err().to_string();
    assert_eq!(error, "there is no stock service `echo.Ego`; there are clock.Clock, echo.Echo");
}

#[tokio::test(start_paused = true)]
async fn every_stock_service_has_a_call_to_try_it_with() {
    let mesh = Mesh::new();
    let (lobby, guest) = mesh.lobby_and_guest().await;
    for stock in Stock::ALL {
        stock.call(&guest).await.unwrap();
    }
    lobby.shutdown().await;
    let soon = tokio::time::timeout(Duration::from_secs(1), Stock::Echo.call(&guest)).await;
    assert!(!matches!(soon, Ok(Ok(()))), "nobody is left to answer");
}
