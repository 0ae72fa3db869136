//! The console of a node of the process: pages in a browser, as `--console` says.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use clap::Args;
use qmesh::{Console, Node, OpenConsole};

use crate::{
    address::HttpAddress,
    exit::{Exit, Problem},
};

/// Where a console is served.
#[derive(Debug, Args)]
#[command(next_help_heading = "Console")]
pub(crate) struct ConsoleArgs {
    /// Show the mesh to browsers, at http://ADDRESS: a port of this host alone, or ADDRESS:PORT. Without a value, on a free
    /// port of this host.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "0")]
    console: Option<HttpAddress>,
    /// A file with the token that a browser must know, of 16 characters at least. Needed on an address that other hosts
    /// reach, where it travels in plain text.
    #[arg(long, value_name = "FILE")]
    console_token_file: Option<PathBuf>,
}

impl ConsoleArgs {
    /// Serves the console, if one is wanted.
    ///
    /// # Errors
    /// It cannot be served there, or not without a token.
    pub(crate) fn open(&self, node: &Node) -> anyhow::Result<Option<OpenConsole>> {
        let Some(HttpAddress(address)) = self.console else {
            return match &self.console_token_file {
                None => Ok(None),
                Some(_) => Err(Problem::usage("a token is for a console: --console").into()),
            };
        };
        let mut console = Console::at(address);
        if let Some(file) = &self.console_token_file {
            let token = fs::read_to_string(file);
            let token = token.with_context(|| format!("cannot read the token in {}", file.display()))?;
            console = console.token(token.trim());
        }
        console.serve(node).map(Some).map_err(problem)
    }

    /// The same, on a free port of this host where nothing else was said.
    pub(crate) fn by_default(mut self) -> Self {
        self.console.get_or_insert_with(|| HttpAddress(([127, 0, 0, 1], 0).into()));
        self
    }
}

fn problem(error: qmesh::ConsoleError) -> anyhow::Error {
    match error {
        qmesh::ConsoleError::NoToken(_) => {
            Problem::usage(error.to_string()).hint("--console-token-file FILE").into()
        }
        qmesh::ConsoleError::WeakToken(_) => Problem::usage(error.to_string()).into(),
        qmesh::ConsoleError::Bind { .. } => Problem::new(Exit::Failed, error.to_string())
            .hint("choose another address; --console alone lets the system choose a port")
            .into(),
        other => other.into(),
    }
}
