//! The callers' side of the stream.

use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use parking_lot::Mutex;
use quinn::{Connection, Endpoint, RecvStream};
use slab::Slab;
use tokio::{sync::oneshot, task::JoinSet};

use super::{
    frames::{Frames, ONE_WAY},
    outbox::Outbox,
};
use crate::{load::Flow, systems::Client};

/// One stream with many calls on it.
#[derive(Clone)]
pub(in crate::systems) struct Pipeline {
    outbox: Arc<Outbox>,
    waiting: Arc<Waiting>,
    _open: Arc<Open>,
}

/// Who waits for which answer.
type Waiting = Mutex<Slab<oneshot::Sender<Bytes>>>;

/// What lives as long as the pipeline.
struct Open {
    _tasks: JoinSet<Result<()>>,
    _connection: Connection,
    _endpoint: Endpoint,
}

// === impl Pipeline ===

impl Pipeline {
    pub(super) async fn open(endpoint: Endpoint, connection: Connection) -> Result<Self> {
        let (send, receive) = connection.open_bi().await?;
        let (outbox, waiting) = (Arc::<Outbox>::default(), Arc::<Waiting>::default());
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let outbox = outbox.clone();
            async move { outbox.write_to(send).await }
        });
        tasks.spawn(deliver(receive, waiting.clone()));
        let open = Open { _tasks: tasks, _connection: connection, _endpoint: endpoint };
        Ok(Self { outbox, waiting, _open: Arc::new(open) })
    }
}

impl Client for Pipeline {
    async fn call(&mut self, payload: Bytes) -> Result<Bytes> {
        let (answer, answered) = oneshot::channel();
        let id = self.waiting.lock().insert(answer);
        self.outbox.push(u32::try_from(id)?, &payload);
        answered.await.context("the connection ended")
    }

    async fn send_all(&mut self, mut flow: Flow) -> Result<()> {
        while let Some(message) = flow.next() {
            self.outbox.push_and_wait(ONE_WAY, message).await;
        }
        Ok(())
    }
}

/// Gives answers to those who wait for them, until the stream ends; then nobody waits any longer.
async fn deliver(receive: RecvStream, waiting: Arc<Waiting>) -> Result<()> {
    let mut frames = Frames::new(receive);
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
