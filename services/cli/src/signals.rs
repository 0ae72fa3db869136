//! How a person or a service manager ends the process.

use std::{convert::Infallible, future::pending, io, process::ExitCode, time::Duration};

use anyhow::Context as _;
use qmesh::Node;
use tokio::time::sleep;

use crate::{
    exit::INTERRUPTED,
    service_manager::{self, Word},
};

/// How long a goodbye takes to leave.
const GOODBYE: Duration = Duration::from_millis(50);

/// SIGINT and SIGTERM (Ctrl-C alone where there are no signals).
#[derive(Debug)]
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

/// Runs a client's command until it ends or Ctrl-C is pressed, which gives it up in order: its call is cancelled.
pub(crate) async fn or_interrupted(
    command: impl Future<Output = anyhow::Result<ExitCode>>,
) -> anyhow::Result<ExitCode> {
    let outcome = tokio::select! {
        outcome = command => return outcome,
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(INTERRUPTED)),
    };
    // The command was dropped just now: its goodbye is on its way to the node.
    sleep(GOODBYE).await;
    outcome
}

/// Runs a node until a signal comes, and then ends it in order; a second signal ends it at once.
pub(crate) async fn run_until_signal(node: Node, mut signals: Signals) -> ExitCode {
    until_signal(&node, &mut signals, pending()).await;
    end(&node, signals).await
}

/// Does something endless with a node until a signal comes. The manager of the process hears of the node.
pub(crate) async fn until_signal(node: &Node, signals: &mut Signals, work: impl Future<Output = Infallible>) {
    let signal = tokio::select! {
        signal = signals.next() => signal,
        never = service_manager::keep_told(node) => match never {},
        never = work => match never {},
    };
    service_manager::tell(Word::Stopping);
    tracing::info!(target: "qmesh::cli", "{signal}: the calls at work may finish; once more ends the node at once");
}

/// Ends a node in order; a signal ends it at once.
pub(crate) async fn end(node: &Node, mut signals: Signals) -> ExitCode {
    tokio::select! {
        () = node.shutdown() => {
            tracing::info!(target: "qmesh::cli", "ended in order");
            ExitCode::SUCCESS
        }
        signal = signals.next() => {
            tracing::warn!(target: "qmesh::cli", "{signal} again: ended at once");
            ExitCode::from(INTERRUPTED)
        }
    }
}

// === impl Signals ===

#[cfg(unix)]
impl Signals {
    /// From now on the signals no longer kill the process.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        let listen = |kind| -> io::Result<_> { signal(kind) };
        let interrupt = listen(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
        let terminate = listen(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        Ok(Self { interrupt, terminate })
    }

    /// Waits for the next one, and names it.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    /// From now on Ctrl-C no longer kills the process.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        Ok(Self {})
    }

    /// Waits for the next one, and names it.
    pub(crate) async fn next(&mut self) -> &'static str {
        match tokio::signal::ctrl_c().await {
            Ok(()) => "Ctrl-C",
            Err(_) => std::future::pending().await,
        }
    }
}
