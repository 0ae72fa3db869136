//! The stock services of qmesh: small ones to try a mesh with, and to read before writing one's own.
//!
//! Each is an ordinary service. It is written against qmesh's public API alone, so whatever it does, yours can do too.
//!
//! ```
//! use qmesh::{Authority, MemoryNetwork, prelude::*};
//! use qmesh_services::echo;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let identity = Identity::issued_by(&Authority::ephemeral("example")?);
//! let node = Node::builder("lobby").identity(identity).memory(&MemoryNetwork::new(1));
//! let node = node.serve(echo::server()).start().await?;
//!
//! let echo = node.client::<echo::EchoClient>();
//! assert_eq!(echo.say("hello").await?, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! # Modules, in reading order
//! - [`echo`]: answers what it is told
//! - [`clock`]: tells the time of its node
//! - [`Stock`]: the services by name, for programs that serve what they are told to

pub mod clock;
pub mod echo;
mod stock;

pub use stock::{Stock, UnknownService};
