//! ractor_cluster: actors that are found in a process group and called on another node, over TCP without TLS.

mod service;

use std::{
    net::{Ipv4Addr, TcpListener},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use qmesh_bench_harness::{
    host::Host,
    load::Flow,
    system::{Client, Entry, System, Target, Threads},
};
use ractor::{Actor, ActorRef, concurrency::oneshot, pg, rpc::CallResult};
use ractor_cluster::{NodeServer, NodeServerMessage, client_connect};
use tokio::time::{Instant, sleep};

use crate::service::{Message, Service};

static SYSTEMS: &[Entry] = &[Entry::of::<RactorCluster>()];

/// ractor's own cluster.
struct RactorCluster;

/// The actors of the other node, by the number of their service.
#[derive(Clone)]
struct Caller {
    actors: Vec<ActorRef<Message>>,
}

/// How long the other node's actors may take to appear, and how often it is looked whether they have.
const JOINING_MAX: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// A one-way sender asks for a word of the actor after so many messages, and is never more than two words ahead: no queue
/// between them has a bound.
const MESSAGES_PER_WORD: u64 = 10_000;

fn main() -> Result<()> {
    qmesh_bench_harness::run(SYSTEMS)
}

impl System for RactorCluster {
    const NAME: &'static str = "ractor_cluster";
    const THREADS: Threads = Threads::One;
    const SCENARIOS: &'static [&'static str] = &["S1", "S2", "S3", "S4", "S5", "S10"];
    type Client = Caller;

    async fn serve(host: Host) -> Result<()> {
        for number in 0..host.scenario.services() {
            let (actor, _) = Actor::spawn(None, Service, host.counter()).await?;
            pg::join(group(number), vec![actor.get_cell()]);
        }
        let port = free_port()?;
        let _node = node("server", port).await?;
        host.ready(port)?;
        std::future::pending().await
    }

    async fn connect(target: Target) -> Result<Caller> {
        let node = node("client", free_port()?).await?;
        client_connect(&node, target.address()).await?;
        let mut actors = Vec::new();
        for number in 0..target.scenario.services() {
            actors.push(found(number).await?);
        }
        Ok(Caller { actors })
    }
}

/// The process group of a service.
fn group(number: usize) -> String {
    format!("bench-{number}")
}

/// A port that was free a moment ago: a node does not tell which one it has chosen.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

async fn node(name: &str, port: u16) -> Result<ActorRef<NodeServerMessage>> {
    let (cookie, host) = ("bench".to_owned(), "localhost".to_owned());
    let server = NodeServer::new(port, cookie, name.to_owned(), host, None, None)
        .with_listen_addr(Ipv4Addr::LOCALHOST.into());
    Ok(Actor::spawn(None, server, ()).await?.0)
}

/// The actor of a service, once the other node has told of it.
async fn found(number: usize) -> Result<ActorRef<Message>> {
    let begin = Instant::now();
    loop {
        if let Some(actor) = pg::get_members(&group(number)).into_iter().next() {
            return Ok(actor.into());
        }
        ensure!(begin.elapsed() < JOINING_MAX, "the other node has no service {number}");
        sleep(LOOK_EVERY).await;
    }
}

// === impl Caller ===

impl Client for Caller {
    async fn call(&mut self, payload: Bytes) -> Result<Bytes> {
        match self.actors[0].call(|reply| Message::Echo(payload.into(), reply), None).await? {
            CallResult::Success(answer) => Ok(answer.into()),
            CallResult::Timeout | CallResult::SenderError => bail!("the actor did not answer"),
        }
    }

    async fn send_all(&mut self, service: usize, mut flow: Flow) -> Result<()> {
        let actor = self.actors.get(service).context("no such service")?;
        let mut word = None;
        for number in 1.. {
            let Some(message) = flow.next() else { break };
            actor.send_message(Message::Tell(message.to_vec())).ok().context("the actor has ended")?;
            if number % MESSAGES_PER_WORD == 0 {
                let (asked, answer) = oneshot();
                let question = Message::Echo(Vec::new(), asked.into());
                actor.send_message(question).ok().context("the actor has ended")?;
                if let Some(earlier) = word.replace(answer) {
                    earlier.await.context("the actor did not answer")?;
                }
            }
        }
        Ok(())
    }
}
