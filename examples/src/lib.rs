//! One idea each, in the order to read them. Run one with `cargo run -p qmesh-examples --example hello`.
//!
//! - `hello`: a trait, a struct, two nodes, a call by name
//! - `failover`: three endpoints, two of which go away, and no call that fails
//! - `supervision`: a service that panics, is restarted, and is given up
