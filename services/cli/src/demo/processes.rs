//! The service processes of the demo: this same program, started again.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};
use qmesh::Address;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdout, Command},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};

use crate::demo::worker::Sign;

/// Signs that may wait to be heard; a process that has more to tell waits.
const SIGNS: usize = 1024;

/// How long a process may take to start, or to end in order.
const PATIENCE: Duration = Duration::from_secs(15);

/// What came from a service process.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) from: String,
    /// `None`: its standard output has ended, and so has the process.
    pub(crate) sign: Option<Sign>,
}

/// The living service processes. Dropping it kills them.
#[derive(Debug)]
pub(crate) struct Processes {
    living: BTreeMap<String, Child>,
    data: PathBuf,
    pace: u64,
    seed: Option<Address>,
    signs: mpsc::Receiver<Heard>,
    to_signs: mpsc::Sender<Heard>,
    readers: JoinSet<()>,
}

impl Processes {
    pub(crate) fn new(data: &Path, pace: u64) -> Self {
        let (to_signs, signs) = mpsc::channel(SIGNS);
        let (living, readers) = (BTreeMap::new(), JoinSet::new());
        Self { living, data: data.to_owned(), pace, seed: None, signs, to_signs, readers }
    }

    /// Starts the process that all others ask first, and waits until it listens.
    pub(crate) async fn start_seed(&mut self, name: &str) -> anyhow::Result<Address> {
        self.start(name)?;
        let heard = timeout(PATIENCE, self.hear()).await;
        let heard =
            heard.with_context(|| format!("{name} does not start; it says: {}", self.last_words(name)))?;
        let Heard { sign: Some(Sign::Listens(address)), .. } = heard else { bail!(self.death(name)) };
        self.seed = Some(address.clone());
        Ok(address)
    }

    /// Starts a further process.
    pub(crate) fn start(&mut self, name: &str) -> anyhow::Result<()> {
        let program = std::env::current_exe().context("cannot find this program to start it again")?;
        let log =
            File::create(log_path(&self.data, name)).context("cannot write into the demo's directory")?;
        let mut command = Command::new(&program);
        command
            .args(["demo-worker", "--name", name, "--pace", &self.pace.to_string(), "--data"])
            .arg(&self.data);
        if let Some(seed) = &self.seed {
            command.args(["--seed", &seed.to_string()]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        // Ctrl-C on the terminal is for this process, which ends the others.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = child.stdout.take().context("a service process has no standard output")?;
        self.readers.spawn(listen(name.to_owned(), stdout, self.to_signs.clone()));
        self.living.insert(name.to_owned(), child);
        Ok(())
    }

    /// The next sign of any process.
    ///
    /// # Cancel safety
    /// Cancelling loses no sign.
    pub(crate) async fn hear(&mut self) -> Heard {
        loop {
            // It never ends: this value holds a sender.
            if let Some(heard) = self.signs.recv().await {
                return heard;
            }
        }
    }

    /// Kills a process with SIGKILL: it cannot do anything about it, nor after it.
    pub(crate) fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        let child = self.living.get_mut(name).with_context(|| format!("no process {name} to kill"))?;
        child.start_kill().with_context(|| format!("cannot kill {name}"))
    }

    /// What to say of a process that ended by itself.
    pub(crate) fn death(&self, name: &str) -> String {
        format!("{name} ended unexpectedly; it says: {}", self.last_words(name))
    }

    /// Ends all processes in order, those by force that take too long.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        for child in self.living.values_mut() {
            drop(child.stdin.take());
        }
        for (name, child) in &mut self.living {
            let ended = timeout(PATIENCE, child.wait()).await;
            if ended.is_err() {
                child.kill().await.with_context(|| format!("cannot end {name}"))?;
            }
        }
        Ok(())
    }

    /// The last lines that a process wrote to its standard error.
    fn last_words(&self, name: &str) -> String {
        let log = fs::read_to_string(log_path(&self.data, name)).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        if lines.is_empty() {
            "nothing".to_owned()
        } else {
            lines[lines.len().saturating_sub(3)..].join(" / ")
        }
    }
}

/// Passes on what a process tells, and last that it has ended.
async fn listen(from: String, stdout: ChildStdout, to: mpsc::Sender<Heard>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(sign) = line.parse() else { continue };
        if to.send(Heard { from: from.clone(), sign: Some(sign) }).await.is_err() {
            return;
        }
    }
    drop(to.send(Heard { from, sign: None }).await);
}

fn log_path(data: &Path, name: &str) -> PathBuf {
    data.join(format!("{name}.log"))
}
