//! qmesh: nodes, service actors, calls by name; every feature that is on by default is on.

mod node;
mod peer;
mod placement;
mod shelf;

use std::{future::pending, marker::PhantomData, time::Duration};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use qmesh::{Authority, Identity, MemoryNetwork, Node, ServiceClient as _};
use qmesh_bench_harness::{
    host::Host,
    load::{Counter, Flow, Lifetimes, Order},
    scenarios,
    system::{Client, System, Target, Threads},
};
use tokio::runtime::Handle;

pub(super) use self::placement::{OneThread, Shard, Watched, Workers};
use self::{
    peer::{PeerClient, message},
    placement::Placement,
};

/// qmesh, from the client's call to the handler of a supervised actor.
pub(super) struct Qmesh<P>(PhantomData<P>);

/// A node, and its client of the service.
#[derive(Clone)]
pub(super) struct Caller {
    node: Node,
    peer: PeerClient,
    /// How many services take one-way messages.
    services: usize,
    /// Where the callers run: beside the sessions.
    place: Handle,
}

/// How long a stream of items may take to begin.
const OPENING_MAX: Duration = Duration::from_secs(10);

impl<P: Placement> System for Qmesh<P> {
    const NAME: &'static str = P::NAME;
    const THREADS: Threads = P::THREADS;
    const SCENARIOS: &'static [&'static str] = P::SCENARIOS;
    type Client = Caller;

    async fn serve(host: Host) -> Result<()> {
        let builder = node::builder(&format!("server-{}", host.index), host.scenario, P::SHARDS)
            .identity(node::identity(&host.certificates)?);
        let builder = match host.scenario.services() {
            1 => shelf::idle(builder, host.idle_services),
            _ => shelf::counting(builder, &host),
        };
        let node = peer::serve(builder, &host).start().await?;
        node::look_at(&node, P::IS_WATCHED);
        let address = node.addresses().into_iter().find_map(|address| address.socket());
        host.ready(address.context("no socket")?.port())?;
        pending().await
    }

    async fn connect(target: Target) -> Result<Caller> {
        let node = node::builder(&format!("client-{}", target.index), target.scenario, P::SHARDS)
            .identity(node::identity(&target.certificates)?)
            .seeds(node::seeds(&target))
            .start()
            .await?;
        node::wait_for(&node, peer::NAME, target.addresses.len()).await?;
        node::look_at(&node, P::IS_WATCHED);
        let place = node.spawn(async { Handle::current() }).await?;
        Ok(Caller { peer: node.client(), services: target.scenario.services(), node, place })
    }

    async fn connect_here(host: Host) -> Result<Caller> {
        let builder =
            node::builder("only", host.scenario, P::SHARDS).identity(node::identity(&host.certificates)?);
        let node = peer::serve(builder, &host).start().await?;
        let place = node.spawn(async { Handle::current() }).await?;
        Ok(Caller { peer: node.client(), services: 1, node, place })
    }

    /// Services start and stop with their node. One that is dropped ends at once, without time to drain.
    async fn start_and_stop(lifetimes: Lifetimes) -> Result<()> {
        let identity = Identity::issued_by(&Authority::ephemeral("bench")?);
        let builder = node::builder("only", scenarios::find("S8-start")?, P::SHARDS)
            .identity(identity)
            .memory(&MemoryNetwork::new(1));
        let node = shelf::living(builder, &lifetimes).start().await?;
        drop(node);
        Ok(())
    }
}

impl Client for Caller {
    fn place(&self) -> Handle {
        self.place.clone()
    }

    async fn call(&mut self, payload: Bytes) -> Result<Bytes> {
        Ok(self.peer.echo(payload).await?)
    }

    /// A single sender's service is the one that is called; several have one on the shelf each.
    async fn send_all(&mut self, service: usize, mut flow: Flow) -> Result<()> {
        if self.services > 1 {
            let send = shelf::SENDERS.get(service).context("no such service")?;
            return send(self.node.clone(), flow).await;
        }
        // A balanced client promises no order: a session that replaces another is another way.
        let peer = self.peer.pinned();
        while let Some(bytes) = flow.next() {
            peer.tell(message(bytes)?).await?;
        }
        Ok(())
    }

    async fn receive_all(&mut self, order: Order, counter: &mut Counter) -> Result<()> {
        let mut items = self.peer.items(order.item_bytes, order.length_ms).timeout(OPENING_MAX).await?;
        while let Some(item) = items.recv().await? {
            counter.count(&item);
        }
        Ok(())
    }

    async fn open_channels(&mut self) -> Result<usize> {
        for ping in shelf::PINGS {
            ping(self.node.clone()).await?;
        }
        Ok(shelf::PINGS.len())
    }
}
