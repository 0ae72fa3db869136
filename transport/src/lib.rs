//! Placeholder head.
mod address;
mod bind;
mod handshake;
mod identity;
mod memory;
mod node_id;
mod quic;
mod session;
pub use address::*;
pub use bind::*;
pub use identity::*;
pub use memory::*;
pub use node_id::*;
pub use quic::*;
pub use session::*;
