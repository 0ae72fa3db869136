//! What can be typed.

use clap::{
    Parser, Subcommand,
    builder::styling::{AnsiColor, Style, Styles},
};

use crate::{address::HttpAddress, commands, demo, exit, find::Target, output::OutputFormat};

/// How help looks on a terminal.
const STYLES: Styles = Styles::styled()
    .header(Style::new().bold())
    .usage(Style::new().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(Style::new().dimmed());

/// Services as actors, called by name from anywhere in a mesh.
///
/// A first call takes two terminals and no configuration:
///
///   qmesh dev
///   qmesh call echo.Echo/Say '{"text":"hello"}'
#[derive(Debug, Parser)]
#[command(name = "qmesh", version, styles = STYLES, after_help = exit::HELP, verbatim_doc_comment)]
#[command(infer_subcommands = true, max_term_width = 100)]
pub(crate) struct Args {
    /// How to print: tables for people, or JSON, one value per line.
    #[arg(short, long, global = true, value_enum, default_value = "table", value_name = "FORMAT")]
    pub(crate) output: OutputFormat,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a node to develop with: an authority of its own, the stock services, no configuration.
    Dev(commands::dev::Args),
    /// Run a node that serves stock services by name.
    Serve(commands::serve::Args),
    /// Run a node that calls stock services at an even pace, and counts how the calls end.
    Load(commands::load::Args),
    /// Call a method of any service of the mesh.
    Call(commands::call::Args),
    /// List the nodes of the mesh.
    Nodes(Target),
    /// List the services of the mesh and who offers them, or the methods of one.
    Services(commands::services::Args),
    /// Show what a node runs: states, restarts and queues, as a tree.
    Tree(commands::tree::Args),
    /// Watch the mesh work, live: services, nodes, who calls whom, and what waits for each other.
    Top(Target),
    /// Print calls as they pass: who calls what, where it goes, how it ends and how long it takes.
    Tap(commands::tap::Args),
    /// Show what happened in the mesh: who came and went, what was restarted or refused.
    Events(commands::events::Args),
    /// Look for what is wrong with the mesh, and say what to do.
    Doctor(commands::doctor::Args),
    /// Say whether a node and its services are ready, for probes.
    Health(Target),
    /// List slow and failed calls that nodes keep, or show one trace as a waterfall over all nodes.
    Trace(commands::trace::Args),
    /// Say why a call went where it went: candidates, attempts, and where the time was spent.
    Why(commands::why::Args),
    /// Say who belongs to the mesh: make its authority, and certificates for other hosts.
    Ca(commands::ca::Args),
    /// Start a small mesh, let it work, kill a node, and see that nobody noticed.
    Demo(demo::Args),
    /// Print the script that completes commands in a shell.
    Completions(commands::completions::Args),
    /// A node of the demo.
    #[command(hide = true)]
    DemoWorker(demo::WorkerArgs),
}

// === impl Command ===

impl Command {
    /// Whether the command stays, so that a person reads along.
    pub(crate) const fn runs_a_node(&self) -> bool {
        matches!(self, Self::Dev(_) | Self::Serve(_) | Self::Load(_))
    }

    /// Its metrics are asked for there.
    pub(crate) const fn answers_metrics_at(&mut self, address: Option<HttpAddress>) {
        match self {
            Self::Dev(dev) => dev.hosting.metrics = address,
            Self::Serve(serve) => serve.hosting.metrics = address,
            Self::Load(load) => load.hosting.metrics = address,
            _ => {}
        }
    }

    /// Whether the command tells of what it does, and where its metrics are asked for.
    pub(crate) const fn telemetry(&self) -> Option<Option<HttpAddress>> {
        match self {
            Self::Dev(dev) => Some(dev.hosting.metrics),
            Self::Serve(serve) => Some(serve.hosting.metrics),
            Self::Load(load) => Some(load.hosting.metrics),
            Self::Call(_) | Self::Demo(_) | Self::DemoWorker(_) => Some(None),
            Self::Nodes(_)
            | Self::Services(_)
            | Self::Tree(_)
            | Self::Top(_)
            | Self::Tap(_)
            | Self::Events(_)
            | Self::Doctor(_)
            | Self::Health(_)
            | Self::Trace(_)
            | Self::Why(_)
            | Self::Ca(_)
            | Self::Completions(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_commands_do_not_contradict_each_other() {
        Args::command().debug_assert();
    }
}
