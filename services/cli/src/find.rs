//! Finding a node to ask: the one that is named, one of this host, or one of the local network.

mod files;
mod network;
mod race;
mod vacancy;

use std::time::Duration;

use clap::Args;
use qmesh::{Address, ControlClient};
use tokio::time::sleep;

use crate::{
    exit::{Exit, Problem},
    member::{Known, Member},
};

/// Which node to ask.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The node to ask, by URL or name (default: any that runs on this host, then any in the local network).
    #[arg(long, env = "QMESH_NODE", hide_env_values = true, value_name = "URL|NAME")]
    pub(crate) node: Option<String>,
    #[command(flatten)]
    pub(crate) member: Member,
}

/// How long a node that was named may take to answer.
const NAMED_MAX: Duration = Duration::from_secs(5);
/// How long a node of this host or of the local network may take to answer.
const NEARBY_MAX: Duration = Duration::from_millis(1500);
/// The head start of the nodes of this host: nobody else is asked where one of them answers.
const HERE_FIRST: Duration = Duration::from_millis(300);
/// How long the local network is listened to: its first answer takes about a second.
const NETWORK_MAX: Duration = Duration::from_millis(2500);

/// A node that might be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// What a person calls it, where that is known.
    pub(crate) name: Option<String>,
    pub(crate) address: Address,
}

// === impl Target ===

impl Target {
    /// Connects to the node.
    ///
    /// # Errors
    /// A [`Problem`] that tells what was tried.
    pub(crate) async fn connect(&self) -> anyhow::Result<ControlClient> {
        let guest = self.member.guest()?;
        match &self.node {
            None => self.any(&guest).await,
            Some(url) if url.contains("://") => at(&guest, url).await,
            Some(name) if name.contains(':') => {
                Err(Problem::usage(format!("`{name}` is neither a name nor a URL"))
                    .hint(format!("write quic://{name}"))
                    .into())
            }
            Some(name) => self.named(&guest, name).await,
        }
    }

    async fn any(&self, guest: &Known) -> anyhow::Result<ControlClient> {
        let here = files::read(&self.member.data_dir.path, None);
        let head_start = if here.is_empty() { Duration::ZERO } else { HERE_FIRST };
        let mut attempts = race::Attempts::new();
        attempts.spawn(race::among(guest.clone(), here, NEARBY_MAX));
        attempts.spawn(in_the_network(guest.clone(), head_start));
        race::first(attempts).await.map_err(|mut tried| {
            tried.push("start one with `qmesh dev`, or name one: --node quic://HOST:PORT".to_owned());
            let what = format!("no node of mesh `{}` answers", guest.identity.mesh());
            Problem::new(Exit::NoNode, what).hint(tried.join("\n")).into()
        })
    }

    /// A node of this host, or one that any node of this host knows.
    async fn named(&self, guest: &Known, name: &str) -> anyhow::Result<ControlClient> {
        let here = files::read(&self.member.data_dir.path, Some(name));
        if let Ok(client) = race::among(guest.clone(), here, NEARBY_MAX).await {
            return Ok(client);
        }
        let mut any = self.any(guest).await?;
        let nodes = any.nodes().await?;
        let Some(node) = nodes.iter().find(|node| node.name == name) else {
            let known: Vec<_> = nodes.iter().map(|node| node.name.as_str()).collect();
            let what = format!("{} knows no node `{name}`", any.node());
            return Err(Problem::new(Exit::NoNode, what)
                .hint(format!("it knows {}", known.join(", ")))
                .into());
        };
        let addresses = node.addresses.iter().filter_map(|address| address.parse().ok());
        let candidates =
            addresses.map(|address| Candidate { name: Some(name.to_owned()), address }).collect();
        race::among(guest.clone(), candidates, NAMED_MAX).await.map_err(|tried| {
            let what = format!("node `{name}` does not answer");
            Problem::new(Exit::NoNode, what).hint(tried.join("\n")).into()
        })
    }
}

/// Any node that multicast DNS tells of. A network without it is one without nodes.
async fn in_the_network(guest: Known, head_start: Duration) -> Result<ControlClient, Vec<String>> {
    sleep(head_start).await;
    let found = network::search(&guest, NETWORK_MAX).await.unwrap_or_else(|error| {
        tracing::debug!(target: "qmesh::cli", error, "no multicast DNS");
        Vec::new()
    });
    race::among(guest, found, NEARBY_MAX).await
}

async fn at(guest: &Known, url: &str) -> anyhow::Result<ControlClient> {
    let address = url
        .parse()
        .map_err(|error: <Address as std::str::FromStr>::Err| Problem::usage(error.to_string()))?;
    let candidate = Candidate { name: None, address };
    race::among(guest.clone(), vec![candidate], NAMED_MAX).await.map_err(|tried| {
        let hint = format!("{}\nsee who runs: qmesh nodes", tried.join("\n"));
        Problem::new(Exit::NoNode, format!("no node of mesh `{}` answers at {url}", guest.identity.mesh()))
            .hint(hint)
            .into()
    })
}
