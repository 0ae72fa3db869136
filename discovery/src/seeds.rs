//! Whom to dial first: where the addresses of a mesh's nodes come from before gossip knows any.
//!
//! A source tells addresses, never ids: a handshake tells those. Sources are asked again and again for as long as the node
//! lives, so that a mesh that was cut in two finds itself.

mod dns;
mod files;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod mdns;

use std::{io, net::SocketAddr, path::PathBuf};

use qmesh_transport::Address;

pub use self::mdns::Mdns;

/// A place that knows addresses of nodes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SeedSource {
    /// These.
    Addresses(Vec<Address>),
    /// All A and AAAA records of a host name, asked for anew each time.
    Dns {
        /// The name; one that ends in a dot is not completed by search domains.
        host: String,
        /// The port of all nodes behind it.
        port: u16,
        /// Which server to ask, over UDP; the system's configuration if none.
        server: Option<SocketAddr>,
    },
    /// The nodes that announce themselves in the local network.
    Mdns(Mdns),
    /// The nodes of this host: `<data directory>/nodes/<name>/address`, one URL per line.
    Files(PathBuf),
}

/// Why a source told nothing. Asking again later is safe.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeedError {
    /// The system's DNS configuration cannot be used, or no server gave an answer.
    #[error("cannot resolve {host}: {source}")]
    Dns {
        /// The name.
        host: String,
        /// What the resolver said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Multicast DNS cannot run here.
    #[error("multicast DNS: {0}")]
    Mdns(Box<dyn std::error::Error + Send + Sync>),
    /// The data directory cannot be read. One that does not exist is no error.
    #[error("cannot read {path}: {source}")]
    Files {
        /// What could not be read.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl SeedSource {
    /// The addresses that the source knows now, in order and without repetition. This node's own may be among them.
    ///
    /// # Errors
    /// [`SeedError`]. A source that is there and knows nobody gives an empty list.
    ///
    /// # Cancel safety
    /// Cancelling loses nothing.
    pub async fn resolve(&self) -> Result<Vec<Address>, SeedError> {
        let mut addresses = match self {
            Self::Addresses(addresses) => addresses.clone(),
            Self::Dns { host, port, server } => dns::resolve(host, *port, *server).await?,
            Self::Mdns(mdns) => mdns.found()?,
            Self::Files(data) => files::read(data.clone()).await?,
        };
        addresses.sort_unstable();
        addresses.dedup();
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests;
