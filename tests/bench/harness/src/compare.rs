//! The comparison: every system takes its turn in every scenario, round by round, each time in fresh processes.

mod program;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tokio::{process::Command, runtime::Builder, time::timeout};

use crate::{
    args::{Compare, Length, Output},
    chart, report,
    sample::{Delivery, Figures, Sample},
    scenarios::{SCENARIOS, Scenario},
    system::{self, Entry},
};

/// What a driver may take beyond the time it measures before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// One system in one scenario.
#[derive(Debug, Serialize)]
pub(crate) struct Cell {
    pub(crate) system: &'static str,
    pub(crate) scenario: &'static str,
    #[serde(flatten)]
    pub(crate) figures: Figures,
    #[serde(flatten)]
    pub(crate) delivery: Option<Delivery>,
}

/// Compares, and shows the outcome.
pub(crate) fn run(systems: &'static [Entry], options: &Compare) -> Result<()> {
    let mut turns = turns(systems, options)?;
    ensure!(!turns.is_empty(), "none of these systems can do any of these scenarios");
    Builder::new_current_thread().enable_all().build()?.block_on(take(&mut turns, options))?;
    let cells: Vec<_> = turns.iter().filter(|turn| !turn.samples.is_empty()).map(Turn::cell).collect();
    show(&cells, options)?;
    let failures = turns.iter().filter(|turn| turn.failed).count();
    ensure!(failures == 0, "{failures} of {} cells failed, see above", turns.len());
    Ok(())
}

/// A cell to be, and what it has measured so far.
struct Turn {
    scenario: &'static Scenario,
    system: &'static Entry,
    program: PathBuf,
    samples: Vec<Sample>,
    failed: bool,
}

/// Everything that one round measures; the systems of one scenario follow each other closely, so that they meet the
/// same machine.
fn turns(systems: &'static [Entry], options: &Compare) -> Result<Vec<Turn>> {
    let scenarios = chosen_scenarios(&options.scenarios)?;
    let systems = chosen_systems(systems, &options.only)?;
    let systems = systems.into_iter().filter(|system| system.can_any(&scenarios));
    let programs = systems.map(|system| Ok((system, program::of(system)?))).collect::<Result<Vec<_>>>()?;
    let mut turns = Vec::new();
    for scenario in scenarios {
        for (system, program) in programs.iter().filter(|(system, _)| system.can(scenario)) {
            turns.push(Turn {
                scenario,
                system,
                program: program.clone(),
                samples: Vec::new(),
                failed: false,
            });
        }
    }
    Ok(turns)
}

fn chosen_scenarios(names: &[String]) -> Result<Vec<&'static Scenario>> {
    for name in names {
        let ids = || SCENARIOS.iter().map(|scenario| scenario.id).collect::<Vec<_>>().join(", ");
        let known = SCENARIOS.iter().any(|scenario| scenario.is_named(name));
        ensure!(known, "no scenario {name}: there are {}", ids());
    }
    let chosen = |scenario: &&Scenario| names.is_empty() || names.iter().any(|name| scenario.is_named(name));
    Ok(SCENARIOS.iter().filter(chosen).collect())
}

/// The systems of these names, all of them for no names; without those whose command is missing unless they are named.
fn chosen_systems(systems: &'static [Entry], names: &[String]) -> Result<Vec<&'static Entry>> {
    if !names.is_empty() {
        return names.iter().map(|name| system::find(systems, name)).collect();
    }
    let (there, missing): (Vec<_>, Vec<_>) =
        systems.iter().partition(|system| system.needs.is_none_or(program::is_installed));
    for system in missing {
        let command = system.needs.unwrap_or_default();
        eprintln!("{} is left out: {command} is not installed", system.name);
    }
    Ok(there)
}

async fn take(turns: &mut [Turn], options: &Compare) -> Result<()> {
    for round in 1..=options.rounds.get() {
        for turn in &mut *turns {
            let (scenario, system) = (turn.scenario.id, turn.system.name);
            eprintln!("round {round} of {}: {scenario} {system}", options.rounds);
            match turn.drive(options.length).await {
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

fn show(cells: &[Cell], options: &Compare) -> Result<()> {
    let tables = report::tables(cells, options);
    let json = serde_json::to_string(cells)?;
    write(&folder(options)?, &json, &chart::draw(cells))?;
    match options.output {
        Output::Table => report::print(&tables),
        Output::Json => {
            eprintln!("{tables}");
            report::print(&json)
        }
    }
}

/// Where the files go.
fn folder(options: &Compare) -> Result<PathBuf> {
    if let Some(folder) = &options.write {
        return Ok(folder.clone());
    }
    let program = env::current_exe()?;
    let target = program.parent().and_then(Path::parent).context("the binary is in no target directory")?;
    Ok(target.join("results"))
}

fn write(folder: &Path, json: &str, chart: &str) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, content) in [("results.json", json), ("chart.svg", chart)] {
        let path = folder.join(name);
        fs::write(&path, format!("{content}\n"))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    eprintln!("results.json and chart.svg are in {}", folder.display());
    Ok(())
}

// === impl Turn ===

impl Turn {
    /// Runs one driver.
    async fn drive(&self, length: Length) -> Result<Sample> {
        let driver = Command::new(&self.program)
            .args(["drive", self.system.name, self.scenario.id, &length.flag()])
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .output();
        let output = timeout(length.duration() + PATIENCE, driver).await.context("it took too long")??;
        ensure!(output.status.success(), "its driver ended with {}", output.status);
        serde_json::from_slice(&output.stdout).context("its driver printed no sample")
    }

    fn cell(&self) -> Cell {
        Cell {
            system: self.system.name,
            scenario: self.scenario.id,
            figures: Figures::median(&self.samples),
            delivery: Delivery::sum(&self.samples),
        }
    }
}

// === impl Entry ===

impl Entry {
    fn can(&self, scenario: &Scenario) -> bool {
        self.scenarios.contains(&scenario.id)
    }

    fn can_any(&self, scenarios: &[&Scenario]) -> bool {
        scenarios.iter().any(|scenario| self.can(scenario))
    }
}
