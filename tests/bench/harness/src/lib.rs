//! Runs systems beside each other, each as processes of its own on loopback, and shows what came of it.
//!
//! Every cell of a comparison is a driver and, unless it is about one process, a server or several: all of them the
//! very binary that calls [`run`], or one that the table of systems names. The modules, in reading order:
//!
//! - [`args`]: the command line;
//! - [`scenarios`], [`system`]: the scenarios, and what a system has to be able to do for them;
//! - [`compare`]: takes the turns, `A B C, A B C`, and gathers what each driver measured;
//! - [`pair`], [`host`]: the driver's side and the server's;
//! - [`load`]: what a driver does: calls in a closed loop, numbered messages flat out;
//! - [`usage`], [`certificates`]: processor time, memory and cores; the identities of both sides;
//! - [`sample`], [`goals`], [`report`], [`chart`]: what one driver measured, what is to be reached, how it is shown.

mod args;
pub mod certificates;
mod chart;
mod compare;
mod goals;
pub mod host;
pub mod load;
mod pair;
mod report;
mod sample;
pub mod scenarios;
pub mod system;
mod usage;

use anyhow::Result;
use clap::Parser;

use crate::{
    args::{Args, Command},
    system::Entry,
};

/// Does what the command line says, with these systems.
///
/// # Errors
/// What could not be measured, or shown.
pub fn run(systems: &'static [Entry]) -> Result<()> {
    match Args::parse().command {
        Command::Compare(options) => compare::run(systems, &options),
        Command::Serve(options) => system::here(systems, &options.system)?.serve(&options),
        Command::Drive(options) => system::here(systems, &options.system)?.drive(&options),
    }
}
