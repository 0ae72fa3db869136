//! The swarm: many seeds of whole meshes under faults, on all cores. It ends with an error if one of them fails.

use std::{
    cell::RefCell,
    io::{IsTerminal as _, Write as _},
    panic,
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use qmesh_tests::{
    EXPECTED,
    swarm::{self, Run},
};
use serde::Serialize;
use tokio::time::Instant;

const USAGE: &str = "\
Runs seeds of whole meshes under load and faults, in virtual time, one thread per core.

    swarm [--seeds N] [--first-seed N] [--chitchat] [-o json]
    swarm --replay N [--chitchat]

  --seeds N       how many seeds (default 200)
  --first-seed N  the first one (default: drawn, and printed); the others follow it
  --replay N      this seed alone, with its events
  --chitchat      gossip by chitchat, which no seed replays exactly
  -o json         a last line for programs";

/// What was asked for.
#[derive(Clone, Copy, Debug)]
struct Options {
    seeds: u64,
    first_seed: u64,
    replay: Option<u64>,
    chitchat: bool,
    json: bool,
}

/// All seeds together.
#[derive(Debug, Default, Serialize)]
struct Totals {
    first_seed: u64,
    seeds: u64,
    failed: u64,
    faults: u64,
    calls: u64,
    one_way: u64,
    unaccounted: u64,
    virtual_seconds: f64,
    #[serde(skip)]
    agreed_after_max: f64,
}

thread_local! {
    /// Why this thread panicked last.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

fn main() -> anyhow::Result<ExitCode> {
    let Some(options) = Options::read(std::env::args().skip(1))? else {
        writeln!(std::io::stdout(), "{USAGE}")?;
        return Ok(ExitCode::SUCCESS);
    };
    panic::set_hook(Box::new(|info| {
        if info.payload_as_str() != Some(EXPECTED) {
            PANIC.set(info.to_string());
        }
    }));
    match options.replay {
        Some(seed) => replay(seed, options.chitchat),
        None => run_all(options),
    }
}

impl Options {
    /// None if help is asked for.
    fn read(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Option<Self>> {
        let first_seed = u64::from(rand::random::<u32>());
        let mut options = Self { seeds: 200, first_seed, replay: None, chitchat: false, json: false };
        while let Some(argument) = arguments.next() {
            let mut number = || -> anyhow::Result<u64> {
                let value = arguments.next().with_context(|| format!("{argument} wants a number"))?;
                value.parse().with_context(|| format!("{argument} wants a number, not `{value}`"))
            };
            match argument.as_str() {
                "--seeds" => options.seeds = number()?,
                "--first-seed" => options.first_seed = number()?,
                "--replay" => options.replay = Some(number()?),
                "--chitchat" => options.chitchat = true,
                "-o" if arguments.next().as_deref() == Some("json") => options.json = true,
                "-h" | "--help" => return Ok(None),
                _ => bail!("what is `{argument}`?\n\n{USAGE}"),
            }
        }
        Ok(Some(options))
    }
}

/// Runs a seed. A panic breaks a rule, too.
fn run(seed: u64, chitchat: bool) -> Run {
    let ran = panic::catch_unwind(|| swarm::run(seed, chitchat).0);
    ran.unwrap_or_else(|_| Run::panicked(seed, PANIC.take()))
}

fn replay(seed: u64, chitchat: bool) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let Ok((run, log)) = panic::catch_unwind(|| swarm::run(seed, chitchat)) else {
        writeln!(out, "{}", PANIC.take())?;
        return Ok(ExitCode::FAILURE);
    };
    for entry in log.entries() {
        writeln!(out, "{entry}")?;
    }
    for violation in &run.violations {
        writeln!(out, "broken: {violation}")?;
    }
    writeln!(out, "{}", serde_json::to_string(&run)?)?;
    Ok(if run.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_all(options: Options) -> anyhow::Result<ExitCode> {
    let (began, first) = (Instant::now(), options.first_seed);
    eprintln!("{} seeds from {first} on", options.seeds);
    let bar = bar(options.seeds);
    let next = AtomicU64::new(0);
    let totals = Mutex::new(Totals { first_seed: first, seeds: options.seeds, ..Totals::default() });
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(number) = Some(next.fetch_add(1, Relaxed)).filter(|at| *at < options.seeds) {
                    let run = run(first.wrapping_add(number), options.chitchat);
                    totals.lock().expect("nobody panics with it").add(&run, &bar);
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    let totals = totals.into_inner().expect("nobody panics with it");
    totals.tell(began.elapsed().as_secs_f64(), options.json)?;
    Ok(if totals.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn bar(seeds: u64) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {per_sec}, {eta} to go {msg}");
    ProgressBar::with_draw_target(Some(seeds), target)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

impl Totals {
    fn add(&mut self, run: &Run, bar: &ProgressBar) {
        self.faults += run.faults;
        self.calls += run.calls;
        self.one_way += run.one_way;
        self.unaccounted += run.unaccounted;
        self.virtual_seconds += run.virtual_seconds;
        self.agreed_after_max = self.agreed_after_max.max(run.agreed_after);
        if run.violations.is_empty() {
            return;
        }
        self.failed += 1;
        bar.set_message(format!("{} failed", self.failed));
        let told = run.violations.join("\n  ");
        bar.suspend(|| {
            eprintln!("seed {} failed:\n  {told}", run.seed);
            eprintln!("  to see it: cargo run --release --bin swarm -- --replay {}", run.seed);
        });
    }

    fn tell(&self, took: f64, json: bool) -> anyhow::Result<()> {
        let Self { first_seed, seeds, failed, faults, calls, one_way, unaccounted, .. } = self;
        let a_minute = *seeds as f64 * 60.0 / took;
        let mut out = std::io::stdout().lock();
        writeln!(out, "{seeds} seeds from {first_seed} on: {failed} failed, {faults} faults")?;
        writeln!(out, "{calls} calls, {one_way} one-way sends, {unaccounted} of them unaccounted for")?;
        writeln!(out, "mended meshes agree after {:.2} s at most", self.agreed_after_max)?;
        let virtual_seconds = self.virtual_seconds;
        writeln!(out, "{virtual_seconds:.0} virtual seconds in {took:.1} s, {a_minute:.0} seeds a minute")?;
        if json {
            writeln!(out, "{}", serde_json::to_string(self)?)?;
        }
        Ok(())
    }
}
