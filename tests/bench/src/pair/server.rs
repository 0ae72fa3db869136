//! The server of a pair, as its driver holds it: started, asked, and ended by its handle.

use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{Instant, sleep},
};

use crate::{host::Tally, usage::Process};

/// How often the receiver of a flow is asked what has arrived.
const ASK_EVERY: Duration = Duration::from_millis(1);
/// A flow of which nothing arrives for so long has ended.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// A running server. Ends when dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) process: Process,
    child: Child,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

// === impl Server ===

impl Server {
    /// Starts the server of a system; resolves when it listens.
    pub(super) async fn start(system: &str, certificates: &Path) -> Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .args(["serve", system, "--certificates"])
            .arg(certificates)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let questions = child.stdin.take().context("the server has no input")?;
        let mut answers = BufReader::new(child.stdout.take().context("the server has no output")?).lines();
        let process = Process::new(child.id().context("the server ended at once")?)?;
        let port = answers.next_line().await?.context("the server ended before it listened")?.parse()?;
        Ok(Self { address: (Ipv4Addr::LOCALHOST, port).into(), process, child, questions, answers })
    }

    /// Waits until as many one-way messages have arrived as were sent, or no more arrive. Also tells when the last
    /// one did, as closely as the server was asked.
    pub(super) async fn received(&mut self, sent: u64) -> Result<(Tally, Instant)> {
        let mut last = (self.tally().await?, Instant::now());
        while last.0.received < sent && last.1.elapsed() < SILENCE_MAX {
            sleep(ASK_EVERY).await;
            let tally = self.tally().await?;
            if tally.received > last.0.received {
                last = (tally, Instant::now());
            }
        }
        Ok(last)
    }

    /// Ends the server.
    pub(super) async fn end(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    async fn tally(&mut self) -> Result<Tally> {
        self.questions.write_all(b"tally\n").await?;
        let answer = self.answers.next_line().await?.context("the server ended")?;
        Ok(serde_json::from_str(&answer)?)
    }
}
