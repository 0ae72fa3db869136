//! The systems: what one must be able to do, and the table of those that can.
//!
//! To add a system, write one file that implements [`System`] and [`Client`], and name it in [`SYSTEMS`].

mod qmesh;
mod quinn_pipelined;
mod tonic_mtls;

use std::{future::Future, net::SocketAddr};

use anyhow::{Result, anyhow};
use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};

use crate::{
    args::{Drive, Serve},
    certificates::Certificates,
    host::{self, Host},
    load::Flow,
    pair,
    scenarios::Shape,
};

/// The system that the others are related to: it shows what the wire allows.
pub(crate) const BASELINE: &str = "quinn-pipelined";

/// Every system, in the order of a round's turns.
pub(crate) static SYSTEMS: &[Entry] = &[
    Entry::of::<qmesh::Qmesh>(),
    Entry::of::<quinn_pipelined::QuinnPipelined>(),
    Entry::of::<tonic_mtls::TonicMtls>(),
];

/// How one system serves and is reached.
///
/// Both sides present certificates where the system can, and all traffic of a pair uses one connection.
pub(crate) trait System: 'static {
    /// What it is called on the command line and in every table.
    const NAME: &'static str;
    /// The tokio runtime that suits it best, for either process.
    const THREADS: Threads;
    /// What it can do; other scenarios are left out.
    const SHAPES: &'static [Shape];
    /// Its client.
    type Client: Client;

    /// Listens on loopback, tells [`Host::ready`] the port, and serves until it is cancelled: a call is answered
    /// with its own payload, a one-way message is given to [`Host::counter`].
    fn serve(host: Host) -> impl Future<Output = Result<()>> + Send;

    /// Connects to the server.
    fn connect(target: Target) -> impl Future<Output = Result<Self::Client>> + Send;
}

/// One connection. Clones share it.
pub(crate) trait Client: Clone + Send + 'static {
    /// One call; resolves to its answer.
    fn call(&mut self, payload: Bytes) -> impl Future<Output = Result<Bytes>> + Send;

    /// Sends every message of `flow`, in order and under the system's own back-pressure. May resolve before all of
    /// them have arrived. Systems without [`Shape::OneWay`] need not implement it.
    fn send_all(&mut self, flow: Flow) -> impl Future<Output = Result<()>> + Send {
        async move {
            drop(flow);
            Err(anyhow!("this system has no one-way messages"))
        }
    }
}

/// Where a client finds its server.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) certificates: Certificates,
}

/// Which tokio runtime a system runs on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Threads {
    /// `current_thread`.
    One,
    /// The default: a worker a core.
    #[expect(dead_code, reason = "a choice for systems to come; so far one thread suits all of them")]
    PerCore,
}

/// A row of [`SYSTEMS`].
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) shapes: &'static [Shape],
    /// Is the server of a pair, until it is told to end.
    pub(crate) serve: fn(&Serve) -> Result<()>,
    /// Is the driver of a pair; prints its sample.
    pub(crate) drive: fn(&Drive) -> Result<()>,
}

/// The names of all systems.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    SYSTEMS.iter().map(|system| system.name)
}

/// The system of this name.
pub(crate) fn find(name: &str) -> Result<&'static Entry> {
    SYSTEMS.iter().find(|system| system.name == name).ok_or_else(|| anyhow!("no system {name}"))
}

// === impl Entry ===

impl Entry {
    const fn of<S: System>() -> Self {
        Self { name: S::NAME, shapes: S::SHAPES, serve: host::serve::<S>, drive: pair::drive::<S> }
    }
}

// === impl Threads ===

impl Threads {
    /// A runtime of this kind.
    pub(crate) fn runtime(self) -> Result<Runtime> {
        let mut builder = match self {
            Self::One => Builder::new_current_thread(),
            Self::PerCore => Builder::new_multi_thread(),
        };
        Ok(builder.enable_all().build()?)
    }
}
