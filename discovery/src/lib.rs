//! Who is alive in a mesh, and what they offer.
//!
//! Every node announces one signed [record](NodeRecord) of itself; gossip spreads it; every node holds all of them in a
//! [`Directory`]. A [`GopherMap`] is a node's part in this. It opens no port and no session: gossip travels over whatever
//! sessions the runtime holds, through a small port, the [`Carrier`].
//!
//! ```text
//!   announce, greet, received           snapshot, watch
//!            |                                |
//!        GopherMap ---- records, life --> Directory
//!            |
//!       Membership (chitchat, behind a filter; or pulses)
//!            |
//!         Carrier: bytes to a node id
//! ```
//!
//! What this crate is not: it knows no sessions, calls or actors, dials nobody, elects nobody, and promises no more than
//! gossip can: views differ for a moment, and agree when nothing changes.
//!
//! # Whom to believe
//! A record is believed because its owner signed it, and its owner because the mesh's authority did. Who is *alive* is
//! believed on the word of any member: signs of life are not signed. A lying member can keep a dead node in view while it lies; it can
//! neither change what a node offers, nor remove a living one, nor stop anybody's gossip.
//! What it tries is rejected and counted ([`Rejection`]).
//!
//! # Modules, in reading order
//! - `record`: what a node announces, and its signed form
//! - `directory`: snapshots, watches, and the pure reducer that makes them
//! - `config`, `stats`, `tally`, `now`: the bounds, what is counted, and both clocks
//! - `carrier`: the port to the runtime's sessions
//! - `membership`: the port to a membership protocol
//! - `gossip`: chitchat behind that port, its driver, its wire format and the filter in front of it
//! - `pulse`: a protocol of our own behind that port, which costs a hundredth
//! - `gopher_map`: the handle that holds all of it together
//! - `seeds`: whom to dial first
//! - `fuzzing`: in tests and under fuzzers only, a function for each decoder

mod carrier;
mod config;
mod directory;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod gopher_map;
mod gossip;
mod membership;
mod now;
mod pulse;
mod record;
mod seeds;
mod stats;
mod tally;

pub use self::{
    carrier::Carrier,
    config::{Config, ConfigError, Protocol},
    directory::{Change, Directory, Snapshot, Watch},
    gopher_map::{AnnounceError, GopherMap, StartError},
    membership::GossipStopped,
    record::{Announcement, NodeRecord, NodeState, RECORD_BYTES_MAX, RecordTooLarge, ServiceRecord},
    seeds::{Mdns, SeedError, SeedSource},
    stats::{GossipStats, Rejection},
};
