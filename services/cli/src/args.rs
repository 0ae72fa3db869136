//! What can be typed.

use clap::{Parser, Subcommand};

use crate::{demo, output::OutputFormat};

/// Services as actors, called by name from anywhere in a mesh.
#[derive(Debug, Parser)]
#[command(name = "qmesh", version)]
pub(crate) struct Args {
    /// How to print.
    #[arg(short, long, global = true, value_enum, default_value = "table", value_name = "FORMAT")]
    pub(crate) output: OutputFormat,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a small mesh, let it work, kill a node, and see that nobody noticed.
    Demo(demo::Args),
    /// A node of the demo.
    #[command(hide = true)]
    DemoWorker(demo::WorkerArgs),
}
