//! One idea each, in the order to read them. Run one with `cargo run -p qmesh-examples --example hello`.
//!
//! - `hello`: a trait, a struct, two nodes, a call by name
//! - `failover`: three endpoints, two of which go away, and no call that fails
//! - `supervision`: a service that panics, is restarted, and is given up
//! - `cancellation`: calls and streams that are given up, and what their handlers notice of it
//! - `file_copy`: a stream in either direction, a checksum at both ends, and a copy that is cut
//! - `chat`: a room in another process, and a member that stops reading; by hand, `-- serve` and `-- join NAME`
//! - `incident`: a slow service, two that wait for each other, and a pulled cable, and what a guest sees of each; by hand, `-- --stay`
