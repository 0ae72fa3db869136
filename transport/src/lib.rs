//! Placeholder head.
mod address;
mod identity;
mod node_id;
mod session;
pub use address::*;
pub use identity::*;
pub use node_id::*;
pub use session::*;
