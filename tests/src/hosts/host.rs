//! One host: its network, and the `qmesh serve` that runs in it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use super::network::{Network, tool};

/// Where every node listens.
pub(super) const PORT: u16 = 4433;
/// How long a node may take to start, or to end in order.
const PATIENCE: Duration = Duration::from_secs(20);

/// A host whose node runs.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) network: Network,
    serving: Serving,
    process: Child,
}

/// What a node is started with, again and again.
#[derive(Debug)]
pub(super) struct Serving {
    /// The binary.
    pub(super) qmesh: PathBuf,
    pub(super) service: &'static str,
    pub(super) seeds: Vec<String>,
    /// Certificate, key and all that the node remembers.
    pub(super) folder: PathBuf,
}

// === impl Host ===

impl Host {
    /// Starts a node in its network.
    pub(super) async fn start(network: Network, serving: Serving) -> Result<Self> {
        let process = serving.start(&network).await?;
        Ok(Self { network, serving, process })
    }

    pub(super) fn name(&self) -> &'static str {
        self.network.name
    }

    pub(super) fn url(&self) -> String {
        format!("quic://{}:{PORT}", self.network.address)
    }

    /// Asks the node to end, waits until it has, and starts it where the host is now.
    pub(super) async fn restart(&mut self) -> Result<()> {
        let id = self.process.id().context("the process has ended")?;
        tool(&format!("kill -TERM {id}"))?;
        let ended = timeout(PATIENCE, self.process.wait()).await.context("it does not end")??;
        ensure!(ended.success(), "{} ended with {ended}", self.name());
        self.process = self.serving.start(&self.network).await?;
        Ok(())
    }

    /// Ends the node without a word (SIGKILL).
    pub(super) async fn kill(&mut self) -> Result<()> {
        Ok(self.process.kill().await?)
    }

    /// What the node told last.
    pub(super) fn log(&self) -> String {
        let log = fs::read_to_string(self.serving.log()).unwrap_or_else(|error| error.to_string());
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

// === impl Serving ===

impl Serving {
    async fn start(&self, network: &Network) -> Result<Child> {
        let (name, url) = (network.name, format!("quic://{}:{PORT}", network.address));
        let mut serve = Command::new("ip");
        serve.args(["netns", "exec", name]).arg(&self.qmesh).args(["serve", self.service]);
        serve.args(["-o", "json", "--preset", "local", "--listen", &url]);
        for seed in &self.seeds {
            serve.args(["--seed", seed]);
        }
        serve
            .arg("--cert")
            .arg(certificate(&self.folder, name))
            .arg("--data-dir")
            .arg(self.folder.join("data"));
        let log = File::options().create(true).append(true).open(self.log())?;
        serve.env("RUST_LOG", "qmesh=info").stderr(log).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = serve.spawn()?;
        let stdout = process.stdout.take().context("its output is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let said = timeout(PATIENCE, lines.next_line()).await.context("it does not start")??;
        let told = || fs::read_to_string(self.log()).unwrap_or_default();
        ensure!(said.is_some_and(|said| said.contains(&url)), "{name} does not start: {}", told());
        Ok(process)
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }
}

/// Where `qmesh ca issue` puts the certificate of `name`.
pub(super) fn certificate(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.pem"))
}
