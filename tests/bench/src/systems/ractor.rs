//! ractor's own actors in one process: what S8 compares with.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use qmesh_bench_harness::{
    host::Host,
    load::{Counter, Flow, Life, Lifetimes},
    system::{Client, System, Target, Threads},
};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, concurrency::JoinHandle, rpc::CallResult};

/// ractor, without a network.
pub(super) struct Ractor;

/// A one-way sender waits for the actor after so many messages: a mailbox has no bound.
const MESSAGES_PER_WAIT: u64 = 1024;

/// How many actors start and stop at a time: as many as a node of qmesh has here.
const ACTORS: usize = 16;

struct Service;

/// What the actor is told.
enum Message {
    Echo(Bytes, RpcReplyPort<Bytes>),
    Tell([u8; 64]),
}

/// The actor, as callers have it.
#[derive(Clone)]
pub(super) struct Caller {
    actor: ActorRef<Message>,
}

impl System for Ractor {
    const NAME: &'static str = "ractor";
    const THREADS: Threads = Threads::One;
    const SCENARIOS: &'static [&'static str] = &["S8", "S8-oneway", "S8-start", "S11-service"];
    type Client = Caller;

    /// Only for what an idle actor needs.
    async fn serve(host: Host) -> Result<()> {
        let mut actors = Vec::new();
        for _ in 0..=host.idle_services {
            actors.push(spawn(&host).await?);
        }
        host.ready(0)?;
        std::future::pending().await
    }

    async fn connect(_: Target) -> Result<Caller> {
        bail!("ractor has no network");
    }

    async fn connect_here(host: Host) -> Result<Caller> {
        Ok(Caller { actor: spawn(&host).await?.0 })
    }

    async fn start_and_stop(lifetimes: Lifetimes) -> Result<()> {
        let mut actors = Vec::new();
        for _ in 0..ACTORS {
            actors.push(Actor::spawn(None, Idle, lifetimes.clone()).await?);
        }
        for (actor, _) in &actors {
            actor.stop(None);
        }
        for (_, ended) in actors {
            ended.await?;
        }
        Ok(())
    }
}

async fn spawn(host: &Host) -> Result<(ActorRef<Message>, JoinHandle<()>)> {
    Ok(Actor::spawn(None, Service, host.counter()).await?)
}

// === impl Service ===

impl Actor for Service {
    type Msg = Message;
    type State = Counter;
    type Arguments = Counter;

    async fn pre_start(&self, _: ActorRef<Message>, counter: Counter) -> Result<Counter, ActorProcessingErr> {
        Ok(counter)
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        counter: &mut Counter,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            // A caller that has gone wants no answer.
            Message::Echo(payload, reply) => drop(reply.send(payload)),
            Message::Tell(payload) => counter.handle(&payload).await,
        }
        Ok(())
    }
}

/// An actor that does nothing.
struct Idle;

// === impl Idle ===

impl Actor for Idle {
    type Msg = ();
    type State = Life;
    type Arguments = Lifetimes;

    async fn pre_start(&self, _: ActorRef<()>, lifetimes: Lifetimes) -> Result<Life, ActorProcessingErr> {
        Ok(lifetimes.begin())
    }
}

// === impl Caller ===

impl Client for Caller {
    async fn call(&mut self, payload: Bytes) -> Result<Bytes> {
        match self.actor.call(|reply| Message::Echo(payload, reply), None).await? {
            CallResult::Success(answer) => Ok(answer),
            CallResult::Timeout | CallResult::SenderError => bail!("the actor did not answer"),
        }
    }

    async fn send_all(&mut self, _: usize, mut flow: Flow) -> Result<()> {
        for number in 1.. {
            let Some(message) = flow.next() else { break };
            let message = *message.first_chunk().context("a message of another size")?;
            self.actor.cast(Message::Tell(message)).ok().context("the actor has ended")?;
            if number % MESSAGES_PER_WAIT == 0 {
                self.call(Bytes::new()).await?;
            }
        }
        Ok(())
    }
}
