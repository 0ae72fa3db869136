//! An endpoint in a process of its own.

use std::{path::Path, process::Stdio};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// What the process prints when it serves.
const READY: &str = "ready";

/// The argument of a process that keeps its sessions while the machine stands still.
pub const PATIENT: &str = "patient";

/// A process that serves [`work`](crate::work) and [`shapes`](crate::shapes), or calls the latter. It ends with this
/// value, or when its standard input is closed.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts `binary` as the node `name` with a data directory, and waits until it serves.
    ///
    /// # Errors
    /// It ended, or said something else.
    pub async fn start(binary: &str, data_dir: &Path, name: &str) -> Result<Self> {
        Self::run(Command::new(binary).arg(data_dir).arg(name), name).await
    }

    /// The same, with [`Mesh::quic_config`](crate::Mesh::quic_config).
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_patient(binary: &str, data_dir: &Path, name: &str) -> Result<Self> {
        Self::run(Command::new(binary).arg(data_dir).args([name, PATIENT]), name).await
    }

    /// Starts `binary` as the node `name` that calls the method `shape` of [`shapes`](crate::shapes) without end.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn call(binary: &str, data_dir: &Path, name: &str, shape: &str) -> Result<Self> {
        Self::run(Command::new(binary).arg(data_dir).args([name, shape]), name).await
    }

    async fn run(command: &mut Command, name: &str) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("{name} does not start"))?;
        let stdout = child.stdout.take().context("its output is piped")?;
        let said = BufReader::new(stdout).lines().next_line().await?;
        ensure!(said.as_deref() == Some(READY), "{name} said {said:?}");
        Ok(Self { child })
    }

    /// The memory that it holds now: what Linux calls resident.
    ///
    /// # Errors
    /// It has ended, or the system does not tell.
    pub fn resident_bytes(&self) -> Result<u64> {
        let id = self.child.id().context("the process has ended")?;
        resident_bytes_of(&id.to_string())
    }

    /// Ends the process without a word (SIGKILL), and waits until it has ended.
    ///
    /// # Errors
    /// The system refused.
    pub async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Closes its standard input, whereupon it shuts down in order, and waits until it has ended.
    ///
    /// # Errors
    /// It did not end well.
    pub async fn end(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let status = self.child.wait().await?;
        ensure!(status.success(), "the process ended with {status}");
        Ok(())
    }
}

/// The memory that this process holds now: what Linux calls resident.
///
/// # Errors
/// The system does not tell.
pub fn resident_bytes() -> Result<u64> {
    resident_bytes_of("self")
}

fn resident_bytes_of(process: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: u64 = resident.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024)
}
