//! A `nats-server` on a port that it chooses.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

/// How long it may take to listen, and how often it is looked at.
const START_MAX: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A running server. Ends when dropped.
pub(super) struct Broker {
    pub(super) port: u16,
    pub(super) process: u32,
    _child: Child,
}

/// What it writes of its ports.
#[derive(Deserialize)]
struct Ports {
    nats: Vec<String>,
}

// === impl Broker ===

impl Broker {
    /// Starts one; resolves when it listens.
    pub(super) async fn start(folder: &Path) -> Result<Self> {
        let child = Command::new("nats-server")
            .args(["--addr", "127.0.0.1", "--port", "-1", "--ports_file_dir"])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start nats-server")?;
        let process = child.id().context("nats-server ended at once")?;
        let file = folder.join(format!("nats-server_{process}.ports"));
        Ok(Self { port: port(&file).await?, process, _child: child })
    }
}

/// The port that is in the file, once there is one.
async fn port(file: &PathBuf) -> Result<u16> {
    let begin = Instant::now();
    loop {
        let ports = fs::read(file).ok().and_then(|text| serde_json::from_slice::<Ports>(&text).ok());
        if let Some(url) = ports.and_then(|ports| ports.nats.into_iter().next()) {
            let (_, port) = url.rsplit_once(':').context("a URL without a port")?;
            return Ok(port.parse()?);
        }
        ensure!(begin.elapsed() < START_MAX, "nats-server does not listen");
        sleep(LOOK_EVERY).await;
    }
}
