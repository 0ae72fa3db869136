//! A host of a test: a directory of its own, and the processes that run in it.

use std::{
    fmt::Debug,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::{Instant, sleep, timeout},
};

/// How long anything may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory with its own mesh.
pub(crate) struct Host(TempDir);

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A node in a process of its own, which ends with this value.
pub(crate) struct Running {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    /// What it said of itself.
    pub(crate) about: Value,
}

// === impl Host ===

impl Host {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, args: &[&str]) -> Ran {
        self.run_with_input(args, "").await
    }

    pub(crate) async fn run_with_input(&self, args: &[&str], input: &str) -> Ran {
        let mut child = self.command(args).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A command that reads no input may be gone already.
        let _gone = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
        let ended = timeout(PATIENCE, child.wait_with_output()).await;
        let ended = ended.unwrap_or_else(|_| panic!("{args:?} does not end")).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: code(ended.status), stdout: text(ended.stdout), stderr: text(ended.stderr) }
    }

    /// Runs a command that must succeed, and reads its answer as JSON.
    pub(crate) async fn json(&self, args: &[&str]) -> Value {
        let ran = self.run(&[args, &["-o", "json"]].concat()).await;
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        serde_json::from_str(&ran.stdout).unwrap()
    }

    /// Starts a node and waits until it says that it runs.
    pub(crate) async fn start(&self, args: &[&str]) -> Running {
        let mut child = self.command(&[args, &["-o", "json"]].concat()).stdin(Stdio::null()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = timeout(PATIENCE, stdout.next_line()).await.unwrap().unwrap();
        let first = first.unwrap_or_else(|| panic!("{args:?} ended without a word"));
        Running { child, stdout, about: serde_json::from_str(&first).unwrap() }
    }

    /// `qmesh dev`, which tells the network of the machine nothing.
    pub(crate) async fn dev(&self) -> Running {
        self.start(&["dev", "--no-mdns"]).await
    }

    /// Asks until the answer is as wanted.
    pub(crate) async fn eventually(&self, args: &[&str], wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.json(args).await;
            if wanted(&answer) {
                return answer;
            }
            assert!(Instant::now() < end, "{args:?} stays {answer}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qmesh"));
        for variable in ["QMESH_DATA_DIR", "QMESH_NODE", "QMESH_CERT"] {
            command.env_remove(variable);
        }
        command
            .env("RUST_LOG", "warn,mdns_sd=off")
            .args(args)
            .current_dir(self.path())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

// === impl Running ===

impl Running {
    pub(crate) fn url(&self) -> &str {
        self.about["addresses"][0].as_str().unwrap()
    }

    /// Sends a signal, for example `TERM`.
    pub(crate) async fn signal(&self, signal: &str) {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &id]).status().await.unwrap().success());
    }

    /// Waits for the end.
    pub(crate) async fn ended(mut self) -> i32 {
        // What it still prints is read, so that it never blocks.
        while timeout(PATIENCE, self.stdout.next_line()).await.unwrap().unwrap().is_some() {}
        code(timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap())
    }
}

/// -1 for a process that a signal killed.
fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or(-1)
}

/// The values of one field in a list, in order.
pub(crate) fn names(list: &Value, field: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item[field].as_str().unwrap().to_owned()).collect()
}
