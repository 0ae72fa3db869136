//! qmesh: two nodes, a service actor, calls by name; every feature that is on by default is on.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use parking_lot::Mutex;
use qmesh::{Address, Identity, Node};
use serde_bytes::ByteArray;

use super::{System, Target, Threads};
use crate::{
    host::{Counter, Host},
    load::Flow,
    scenarios::Shape,
};

/// qmesh, from the client's call to the handler of a supervised actor.
pub(super) struct Qmesh;

/// The size of a one-way message: a type of fixed size, as the others' messages need no allocation either.
const MESSAGE_BYTES: usize = 64;

/// What is measured.
#[qmesh::service(name = "bench.Peer")]
pub(crate) trait Peer {
    /// Answers with the payload.
    #[idempotent]
    async fn echo(&self, payload: Bytes) -> Bytes;
    /// Counts the message, in order.
    #[oneway]
    async fn tell(&mut self, message: ByteArray<MESSAGE_BYTES>);
}

struct Service {
    counter: Counter,
}

impl Peer for Service {
    async fn echo(&self, payload: Bytes) -> Bytes {
        payload
    }

    async fn tell(&mut self, message: ByteArray<MESSAGE_BYTES>) {
        self.counter.count(&*message);
    }
}

/// A node, and its client of the service.
#[derive(Clone)]
pub(crate) struct Caller {
    _node: Node,
    peer: PeerClient,
}

impl System for Qmesh {
    const NAME: &'static str = "qmesh";
    const THREADS: Threads = Threads::One;
    const SHAPES: &'static [Shape] = &[Shape::Unary, Shape::OneWay];
    type Client = Caller;

    async fn serve(host: Host) -> Result<()> {
        let identity = identity(&host.certificates.folder())?;
        let counter = Arc::new(Mutex::new(Some(host.counter())));
        let factory =
            move || Service { counter: counter.lock().take().expect("the service does not restart") };
        let node = Node::builder("server").identity(identity).serve(PeerServer::new(factory)).start().await?;
        let address = node.addresses().into_iter().find_map(|address| address.socket());
        host.ready(address.context("no socket")?.port())?;
        std::future::pending().await
    }

    async fn connect(target: Target) -> Result<Caller> {
        let identity = identity(&target.certificates.folder())?;
        let seed = Address::quic(target.address);
        let node = Node::builder("client").identity(identity).seed(seed).start().await?;
        let peer = node.client::<PeerClient>();
        peer.echo(Bytes::new()).timeout(Duration::from_secs(10)).await?;
        Ok(Caller { _node: node, peer })
    }
}

fn identity(folder: &Path) -> Result<Identity> {
    Ok(Identity::dev(folder.join("qmesh"))?)
}

impl super::Client for Caller {
    async fn call(&mut self, payload: Bytes) -> Result<Bytes> {
        Ok(self.peer.echo(payload).await?)
    }

    async fn send_all(&mut self, mut flow: Flow) -> Result<()> {
        while let Some(message) = flow.next() {
            let message = message.first_chunk().context("a message of another size")?;
            self.peer.tell(ByteArray::new(*message)).await?;
        }
        Ok(())
    }
}
