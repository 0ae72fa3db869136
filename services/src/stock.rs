//! The stock services by name.

use std::{fmt, str::FromStr};

use qmesh::{Failure, Node, NodeBuilder};

use crate::{clock, echo};

/// A stock service, known by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Stock {
    /// [`clock.Clock`](clock::Clock)
    Clock,
    /// [`echo.Echo`](echo::Echo)
    Echo,
}

/// A name that no stock service has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no stock service `{name}`; there are {}", Stock::names())]
pub struct UnknownService {
    /// The name.
    pub name: String,
}

impl Stock {
    /// All of them, by name.
    pub const ALL: [Self; 2] = [Self::Clock, Self::Echo];
    /// How long a [`call`](Self::call) of the clock takes, in milliseconds: long enough to be at work when something happens.
    pub const WAIT_MS: u64 = 20;

    /// The name that callers use, for example `echo.Echo`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clock => "clock.Clock",
            Self::Echo => "echo.Echo",
        }
    }

    /// Adds the service to a node.
    pub fn serve(self, node: NodeBuilder) -> NodeBuilder {
        match self {
            Self::Clock => node.serve(clock::server()),
            Self::Echo => node.serve(echo::server()),
        }
    }

    /// One call of the service, wherever it is: for programs that try a mesh. The echo answers at once, the clock after
    /// [`WAIT_MS`](Self::WAIT_MS).
    ///
    /// # Errors
    /// The call failed.
    ///
    /// # Cancel safety
    /// Dropping it cancels the call.
    pub async fn call(self, node: &Node) -> Result<(), Failure> {
        match self {
            Self::Clock => node.client::<clock::ClockClient>().wait(Self::WAIT_MS).await.map(drop),
            Self::Echo => node.client::<echo::EchoClient>().say("hello").await.map(drop),
        }
    }

    fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

// === impl Stock ===

impl fmt::Display for Stock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Stock {
    type Err = UnknownService;

    fn from_str(name: &str) -> Result<Self, UnknownService> {
        let known = Self::ALL.into_iter().find(|stock| stock.name() == name);
        known.ok_or_else(|| UnknownService { name: name.to_owned() })
    }
}
