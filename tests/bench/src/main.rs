//! Measures qmesh beside the systems its users would choose instead.
//!
//! Every cell of the comparison is a pair of fresh processes on loopback: a server and a driver, both this very
//! binary. The modules, in reading order:
//!
//! - [`args`]: the command line;
//! - [`scenarios`], [`systems`]: the two tables whose product is measured;
//! - [`compare`]: takes the turns, `A B C, A B C`, and gathers what each pair measured;
//! - [`pair`], [`host`]: the two processes of a pair, the driver's side and the server's;
//! - [`load`]: what a driver does: calls in a closed loop, or one-way messages flat out;
//! - [`usage`], [`certificates`]: processor time, memory and cores; the identities of both sides;
//! - [`sample`], [`report`]: what one pair measured, and how all of it is shown.

mod args;
mod certificates;
mod compare;
mod host;
mod load;
mod pair;
mod report;
mod sample;
mod scenarios;
mod systems;
mod usage;

use anyhow::Result;
use clap::Parser;

use crate::args::{Args, Command};

fn main() -> Result<()> {
    match Args::parse().command {
        Command::Compare(options) => compare::run(&options),
        Command::Serve(options) => (systems::find(&options.system)?.serve)(&options),
        Command::Drive(options) => (systems::find(&options.system)?.drive)(&options),
    }
}
