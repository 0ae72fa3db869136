//! The service that is called.

use std::{fmt, sync::Arc};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use parking_lot::Mutex;
use qmesh::{NodeBuilder, Receiver};
use qmesh_bench_harness::{
    host::Host,
    load::{Counter, Order},
};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

/// Its name in the mesh.
pub(super) const NAME: &str = "bench.Peer";

/// A one-way message: a type of fixed size, as the others' messages need no allocation either.
pub(super) type Message = ByteArray<64>;

/// What is measured.
#[qmesh::service(name = "bench.Peer")]
pub(crate) trait Peer {
    /// Answers with the payload.
    #[idempotent]
    async fn echo(&self, payload: Bytes) -> Bytes;
    /// Counts the message, in order.
    #[oneway]
    async fn tell(&mut self, message: ByteArray<64>);
    /// Sends the items of an order.
    async fn items(&self, item_bytes: u32, length_ms: u32) -> Result<Receiver<Bytes>, BadOrder>;
}

/// An order that cannot be met.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BadOrder(String);

struct Service {
    counter: Counter,
}

/// Adds the service to a node.
pub(super) fn serve(builder: NodeBuilder, host: &Host) -> NodeBuilder {
    builder.serve(PeerServer::new(once(host.counter(), |counter| Service { counter })))
}

/// The message of these bytes.
pub(super) fn message(bytes: &[u8]) -> Result<Message> {
    Ok(ByteArray::new(*bytes.first_chunk().context("a message of another size")?))
}

/// A factory that works once: a service that panicked has spoilt the measurement, and is not to start anew.
pub(super) fn once<S>(counter: Counter, make: fn(Counter) -> S) -> impl Fn() -> S + Send + Sync + 'static
where
    S: 'static,
{
    let counter = Arc::new(Mutex::new(Some(counter)));
    move || make(counter.lock().take().expect("the service does not restart"))
}

// === impl BadOrder ===

impl std::error::Error for BadOrder {}

impl fmt::Display for BadOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Service ===

impl Peer for Service {
    async fn echo(&self, payload: Bytes) -> Bytes {
        payload
    }

    async fn tell(&mut self, message: Message) {
        self.counter.handle(&*message).await;
    }

    async fn items(&self, item_bytes: u32, length_ms: u32) -> Result<Receiver<Bytes>, BadOrder> {
        let flow = Order { item_bytes, length_ms }.flow().map_err(|error| BadOrder(error.to_string()))?;
        Ok(Receiver::of(flow.into_messages()))
    }
}
