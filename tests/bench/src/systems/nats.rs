//! NATS: both sides are clients of a `nats-server`, which the server's process starts and which is measured with it.

mod broker;

use anyhow::{Context, Result, ensure};
use async_nats::{Client, ConnectOptions, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use qmesh_bench_harness::{
    host::Host,
    load::{Counter, Flow},
    system::{self, System, Target, Threads},
};
use tokio::task::JoinSet;

use self::broker::Broker;

/// Core NATS.
pub(super) struct Nats;

/// One client.
#[derive(Clone)]
pub(super) struct Caller {
    client: Client,
}

const ECHO: &str = "bench.echo";
/// A one-way sender asks for a word of the receiver after so many messages, and is never more than two words ahead: NATS
/// pushes nobody back, it drops what a subscriber is too slow for. The window is below async-nats' own, 65,536.
const MESSAGES_PER_WORD: u64 = 25_000;

impl System for Nats {
    const NAME: &'static str = "nats";
    const THREADS: Threads = Threads::One;
    const SCENARIOS: &'static [&'static str] = &["S1", "S2", "S3", "S4", "S5", "S10"];
    type Client = Caller;

    async fn serve(host: Host) -> Result<()> {
        let broker = Broker::start(&host.certificates.folder()).await?;
        let client = connect(broker.port).await?;
        let mut services = JoinSet::new();
        services.spawn(answer(client.clone(), client.subscribe(ECHO).await?));
        for service in 0..host.scenario.services() {
            let messages = client.subscribe(tell(service)).await?;
            services.spawn(count(client.clone(), messages, host.counter()));
        }
        client.flush().await?;
        host.ready_with(broker.port, vec![broker.process])?;
        services.join_next().await.context("there are no services")??
    }

    async fn connect(target: Target) -> Result<Caller> {
        Ok(Caller { client: connect(target.address().port()).await? })
    }
}

async fn connect(port: u16) -> Result<Client> {
    Ok(ConnectOptions::new().connect(format!("nats://127.0.0.1:{port}")).await?)
}

/// The subject of the one-way messages to a service.
fn tell(service: usize) -> Subject {
    format!("bench.tell.{service}").into()
}

async fn answer(client: Client, mut calls: Subscriber) -> Result<()> {
    while let Some(call) = calls.next().await {
        client.publish(call.reply.context("a call without a way back")?, call.payload).await?;
    }
    Ok(())
}

async fn count(client: Client, mut messages: Subscriber, mut counter: Counter) -> Result<()> {
    while let Some(message) = messages.next().await {
        counter.count(&message.payload);
        if let Some(sender) = message.reply {
            client.publish(sender, Bytes::new()).await?;
        }
    }
    Ok(())
}

// === impl Caller ===

impl system::Client for Caller {
    async fn call(&mut self, payload: Bytes) -> Result<Bytes> {
        Ok(self.client.request(ECHO, payload).await?.payload)
    }

    async fn send_all(&mut self, service: usize, flow: Flow) -> Result<()> {
        let (subject, inbox) = (tell(service), Subject::from(self.client.new_inbox()));
        let mut words = self.client.subscribe(inbox.clone()).await?;
        for (number, message) in (1..).zip(flow.into_messages()) {
            if number % MESSAGES_PER_WORD > 0 {
                self.client.publish(subject.clone(), message).await?;
                continue;
            }
            self.client.publish_with_reply(subject.clone(), inbox.clone(), message).await?;
            if number > MESSAGES_PER_WORD {
                ensure!(words.next().await.is_some(), "the receiver has gone");
            }
        }
        Ok(self.client.flush().await?)
    }
}
