//! The server's process: runs one system's server and keeps the books of one-way messages.
//!
//! It talks with its driver over its standard streams, never over the connection that is measured: it prints [`Ready`]
//! on one line, answers each line of input with a [`Tally`], both as JSON, and ends when its input does, so that no
//! server survives its driver.

use std::{
    io::{self, BufRead, Write},
    sync::Arc,
};

use anyhow::Result;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use crate::{
    args::Serve,
    certificates::Certificates,
    load::{Books, Counter, Tally},
    scenarios::{self, Scenario, Shape},
    system::System,
};

/// What a system's server is given.
#[derive(Clone, Debug)]
pub struct Host {
    /// Both sides' identities.
    pub certificates: Certificates,
    /// What will be asked of the server.
    pub scenario: &'static Scenario,
    /// Which of several servers.
    pub index: usize,
    /// How many idle services to have beside the one that is called.
    pub idle_services: usize,
    books: Arc<Mutex<Vec<Arc<Books>>>>,
}

/// What a server tells its driver when it listens.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) port: u16,
    /// Further processes that the server needs.
    pub(crate) helpers: Vec<u32>,
}

/// Is a server until its input ends.
pub(crate) fn serve<S: System>(options: &Serve) -> Result<()> {
    let host = Host {
        index: options.index,
        idle_services: options.idle_services,
        ..Host::new(Certificates::open(&options.certificates), scenarios::find(&options.scenario)?)
    };
    let runtime = S::THREADS.runtime()?;
    let outcome = runtime.block_on(async {
        tokio::select! {
            ended = S::serve(host.clone()) => ended,
            asked = spawn_blocking(move || answer(&host)) => asked?,
        }
    });
    // Whoever answers may still wait for a line.
    runtime.shutdown_background();
    outcome
}

fn answer(host: &Host) -> Result<()> {
    for line in io::stdin().lock().lines() {
        line?;
        print_line(&serde_json::to_string(&host.tally())?)?;
    }
    Ok(())
}

fn print_line(line: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

// === impl Host ===

impl Host {
    pub(crate) fn new(certificates: Certificates, scenario: &'static Scenario) -> Self {
        Self { certificates, scenario, index: 0, idle_services: 0, books: Arc::default() }
    }

    /// Tells the driver that the server listens on this port.
    ///
    /// # Errors
    /// The driver has gone.
    pub fn ready(&self, port: u16) -> Result<()> {
        self.ready_with(port, Vec::new())
    }

    /// The same for a server that needs further processes, which are measured with it.
    ///
    /// # Errors
    /// The driver has gone.
    pub fn ready_with(&self, port: u16, helpers: Vec<u32>) -> Result<()> {
        print_line(&serde_json::to_string(&Ready { port, helpers })?)
    }

    /// A counter for one flow.
    #[must_use]
    pub fn counter(&self) -> Counter {
        let books = Arc::<Books>::default();
        self.books.lock().push(books.clone());
        Counter::new(books, matches!(self.scenario.shape, Shape::Flood(_)))
    }

    /// What all flows together came to so far.
    pub(crate) fn tally(&self) -> Tally {
        self.books.lock().iter().map(|books| books.tally()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flows_of_a_server_add_up() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::new(Certificates::open(folder.path()), scenarios::find("S10").unwrap());
        let (mut one, mut other) = (host.counter(), host.counter());
        one.count(&0u64.to_le_bytes());
        other.count(&0u64.to_le_bytes());
        other.count(&7u64.to_le_bytes());
        assert_eq!(host.tally(), Tally { received: 3, order_breaks: 1 });
    }
}
