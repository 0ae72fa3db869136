//! Every example runs to its end: each asserts what it shows.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// Where cargo puts the examples: beside the folder of this test.
fn built() -> Result<PathBuf> {
    let test = env::current_exe()?;
    let folder = test.ancestors().nth(2).context("a test lies two folders deep")?;
    Ok(folder.join("examples"))
}

/// An example is a file, or a folder of some.
fn files(source: &Path) -> Result<Vec<PathBuf>> {
    if source.is_file() {
        return Ok(vec![source.to_owned()]);
    }
    Ok(std::fs::read_dir(source)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?)
}

#[test]
fn every_example_shows_what_it_says() -> Result<()> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut examples = 0;
    for source in std::fs::read_dir(sources)? {
        let source = source?.path();
        let name = source.file_stem().context("a file has a name")?;
        for file in files(&source)? {
            let lines = std::fs::read_to_string(&file)?.lines().count();
            ensure!(lines <= 120, "{} has {lines} lines; one idea takes 120 at most", file.display());
        }
        let ran =
            Command::new(built()?.join(name)).output().with_context(|| format!("{}", source.display()))?;
        ensure!(ran.status.success(), "{}: {}", source.display(), String::from_utf8_lossy(&ran.stderr));
        examples += 1;
    }
    ensure!(examples >= 6, "only {examples} examples");
    Ok(())
}

/// An example at work, with an input and an output. It ends with the test.
struct Running {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Running {
    fn start(example: &str, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(built()?.join(example));
        let piped = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = piped.spawn()?;
        let output = BufReader::new(process.stdout.take().context("its output is a pipe")?);
        Ok(Self { process, output })
    }

    fn say(&mut self, line: &str) -> Result<()> {
        let input = self.process.stdin.as_mut().context("its input is open")?;
        Ok(writeln!(input, "{line}")?)
    }

    fn hears(&mut self, wanted: &str) -> Result<()> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        ensure!(line.contains(wanted), "{line:?} instead of {wanted:?}");
        Ok(())
    }

    /// Closes its input, unless it has ended by itself.
    fn ends(&mut self) -> Result<()> {
        drop(self.process.stdin.take());
        ensure!(self.process.wait()?.success());
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[test]
fn a_room_is_joined_by_hand() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let directory = directory.path().to_str().context("a path in letters")?;
    let mut room = Running::start("chat", &["serve", directory])?;
    room.hears("the room is open")?;
    let mut ada = Running::start("chat", &["join", "ada", directory])?;
    ada.hears("ada is in the room")?;
    let mut grace = Running::start("chat", &["join", "grace", directory])?;
    grace.hears("grace is in the room")?;
    ada.say("hello")?;
    grace.hears("ada: hello")?;
    grace.say("who is there?")?;
    ada.hears("grace: who is there?")?;
    ada.ends()?;
    room.ends()?;
    grace.hears("the room is closed")?;
    grace.ends()
}
