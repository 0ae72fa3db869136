//! Placeholder head.
mod address;
mod bind;
mod handshake;
mod quic;
mod identity;
mod node_id;
mod session;
pub use address::*;
pub use bind::*;
pub use quic::*;
pub use identity::*;
pub use node_id::*;
pub use session::*;
