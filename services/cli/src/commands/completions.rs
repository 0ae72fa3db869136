//! `qmesh completions`: the script that completes commands in a shell.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::output;

/// For whom.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  qmesh completions bash > ~/.local/share/bash-completion/completions/qmesh
  qmesh completions zsh > ~/.zfunc/_qmesh
  qmesh completions fish > ~/.config/fish/completions/qmesh.fish")]
pub(crate) struct Args {
    /// The shell.
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// Standard output cannot be written to.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::args::Args::command(), "qmesh", &mut script);
    output::bytes(&script)?;
    Ok(ExitCode::SUCCESS)
}
