//! What the benchmarks work on: a service, and a mesh in memory and in virtual time.

use qmesh::{
    Config, ServiceClient,
    testing::{Mesh, MeshBuilder},
};
use tokio::runtime::{Builder, Runtime};

/// What is called.
#[qmesh::service(name = "instructions.Peer")]
pub trait Peer {
    /// Answers with the number.
    #[idempotent]
    async fn echo(&self, number: u64) -> u64;
    /// Adds the number.
    #[oneway]
    async fn tell(&mut self, number: u64);
    /// The sum of what was told.
    async fn sum(&self) -> u64;
}

/// Sums up.
#[derive(Debug, Default)]
pub struct Sum(u64);

impl Peer for Sum {
    async fn echo(&self, number: u64) -> u64 {
        number
    }

    async fn tell(&mut self, number: u64) {
        self.0 += number;
    }

    async fn sum(&self) -> u64 {
        self.0
    }
}

/// A mesh whose clock stands still while anything can run, and a client on one of its nodes.
#[derive(Debug)]
pub struct World {
    runtime: Runtime,
    mesh: Mesh,
    /// The client, whose channel is open.
    pub client: PeerClient,
}

impl World {
    /// A node that serves, and one that calls it if `remote`: else, the first one calls itself.
    #[must_use]
    pub fn new(remote: bool, furnish: impl FnOnce(MeshBuilder) -> MeshBuilder) -> Self {
        // The first call takes the one trace that is kept: as time stands still, there is no other.
        Self::keeping(1, remote, furnish)
    }

    /// The same with nodes that keep so many traces each second.
    #[must_use]
    pub fn keeping(per_second: u32, remote: bool, furnish: impl FnOnce(MeshBuilder) -> MeshBuilder) -> Self {
        let mut config = Config::local();
        config.kept_traces_per_second = per_second;
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime in virtual time needs nothing");
        let (mesh, client) = runtime.block_on(async {
            let mesh = furnish(Mesh::builder().nodes(2).seed(7).config(config)).build().await;
            let client = mesh.client::<PeerClient>(usize::from(remote));
            client.echo(1).await.expect("the service answers");
            (mesh, client)
        });
        Self { runtime, mesh, client }
    }

    /// The same with its calls through layers or the like.
    #[must_use]
    pub fn with(self, furnish: impl FnOnce(PeerClient) -> PeerClient) -> Self {
        Self { client: furnish(self.client), ..self }
    }

    /// So many calls, one after the other.
    pub fn call(&self, count: u64) -> u64 {
        self.runtime.block_on(async {
            let mut sum = 0;
            for number in 0..count {
                sum += self.client.echo(number).await.expect("the service answers");
            }
            sum
        })
    }

    /// So many one-way sends, and a call behind them that sees them all.
    pub fn send(&self, count: u64) -> u64 {
        self.runtime.block_on(async {
            let client = self.client.pinned();
            for number in 0..count {
                client.tell(number).await.expect("the service has room");
            }
            client.sum().await.expect("the service answers")
        })
    }

    /// So many lookups in the directory of the calling node.
    #[must_use]
    pub fn look_up(&self, count: usize) -> usize {
        let node = self.mesh.node(1);
        (0..count).map(|_| node.directory().snapshot().endpoints("instructions.Peer").len()).sum()
    }
}
