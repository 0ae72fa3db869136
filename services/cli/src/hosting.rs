//! What the commands that run a node have in common: where it listens, whom it asks first, what it says at its start.

use std::path::Path;

use clap::{Args, ValueEnum};
use qmesh::{
    Address, Config, Identity, Node, NodeBuilder, OpenConsole, Rules, SeedSource, StartError, Telemetry,
};
use qmesh_services::Stock;
use serde::Serialize;

use crate::{
    address::HttpAddress,
    exit::Problem,
    output::{self, OutputFormat, Shade, Table, bold},
};

/// How a node is reached and finds others.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct Hosting {
    /// Where to listen: quic://HOST:PORT (default: this host alone, on a port that the system chooses).
    #[arg(long, value_name = "URL")]
    listen: Vec<Address>,
    /// Where others reach the node (default: where it listens). Needed with a wildcard such as 0.0.0.0.
    #[arg(long, value_name = "URL")]
    advertise: Vec<Address>,
    /// A node to ask first; nodes that share a data directory find each other without.
    #[arg(long, value_name = "URL")]
    seed: Vec<Address>,
    /// A DNS name whose addresses are nodes to ask first.
    #[arg(long, value_name = "HOST:PORT", value_parser = dns)]
    dns: Vec<SeedSource>,
    /// A label for placement, such as a rack or a region.
    #[arg(long)]
    zone: Option<String>,
    /// How far apart the nodes of the mesh are (default: `local` if none is on another host, else `lan`).
    #[arg(long, value_enum)]
    preset: Option<Preset>,
    /// Let whoever asks this node see the arguments of the calls that it makes, with `qmesh tap --payload`.
    #[arg(long)]
    show_payloads: bool,
    /// Answer for metrics at http://ADDRESS/metrics, for Prometheus: a port of this host alone, or ADDRESS:PORT.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<HttpAddress>,
}

/// How soon silence means that a session is lost: the presets of [`Config`].
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Preset {
    /// After one second.
    Local,
    /// After five seconds.
    Lan,
    /// After half a minute.
    Wan,
}

/// A node to be.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) name: &'a str,
    pub(crate) identity: &'a Identity,
    pub(crate) data_dir: &'a Path,
    pub(crate) hosting: &'a Hosting,
    pub(crate) services: &'a [Stock],
    pub(crate) mdns: bool,
    /// Who may call what; all may where there are none.
    pub(crate) rules: Option<&'a Rules>,
    pub(crate) telemetry: &'a Telemetry,
}

/// The last line before the logs.
pub(crate) const HOW_TO_END: &str = "\nCtrl-C ends the node in order.\n";

/// What a node says of itself at its start.
#[derive(Debug, Serialize)]
struct Started<'a> {
    node: &'a str,
    id: String,
    mesh: &'a str,
    addresses: Vec<String>,
    services: Vec<&'static str>,
    data_dir: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    console: Option<String>,
}

// === impl Plan ===

impl Plan<'_> {
    /// Starts the node.
    ///
    /// # Errors
    /// [`StartError`]; nothing of the node is left.
    pub(crate) async fn start(&self) -> Result<Node, StartError> {
        let node = self.builder().start().await?;
        if self.hosting.seeds_are_elsewhere() && node.addresses().iter().all(is_here) {
            tracing::warn!(
                target: "qmesh::cli",
                "a seed is on another host, and this node can be reached on this host alone: \
                 --listen quic://0.0.0.0:4433 --advertise quic://THIS_HOST:4433"
            );
        }
        Ok(node)
    }

    fn builder(&self) -> NodeBuilder {
        let hosting = self.hosting;
        let mut node = Node::builder(self.name)
            .identity(self.identity.clone())
            .data_dir(self.data_dir)
            .config(hosting.config())
            .telemetry(self.telemetry.clone())
            .mdns(self.mdns);
        for address in &hosting.listen {
            node = node.listen(address.clone());
        }
        for address in &hosting.advertise {
            node = node.advertise(address.clone());
        }
        for address in &hosting.seed {
            node = node.seed(address.clone());
        }
        for source in &hosting.dns {
            node = node.seeds(source.clone());
        }
        if let Some(zone) = &hosting.zone {
            node = node.zone(zone);
        }
        if let Some(rules) = self.rules {
            node = node.authorize_by(rules.clone());
        }
        self.services.iter().fold(node, |node, stock| stock.serve(node))
    }

    /// Says that the node runs.
    ///
    /// # Errors
    /// Standard output cannot be written to.
    pub(crate) fn announce(
        &self,
        node: &Node,
        console: Option<&OpenConsole>,
        output: OutputFormat,
    ) -> anyhow::Result<()> {
        let started = Started {
            node: node.name(),
            id: node.id().to_string(),
            mesh: self.identity.mesh(),
            addresses: node.addresses().iter().map(Address::to_string).collect(),
            services: self.services.iter().map(|stock| stock.name()).collect(),
            data_dir: self.data_dir.display().to_string(),
            metrics: self.hosting.metrics.map(|address| address.url("metrics")),
            console: console.map(OpenConsole::url),
        };
        match output {
            OutputFormat::Json => output::json(&started)?,
            OutputFormat::Table => started.print()?,
        }
        Ok(())
    }
}

// === impl Started ===

impl Started<'_> {
    fn print(&self) -> anyhow::Result<()> {
        output::line(format!("node {} of mesh {} runs\n", bold(self.node), bold(self.mesh)))?;
        let mut facts = Table::new(["", "", ""]);
        for (key, value) in [
            ("id", self.id.clone()),
            ("address", self.addresses.join("\n")),
            ("services", self.services.join(", ")),
            ("data", self.data_dir.clone()),
            ("metrics", self.metrics.clone().unwrap_or_default()),
            ("console", self.console.clone().unwrap_or_default()),
        ] {
            if value.is_empty() {
                continue;
            }
            facts.row([
                (format!("  {key}"), Shade::Faint),
                (value, Shade::Plain),
                (String::new(), Shade::Plain),
            ]);
        }
        Ok(facts.print()?)
    }
}

// === impl Hosting ===

impl Hosting {
    /// A node that others can only reach on this host notices a killed peer sooner.
    fn config(&self) -> Config {
        let mut places = self.listen.iter().chain(&self.advertise).chain(&self.seed);
        let mut config = match self.preset {
            Some(Preset::Local) => Config::local(),
            Some(Preset::Wan) => Config::wan(),
            None if self.dns.is_empty() && places.all(is_here) => Config::local(),
            Some(Preset::Lan) | None => Config::lan(),
        };
        config.tap_payloads = self.show_payloads;
        config
    }

    fn seeds_are_elsewhere(&self) -> bool {
        self.seed.iter().any(|seed| seed.socket().is_some_and(|socket| !socket.ip().is_loopback()))
    }
}

/// Whether the address means this host, whoever reads it.
fn is_here(address: &Address) -> bool {
    address.socket().is_some_and(|socket| socket.ip().is_loopback())
}

fn dns(text: &str) -> Result<SeedSource, Problem> {
    let wrong = || Problem::usage(format!("`{text}` is not HOST:PORT, for example nodes.example.com:4433"));
    let (host, port) = text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).ok_or_else(wrong)?;
    let port = port.parse().map_err(|_no_number: std::num::ParseIntError| wrong())?;
    Ok(SeedSource::Dns { host: host.to_owned(), port, server: None })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        hosting: Hosting,
    }

    #[test]
    fn silence_ends_a_session_as_soon_as_the_preset_says() {
        let elsewhere = "--listen=quic://10.0.0.1:4433";
        for (typed, secs) in [
            (vec![], 1),
            (vec![elsewhere], 5),
            (vec![elsewhere, "--preset=local"], 1),
            (vec!["--preset=lan"], 5),
            (vec!["--preset=wan"], 30),
        ] {
            let hosting = Typed::parse_from([&["serve"], &typed[..]].concat()).hosting;
            assert_eq!(hosting.config().quic.idle_timeout, Duration::from_secs(secs), "{typed:?}");
        }
    }

    #[test]
    fn a_dns_seed_is_a_host_and_a_port() {
        assert!(
            matches!(dns("mesh.example.:4433"), Ok(SeedSource::Dns { host, port: 4433, .. }) if host == "mesh.example.")
        );
        for wrong in ["mesh", "mesh:", "mesh:x", ":1", "mesh:70000"] {
            assert!(dns(wrong).is_err(), "{wrong}");
        }
    }
}
