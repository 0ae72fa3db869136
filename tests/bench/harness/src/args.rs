//! The command line: one command for people, two hidden ones by which the binary starts itself.

use std::{num::NonZero, path::PathBuf, time::Duration};

use clap::{Parser, Subcommand, ValueEnum};

/// Measures qmesh beside its peers.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What this process is to be.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure systems side by side, in turns, and print what came out.
    Compare(Compare),
    /// Be a server.
    #[command(hide = true)]
    Serve(Serve),
    /// Be a driver; starts its servers.
    #[command(hide = true)]
    Drive(Drive),
}

/// What to compare, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Compare {
    /// The systems to measure, separated by commas [default: all]
    #[arg(long, value_name = "SYSTEMS", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// The scenarios to measure, separated by commas; S7 means S7-6400 as well [default: all]
    #[arg(long, value_delimiter = ',')]
    pub(crate) scenarios: Vec<String>,
    #[command(flatten)]
    pub(crate) length: Length,
    /// How often each cell is measured; medians are reported
    #[arg(long, default_value = "3")]
    pub(crate) rounds: NonZero<u32>,
    /// What to print on the standard output
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    /// Where results.json and chart.svg go [default: `results` in cargo's target directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) write: Option<PathBuf>,
}

/// How long each measurement takes.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Length {
    /// Seconds that each measurement takes, after a warm-up
    #[arg(long, default_value = "3")]
    secs: NonZero<u32>,
}

/// What `compare` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Tables alone
    Table,
    /// A JSON array, last, on one line; the tables go to the standard error
    Json,
}

/// Which server to be.
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// The system's name
    pub(crate) system: String,
    /// The scenario's id
    pub(crate) scenario: String,
    /// The folder of both sides' certificates
    #[arg(long)]
    pub(crate) certificates: PathBuf,
    /// Which of several servers
    #[arg(long, default_value = "0")]
    pub(crate) index: usize,
    /// How many idle services to have beside the one that is called
    #[arg(long, default_value = "0")]
    pub(crate) idle_services: usize,
}

/// Which driver to be.
#[derive(Debug, clap::Args)]
pub(crate) struct Drive {
    /// The system's name
    pub(crate) system: String,
    /// The scenario's id
    pub(crate) scenario: String,
    #[command(flatten)]
    pub(crate) length: Length,
}

// === impl Length ===

impl Length {
    pub(crate) fn duration(self) -> Duration {
        Duration::from_secs(self.secs.get().into())
    }

    /// The flag that gives a child process the same length.
    pub(crate) fn flag(self) -> String {
        format!("--secs={}", self.secs)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn lists_are_separated_by_commas() {
        let args = Args::parse_from([
            "bench",
            "compare",
            "--only=tonic-mtls,quinn-pipelined",
            "--scenarios=s1,S5",
            "-o=json",
        ]);
        let Command::Compare(compare) = args.command else { panic!("not a comparison") };
        assert_eq!(compare.only, ["tonic-mtls", "quinn-pipelined"]);
        assert_eq!(compare.scenarios, ["s1", "S5"]);
        assert_eq!(compare.output, Output::Json);
        assert_eq!(compare.length.duration(), Duration::from_secs(3));
    }
}
