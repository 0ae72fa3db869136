//! The comparison: every system takes its turn in every scenario, round by round, each time in fresh processes.

use std::{env, fs, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tokio::{process::Command, runtime::Builder, time::timeout};

use crate::{
    args::{Compare, Length, Output},
    report,
    sample::{Delivery, Figures, Sample},
    scenarios::{self, SCENARIOS, Scenario},
    systems::{self, Entry, SYSTEMS},
};

/// What a driver may take beyond the time it measures before it is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// One system in one scenario.
#[derive(Debug, Serialize)]
pub(crate) struct Cell {
    pub(crate) system: &'static str,
    pub(crate) scenario: &'static str,
    #[serde(flatten)]
    pub(crate) figures: Figures,
    #[serde(skip)]
    pub(crate) delivery: Option<Delivery>,
}

/// Compares, and shows the outcome.
pub(crate) fn run(options: &Compare) -> Result<()> {
    let mut turns = turns(options)?;
    ensure!(!turns.is_empty(), "none of these systems can do any of these scenarios");
    Builder::new_current_thread().enable_all().build()?.block_on(take(&mut turns, options))?;
    let cells: Vec<_> = turns.iter().filter_map(Turn::cell).collect();
    show(&cells, options)?;
    let failures = turns.iter().filter(|turn| turn.failed).count();
    ensure!(failures == 0, "{failures} of {} cells failed, see above", turns.len());
    Ok(())
}

/// A cell to be, and what it has measured so far.
struct Turn {
    scenario: &'static Scenario,
    system: &'static Entry,
    samples: Vec<Sample>,
    failed: bool,
}

/// Everything that one round measures; the systems of one scenario follow each other closely, so that they meet the
/// same machine.
fn turns(options: &Compare) -> Result<Vec<Turn>> {
    let mut turns = Vec::new();
    for scenario in chosen(SCENARIOS, &options.scenarios, scenarios::find)? {
        for system in chosen(SYSTEMS, &options.only, systems::find)? {
            if system.shapes.contains(&scenario.shape) {
                turns.push(Turn { scenario, system, samples: Vec::new(), failed: false });
            }
        }
    }
    Ok(turns)
}

fn chosen<T>(
    all: &'static [T],
    names: &[String],
    find: fn(&str) -> Result<&'static T>,
) -> Result<Vec<&'static T>> {
    if names.is_empty() { Ok(all.iter().collect()) } else { names.iter().map(|name| find(name)).collect() }
}

async fn take(turns: &mut [Turn], options: &Compare) -> Result<()> {
    for round in 1..=options.rounds.get() {
        for turn in &mut *turns {
            let (scenario, system) = (turn.scenario.id, turn.system.name);
            eprintln!("round {round} of {}: {scenario} {system}", options.rounds);
            match drive(system, scenario, options.length).await {
                Ok(sample) => turn.samples.push(sample),
                Err(error) => {
                    eprintln!("{scenario} {system} failed: {error:#}");
                    turn.failed = true;
                }
            }
        }
    }
    Ok(())
}

/// Runs one pair.
async fn drive(system: &str, scenario: &str, length: Length) -> Result<Sample> {
    let driver = Command::new(env::current_exe()?)
        .args(["drive", system, scenario, &length.flag()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output();
    let output = timeout(length.duration() + PATIENCE, driver).await.context("it took too long")??;
    ensure!(output.status.success(), "its driver ended with {}", output.status);
    serde_json::from_slice(&output.stdout).context("its driver printed no sample")
}

fn show(cells: &[Cell], options: &Compare) -> Result<()> {
    let tables = report::tables(cells, options);
    let json = serde_json::to_string(cells)?;
    match options.output {
        Output::Table => report::print(&tables)?,
        Output::Json => {
            eprintln!("{tables}");
            report::print(&json)?;
        }
    }
    options.write.as_deref().map_or(Ok(()), |folder| write(folder, &json))
}

fn write(folder: &Path, json: &str) -> Result<()> {
    fs::create_dir_all(folder)?;
    let path = folder.join("results.json");
    fs::write(&path, format!("{json}\n")).with_context(|| format!("cannot write {}", path.display()))
}

// === impl Turn ===

impl Turn {
    fn cell(&self) -> Option<Cell> {
        Some(Cell {
            system: self.system.name,
            scenario: self.scenario.id,
            figures: Figures::median(&self.samples)?,
            delivery: Delivery::sum(&self.samples),
        })
    }
}
