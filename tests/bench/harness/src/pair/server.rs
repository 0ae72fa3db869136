//! A server, as its driver holds it: started, asked, and ended by its handle.

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
    time::timeout,
};

use crate::{host::Ready, load::Tally, scenarios::Scenario, system::System, usage::Process};

/// A server that does not end by itself for so long is ended.
const END_MAX: Duration = Duration::from_secs(2);

/// A running server. Ends when dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// The server's own one first.
    pub(super) processes: Vec<Process>,
    child: Child,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

// === impl Server ===

impl Server {
    /// Starts a server of a system; resolves when it listens.
    pub(super) async fn start<S: System>(
        scenario: &Scenario,
        certificates: &Path,
        index: usize,
        idle_services: usize,
    ) -> Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .args(["serve", S::NAME, scenario.id])
            .args([format!("--index={index}"), format!("--idle-services={idle_services}")])
            .arg("--certificates")
            .arg(certificates)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let questions = child.stdin.take().context("the server has no input")?;
        let mut answers = BufReader::new(child.stdout.take().context("the server has no output")?).lines();
        let id = child.id().context("the server ended at once")?;
        let ready = answers.next_line().await?.context("the server ended before it listened")?;
        let Ready { port, helpers } = serde_json::from_str(&ready)?;
        let processes = [id].into_iter().chain(helpers).map(Process::new).collect::<Result<_>>()?;
        Ok(Self { address: (Ipv4Addr::LOCALHOST, port).into(), processes, child, questions, answers })
    }

    /// What has arrived so far.
    pub(super) async fn tally(&mut self) -> Result<Tally> {
        self.questions.write_all(b"tally\n").await?;
        let answer = self.answers.next_line().await?.context("the server ended")?;
        Ok(serde_json::from_str(&answer)?)
    }

    /// Ends the server, by the end of its input, so that it can end its own helpers.
    pub(super) async fn end(self) -> Result<()> {
        let Self { mut child, questions, .. } = self;
        drop(questions);
        match timeout(END_MAX, child.wait()).await {
            Ok(ended) => Ok(ended.map(drop)?),
            Err(_too_long) => Ok(child.kill().await?),
        }
    }
}
