//! The callers' side.

use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use parking_lot::Mutex;
use qmesh_bench_harness::{
    load::{Counter, Flow, Order},
    system::Client,
};
use slab::Slab;
use tokio::{io::AsyncRead, sync::oneshot, task::JoinSet};

use super::{
    Wire, Writer,
    frames::{self, Frames, ONE_WAY, ORDER},
    outbox::Outbox,
};

/// How many streams are opened where it is about streams that are idle.
const IDLE_STREAMS: usize = 16;

/// One stream to each server, with many calls on it.
#[derive(Clone)]
pub(in crate::systems) struct Pipelines<W> {
    servers: Vec<(W, Pipeline)>,
    /// Where the next call goes.
    next: usize,
    /// Further streams, for as long as the client lives.
    further: Arc<Mutex<Vec<Pipeline>>>,
}

/// One stream with many calls on it.
#[derive(Clone)]
struct Pipeline {
    outbox: Arc<Outbox>,
    waiting: Arc<Waiting>,
    _tasks: Arc<JoinSet<Result<()>>>,
}

/// Who waits for which answer.
type Waiting = Mutex<Slab<oneshot::Sender<Bytes>>>;

// === impl Pipelines ===

impl<W: Wire> Pipelines<W> {
    /// Opens a stream to each server.
    pub(in crate::systems) async fn open(wires: Vec<W>) -> Result<Self> {
        let mut servers = Vec::new();
        for wire in wires {
            let pipeline = Pipeline::open(&wire).await?;
            servers.push((wire, pipeline));
        }
        Ok(Self { servers, next: 0, further: Arc::default() })
    }

    fn first(&self) -> Result<&(W, Pipeline)> {
        self.servers.first().context("there is no server")
    }

    /// Opens one more stream to the first server.
    async fn open_further(&self) -> Result<Pipeline> {
        let pipeline = Pipeline::open(&self.first()?.0).await?;
        self.further.lock().push(pipeline.clone());
        Ok(pipeline)
    }
}

impl<W: Wire> Client for Pipelines<W> {
    async fn call(&mut self, payload: Bytes) -> Result<Bytes> {
        let (_, pipeline) = &self.servers[self.next];
        self.next = (self.next + 1) % self.servers.len();
        pipeline.call(&payload).await
    }

    /// The first service is at the end of the stream that is there, each other one at the end of its own.
    async fn send_all(&mut self, service: usize, mut flow: Flow) -> Result<()> {
        let pipeline = if service == 0 { self.first()?.1.clone() } else { self.open_further().await? };
        while let Some(message) = flow.next() {
            pipeline.outbox.push_and_wait(ONE_WAY, message).await;
        }
        Ok(())
    }

    async fn receive_all(&mut self, order: Order, counter: &mut Counter) -> Result<()> {
        let (reader, mut writer) = self.first()?.0.open().await?;
        let mut request = bytes::BytesMut::new();
        frames::put(&mut request, ORDER, &order.encode());
        writer.write(request.freeze()).await?;
        let mut frames = Frames::new(reader);
        while frames.fill().await? {
            while let Some((_, item)) = frames.next() {
                counter.count(&item);
            }
        }
        Ok(())
    }

    async fn open_channels(&mut self) -> Result<usize> {
        for _ in 0..IDLE_STREAMS {
            // A stream is there for the other side when something was said on it.
            self.open_further().await?.call(b"hello").await?;
        }
        Ok(IDLE_STREAMS)
    }
}

// === impl Pipeline ===

impl Pipeline {
    async fn open<W: Wire>(wire: &W) -> Result<Self> {
        let (reader, writer) = wire.open().await?;
        let (outbox, waiting) = (Arc::<Outbox>::default(), Arc::<Waiting>::default());
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let outbox = outbox.clone();
            async move { outbox.write_to(writer).await }
        });
        tasks.spawn(deliver(reader, waiting.clone()));
        Ok(Self { outbox, waiting, _tasks: Arc::new(tasks) })
    }

    async fn call(&self, payload: &[u8]) -> Result<Bytes> {
        let (answer, answered) = oneshot::channel();
        let id = self.waiting.lock().insert(answer);
        self.outbox.push(u32::try_from(id)?, payload);
        answered.await.context("the connection ended")
    }
}

/// Gives answers to those who wait for them, until the stream ends; then nobody waits any longer.
async fn deliver(reader: impl AsyncRead + Unpin, waiting: Arc<Waiting>) -> Result<()> {
    let mut frames = Frames::new(reader);
    while frames.fill().await.unwrap_or(false) {
        while let Some((id, payload)) = frames.next() {
            if let Some(caller) = waiting.lock().try_remove(id as usize) {
                // A caller that has gone wants no answer.
                let _gone = caller.send(payload);
            }
        }
    }
    waiting.lock().clear();
    Ok(())
}
