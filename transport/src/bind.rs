//! Why an endpoint could not be had.

use std::io;

use crate::Address;

/// Why an endpoint could not be bound. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// This transport does not serve the address's scheme.
    #[error("{0}: this transport does not serve that scheme")]
    Scheme(Address),
    /// A socket binds to an IP address of this machine, not to a name.
    #[error("{0}: bind to an IP address, for example quic://0.0.0.0:4433")]
    HostName(Address),
    /// The name is bound already.
    #[error("{0} is taken")]
    Taken(Address),
    /// A setting makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The system refused.
    #[error("{address}: {source}")]
    Socket {
        /// What was to be bound.
        address: Address,
        /// What the system said.
        source: io::Error,
    },
}

/// A setting that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}")]
pub struct ConfigError {
    /// The name of the field.
    pub field: &'static str,
    /// What must hold.
    pub rule: &'static str,
}

impl ConfigError {
    /// Fails with the rule unless it holds.
    pub(crate) fn unless(holds: bool, field: &'static str, rule: &'static str) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self { field, rule }) }
    }
}
