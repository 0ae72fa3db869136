//! One idea each, in the order to read them. Run one with `cargo run -p qmesh-examples --example hello`.
//!
//! - `hello`: a trait, a struct, two nodes, a call by name
//! - `failover`: three endpoints, two of which go away, and no call that fails
//! - `supervision`: a service that panics, is restarted, and is given up
//! - `cancellation`: calls and streams that are given up, and what their handlers notice of it
//! - `file_copy`: a stream in either direction, a checksum at both ends, and a copy that is cut
//! - `chat`: a room in another process, and a member that stops reading; by hand, `-- serve` and `-- join NAME`
//! - `deadlock`: two services that wait for each other, found over two nodes; by hand, `-- stay`, and `qmesh top`
