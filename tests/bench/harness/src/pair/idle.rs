//! What the server's memory grows by with things that are there and do nothing.

use std::{path::Path, time::Duration};

use anyhow::{Result, ensure};
use tokio::time::sleep;

use super::{megabytes, server::Server};
use crate::{
    certificates::Certificates,
    sample::{Figures, Sample},
    scenarios::{Resource, Scenario},
    system::{Client, System, Target},
    usage::Process,
};

/// Idle sessions, one client each.
const SESSIONS: usize = 64;
/// Clients that open channels.
const CLIENTS: usize = 4;
/// Idle services.
const SERVICES: usize = 16;
/// How long everything rests until it counts as idle.
const REST: Duration = Duration::from_secs(3);

pub(super) async fn measure<S: System>(scenario: &'static Scenario, resource: Resource) -> Result<Sample> {
    let folder = tempfile::tempdir()?;
    let idle = Idle { scenario, folder: folder.path(), certificates: Certificates::create(folder.path())? };
    let (before, after, count) = match resource {
        Resource::Session => idle.sessions::<S>().await?,
        Resource::Channel => idle.channels::<S>().await?,
        Resource::Service => idle.services::<S>().await?,
    };
    ensure!(
        count > 0 && after > before,
        "nothing was opened, or it needs no memory: {before} to {after} bytes"
    );
    let figures = Figures {
        idle_kb: Some((after - before) as f64 / 1e3 / count as f64),
        rss_mb: Some(megabytes(after)),
        ..Figures::default()
    };
    Ok(Sample { figures, delivery: None })
}

/// Where it is measured.
struct Idle<'a> {
    scenario: &'static Scenario,
    folder: &'a Path,
    certificates: Certificates,
}

/// The server's memory before and after, and how many things it has more.
type Growth = (u64, u64, usize);

// === impl Idle ===

impl Idle<'_> {
    async fn sessions<S: System>(&self) -> Result<Growth> {
        let server = self.server::<S>(0).await?;
        // What the first one needs, the others share.
        let mut clients = vec![self.connect::<S>(&server, 0).await?];
        let before = settled(&server).await?;
        for index in 1..=SESSIONS {
            clients.push(self.connect::<S>(&server, index).await?);
        }
        let after = settled(&server).await?;
        server.end().await?;
        Ok((before, after, SESSIONS))
    }

    async fn channels<S: System>(&self) -> Result<Growth> {
        let server = self.server::<S>(SERVICES).await?;
        let mut clients = Vec::new();
        for index in 0..CLIENTS {
            clients.push(self.connect::<S>(&server, index).await?);
        }
        let before = settled(&server).await?;
        let mut opened = 0;
        for client in &mut clients {
            opened += client.open_channels().await?;
        }
        let after = settled(&server).await?;
        server.end().await?;
        Ok((before, after, opened))
    }

    async fn services<S: System>(&self) -> Result<Growth> {
        let mut bytes = [0; 2];
        for (bytes, services) in bytes.iter_mut().zip([0, SERVICES]) {
            let server = self.server::<S>(services).await?;
            *bytes = settled(&server).await?;
            server.end().await?;
        }
        let [before, after] = bytes;
        Ok((before, after, SERVICES))
    }

    async fn server<S: System>(&self, services: usize) -> Result<Server> {
        Server::start::<S>(self.scenario, self.folder, 0, services).await
    }

    async fn connect<S: System>(&self, server: &Server, index: usize) -> Result<S::Client> {
        let certificates = self.certificates.clone();
        let addresses = vec![server.address];
        S::connect(Target { addresses, certificates, scenario: self.scenario, index }).await
    }
}

/// The memory of a server after a rest.
async fn settled(server: &Server) -> Result<u64> {
    sleep(REST).await;
    server.processes.iter().map(Process::anonymous_bytes).sum()
}
