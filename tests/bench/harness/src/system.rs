//! The systems: what one must be able to do, and a row of the table of those that can.

use std::{future::Future, net::SocketAddr};

use anyhow::{Result, anyhow};
use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};

use crate::{
    args,
    certificates::Certificates,
    host::{self, Host},
    load::{Counter, Flow, Lifetimes, Order},
    pair,
    scenarios::Scenario,
};

/// How one system serves and is reached.
///
/// Both sides present certificates where the system can, and all calls of a driver use one connection to each server. A
/// system implements what its scenarios ask for; the rest says that it cannot.
pub trait System: 'static {
    /// What it is called on the command line and in every table.
    const NAME: &'static str;
    /// The tokio runtime that suits it best, for every process.
    const THREADS: Threads;
    /// The ids of the scenarios that it can do.
    const SCENARIOS: &'static [&'static str];
    /// Its client.
    type Client: Client;

    /// Listens on loopback, tells [`Host::ready`] the port, and serves until it is cancelled: a call is answered
    /// with its own payload, a one-way message is given to a [`Host::counter`], and an [`Order`] is answered with
    /// the items that it asks for.
    fn serve(host: Host) -> impl Future<Output = Result<()>> + Send;

    /// Connects to the servers.
    fn connect(target: Target) -> impl Future<Output = Result<Self::Client>> + Send;

    /// Serves and connects within this process.
    fn connect_here(host: Host) -> impl Future<Output = Result<Self::Client>> + Send {
        async move {
            drop(host);
            Err(cannot::<Self>())
        }
    }

    /// Starts some service actors, one after the other, and then stops all of them; each has a life.
    fn start_and_stop(lifetimes: Lifetimes) -> impl Future<Output = Result<()>> + Send {
        async move {
            drop(lifetimes);
            Err(cannot::<Self>())
        }
    }
}

/// A connection, or one to each of several servers. Clones share it.
pub trait Client: Clone + Send + 'static {
    /// One call; resolves to its answer.
    fn call(&mut self, payload: Bytes) -> impl Future<Output = Result<Bytes>> + Send {
        async move {
            drop(payload);
            Err(anyhow!("this system has no calls"))
        }
    }

    /// Sends every message of `flow` to the service of this number, in order and under the system's own back-pressure.
    /// May resolve before all of them have arrived.
    fn send_all(&mut self, service: usize, flow: Flow) -> impl Future<Output = Result<()>> + Send {
        async move {
            drop(flow);
            Err(anyhow!("this system has no one-way messages to service {service}"))
        }
    }

    /// Receives the items of one order, in a stream beside the calls, until its end.
    fn receive_all(
        &mut self,
        order: Order,
        counter: &mut Counter,
    ) -> impl Future<Output = Result<()>> + Send {
        async move {
            let _nothing_to_count = (order, counter);
            Err(anyhow!("this system has no streams of items"))
        }
    }

    /// Opens channels that stay open and idle as long as the client lives; tells how many.
    fn open_channels(&mut self) -> impl Future<Output = Result<usize>> + Send {
        async { Err(anyhow!("this system has no channels")) }
    }
}

/// Where a client finds its servers.
#[derive(Clone, Debug)]
pub struct Target {
    /// Each server's address.
    pub addresses: Vec<SocketAddr>,
    /// Both sides' identities.
    pub certificates: Certificates,
    /// What will be asked of the client.
    pub scenario: &'static Scenario,
    /// Which of several clients in this process.
    pub index: usize,
}

/// A client of systems that are only ever a server.
#[derive(Clone, Copy, Debug)]
pub enum NoClient {}

/// Which tokio runtime a system runs on.
#[derive(Clone, Copy, Debug)]
pub enum Threads {
    /// `current_thread`.
    One,
    /// The default: a worker a core.
    PerCore,
}

/// A row of the table of systems.
#[derive(Debug)]
pub struct Entry {
    pub(crate) name: &'static str,
    pub(crate) scenarios: &'static [&'static str],
    pub(crate) program: Program,
    /// A command that has to be there.
    pub(crate) needs: Option<&'static str>,
}

/// What runs a system.
#[derive(Debug)]
pub(crate) enum Program {
    /// This binary.
    Here(Here),
    /// The binary of another package of this workspace, which is built when it is needed.
    Package(&'static str),
}

/// A system that is in this binary.
#[derive(Debug)]
pub(crate) struct Here {
    serve: fn(&args::Serve) -> Result<()>,
    drive: fn(&args::Drive) -> Result<()>,
}

/// The system of this name in this binary.
pub(crate) fn here(systems: &'static [Entry], name: &str) -> Result<&'static Here> {
    match &find(systems, name)?.program {
        Program::Here(here) => Ok(here),
        Program::Package(package) => Err(anyhow!("{name} is in the package {package}")),
    }
}

/// The system of this name.
pub(crate) fn find(systems: &'static [Entry], name: &str) -> Result<&'static Entry> {
    let names = || systems.iter().map(|system| system.name).collect::<Vec<_>>().join(", ");
    systems
        .iter()
        .find(|system| system.name == name)
        .ok_or_else(|| anyhow!("no system {name}: there are {}", names()))
}

fn cannot<S: System + ?Sized>() -> anyhow::Error {
    anyhow!("{} cannot do this", S::NAME)
}

// === impl Target ===

impl Target {
    /// The address of the only server, or of the first of several.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }
}

// === impl NoClient ===

impl Client for NoClient {}

// === impl Entry ===

impl Entry {
    /// A system of this binary.
    #[must_use]
    pub const fn of<S: System>() -> Self {
        let program = Program::Here(Here { serve: host::serve::<S>, drive: pair::drive::<S> });
        Self { name: S::NAME, scenarios: S::SCENARIOS, program, needs: None }
    }

    /// A system of another package, whose binary has the package's name.
    #[must_use]
    pub const fn of_package(
        package: &'static str,
        name: &'static str,
        scenarios: &'static [&'static str],
    ) -> Self {
        Self { name, scenarios, program: Program::Package(package), needs: None }
    }

    /// It is measured where this command is installed.
    #[must_use]
    pub const fn needing(self, command: &'static str) -> Self {
        Self { needs: Some(command), ..self }
    }
}

// === impl Here ===

impl Here {
    pub(crate) fn serve(&self, options: &args::Serve) -> Result<()> {
        (self.serve)(options)
    }

    pub(crate) fn drive(&self, options: &args::Drive) -> Result<()> {
        (self.drive)(options)
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
