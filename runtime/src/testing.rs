//! A whole mesh inside of `cargo test`: nodes in one process, virtual time, faults by hand or by seed, and checks of what
//! must hold whatever happens.
//!
//! ```sh
//! cargo add --dev qmesh --features testing
//! ```
//!
//! ```
//! use std::time::Duration;
//!
//! use qmesh::{
//!     prelude::*,
//!     testing::{Mesh, each_seed, seeds},
//! };
//!
//! #[qmesh::service(name = "guests.Book")]
//! pub trait Book {
//!     #[idempotent]
//!     async fn lines(&self, cx: &Context) -> Vec<String>;
//! }
//!
//! struct Guests;
//!
//! impl Book for Guests {
//!     async fn lines(&self, cx: &Context) -> Vec<String> {
//!         vec![format!("kept by {}", cx.node())]
//!     }
//! }
//!
//! // In a test of yours, this is the body of a `#[test]` function.
//! each_seed(seeds(0..3, std::env::var("QMESH_SEED").ok()), |seed| async move {
//!     let mesh = Mesh::builder().nodes(5).seed(seed);
//!     let mesh = mesh.furnish(|site, node| match site.number() {
//!         0 | 1 => node.serve(BookServer::new(|| Guests)),
//!         _ => node,
//!     });
//!     let mesh = mesh.build().await;
//!
//!     // One of two servers dies, and the other is out of reach for ten seconds.
//!     let book: BookClient = mesh.client(4);
//!     mesh.crash(0);
//!     mesh.cut(1, 4);
//!     let call = tokio::spawn(async move { book.lines().timeout(Duration::from_secs(60)).await });
//!     tokio::time::sleep(Duration::from_secs(10)).await;
//!     mesh.heal();
//!     assert_eq!(call.await.unwrap().unwrap(), ["kept by node-1"]);
//!
//!     mesh.restart(0).await;
//!     mesh.agree(Duration::from_secs(10)).await;
//!     mesh.shutdown().await;
//! });
//! ```
//!
//! The ten seconds take milliseconds: [`simulate`], on which [`each_seed`] is built, runs everything on one thread whose
//! clock stands still while anything can run. A [`Mesh`] works in `#[tokio::test(start_paused = true)]` as well.
//!
//! # A seed replays exactly
//!
//! Keys, links, choices between endpoints, pauses: all of them derive from the seed, and gossip goes by pulses, which
//! know no chance. So a seed that fails fails again, at the same moment. [`each_seed`] prints it, with the last events and
//! the command that runs it alone; [`Log`] has all events with their virtual times, and a fingerprint to compare. What
//! your own code adds must not be left to chance either: see [`simulate`]. [`MeshBuilder::chitchat`] runs the same test
//! over the gossip that nodes have by default, which no seed replays.
//!
//! # What goes wrong
//!
//! By hand: [`Mesh::crash`], [`Mesh::restart`], [`Mesh::stop`], [`Mesh::cut`], [`Mesh::cut_one_way`], [`Mesh::heal`], or any
//! [`Fault`] through [`Mesh::inject`]: slow links, handlers that ask [`Site::be_slow`], a date that jumps. By seed:
//! [`FaultPlan::draw`], [`Mesh::play`], and [`Mesh::mend`] in the end.
//!
//! # What is checked
//!
//! - throughout: no service holds more calls than its queue has places;
//! - by [`Mesh::agree`]: every node that runs sees exactly those that run;
//! - by [`Mesh::shutdown`]: no place is taken, no send unacknowledged and no task left when nobody wants anything any more;
//! - by the [`Ledger`], for callers and handlers that write into it: every call has exactly one end, in its time; what
//!   was answered was handled; what was *not sent* or *not executed* was not; what may not be repeated was handled once at
//!   most; what was sent in order was handled in order.
//!
//! Nothing of it works on real sockets, and one-way cuts, delays and losses are those of sessions in memory: what lies
//! below a session (packets, TLS) is not simulated.

mod builder;
mod checks;
mod faults;
mod ledger;
mod log;
mod mesh;
mod run;
mod site;

pub use self::{
    builder::MeshBuilder,
    checks::Report,
    faults::{Fault, FaultPlan},
    ledger::{CallKind, Ledger, Sums, Ticket},
    log::{Log, LogEntry},
    mesh::Mesh,
    run::{each_seed, seeds, simulate},
    site::Site,
};
pub use crate::counters::OneWayCounts;
pub use qmesh_transport::Link;
