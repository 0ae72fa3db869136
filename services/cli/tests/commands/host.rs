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
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{Instant, sleep, timeout},
};

/// How long anything may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// The preset whose sessions outlive a pause of the machine. Who is killed is missed after 5 to 6.5 s.
const PATIENT: [&str; 2] = ["--preset", "lan"];
/// How a command ends that no node has answered in time.
const NO_NODE: i32 = 3;

/// A directory with its own mesh.
pub(crate) struct Host(TempDir);

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A command that is talked to while it runs. It ends with this value.
pub(crate) struct Talk {
    child: Child,
    input: Option<ChildStdin>,
    output: Option<Lines<BufReader<ChildStdout>>>,
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

    /// Starts a command whose input and output the test holds.
    pub(crate) fn talk(&self, args: &[&str]) -> Talk {
        let mut child = self.command(args).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        Talk { child, input, output: Some(BufReader::new(output).lines()) }
    }

    /// Runs a command that must succeed, and reads its answer as JSON.
    pub(crate) async fn json(&self, args: &[&str]) -> Value {
        let ran = self.run(&[args, &["-o", "json"]].concat()).await;
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        serde_json::from_str(&ran.stdout).unwrap()
    }

    /// Starts a node, a patient one, and waits until it says that it runs.
    pub(crate) async fn start(&self, args: &[&str]) -> Running {
        self.start_with(args, &[]).await
    }

    /// The same, with variables of the environment.
    pub(crate) async fn start_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Running {
        let mut command = self.command(&[args, &PATIENT, &["-o", "json"]].concat());
        command.envs(variables.iter().copied());
        let mut child = command.stdin(Stdio::null()).spawn().unwrap();
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
        let (code, answer) = self.ends_with(args, wanted).await;
        assert_eq!(code, 0, "{args:?}: {answer}");
        answer
    }

    /// The same, for a command that may end with another code, which is returned, too.
    pub(crate) async fn ends_with(&self, args: &[&str], wanted: impl Fn(&Value) -> bool) -> (i32, Value) {
        let end = Instant::now() + PATIENCE;
        loop {
            let ran = self.run(&[args, &["-o", "json"]].concat()).await;
            if ran.code != NO_NODE {
                let answer =
                    serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{args:?}: {ran:?}"));
                if wanted(&answer) {
                    return (ran.code, answer);
                }
            }
            assert!(Instant::now() < end, "{args:?} stays {ran:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qmesh"));
        for variable in ["QMESH_DATA_DIR", "QMESH_NODE", "QMESH_CERT", "NOTIFY_SOCKET", "WATCHDOG_USEC"] {
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

// === impl Talk ===

impl Talk {
    /// Writes a line.
    pub(crate) async fn say(&mut self, line: &str) {
        let line = format!("{line}\n");
        self.input.as_mut().unwrap().write_all(line.as_bytes()).await.unwrap();
    }

    /// Writes lines until none was taken for a while; returns how many bytes were.
    pub(crate) async fn say_all_that_fits(&mut self, line: &str) -> usize {
        let input = self.input.as_mut().unwrap();
        let (lines, mut taken) = (format!("{line}\n").repeat(1000), 0);
        while let Ok(written) =
            timeout(Duration::from_secs(2), input.write(&lines.as_bytes()[taken % lines.len()..])).await
        {
            taken += written.unwrap();
        }
        taken
    }

    /// The next line that it prints.
    pub(crate) async fn hear(&mut self) -> Option<String> {
        timeout(PATIENCE, self.output.as_mut().unwrap().next_line()).await.unwrap().unwrap()
    }

    /// Closes its standard output.
    pub(crate) fn stop_listening(&mut self) {
        self.output = None;
    }

    pub(crate) async fn interrupt(&self) {
        signal(&self.child, "INT").await;
    }

    /// Ends its standard input, and waits for its end.
    pub(crate) async fn ended(mut self) -> Ran {
        self.input = None;
        self.ended_by_itself().await
    }

    /// Waits for its end, while its standard input stays open.
    pub(crate) async fn ended_by_itself(mut self) -> Ran {
        let mut stdout = String::new();
        while self.output.is_some() {
            match self.hear().await {
                Some(line) => stdout.extend([&line, "\n"]),
                None => self.output = None,
            }
        }
        let _input = self.input.take();
        let ended = timeout(PATIENCE, self.child.wait_with_output()).await.expect("it ends").unwrap();
        Ran { code: code(ended.status), stdout, stderr: String::from_utf8(ended.stderr).unwrap() }
    }
}

/// Sends a signal, for example `TERM`.
async fn signal(child: &Child, signal: &str) {
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args([&format!("-{signal}"), &id]).status().await.unwrap().success());
}

// === impl Running ===

impl Running {
    pub(crate) fn url(&self) -> &str {
        self.about["addresses"][0].as_str().unwrap()
    }

    /// Sends a signal, for example `TERM`.
    pub(crate) async fn signal(&self, signal: &str) {
        self::signal(&self.child, signal).await;
    }

    /// Waits for the end.
    pub(crate) async fn ended(self) -> i32 {
        self.ended_with_words().await.0
    }

    /// Waits for the end, and says what was printed.
    pub(crate) async fn ended_with_words(mut self) -> (i32, String) {
        let mut said = String::new();
        while let Some(line) = timeout(PATIENCE, self.stdout.next_line()).await.unwrap().unwrap() {
            said.extend([&line, "\n"]);
        }
        (code(timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap()), said)
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
