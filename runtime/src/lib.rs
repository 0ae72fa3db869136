//! Write a service as an actor, start a node, call any service by name from anywhere in the mesh.
//!
//! A trait is the contract, a struct is the service, a node runs it, and a client of the same trait calls it, on this
//! node or on any other:
//!
//! ```
//! use qmesh::{Authority, MemoryNetwork, prelude::*};
//!
//! #[qmesh::service(name = "guests.Book")]
//! pub trait Book {
//!     /// Adds a line and says how many there are.
//!     async fn sign(&mut self, cx: &Context, text: String) -> usize;
//!     /// All lines.
//!     #[idempotent]
//!     async fn lines(&self) -> Vec<String>;
//! }
//!
//! #[derive(Default)]
//! struct Guests(Vec<String>);
//!
//! impl Book for Guests {
//!     async fn sign(&mut self, cx: &Context, text: String) -> usize {
//!         self.0.push(format!("{}: {text}", cx.caller().name()));
//!         self.0.len()
//!     }
//!
//!     async fn lines(&self) -> Vec<String> {
//!         self.0.clone()
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Two nodes in one process. Over a real network, leave `memory` out; for development,
//! // `Identity::dev("./.qmesh")` is all the identity that is needed.
//! let (identity, network) = (Identity::issued_by(&Authority::ephemeral("home")?), MemoryNetwork::new(1));
//! let desk = Node::builder("desk").identity(identity.clone()).memory(&network);
//! let desk = desk.serve(BookServer::new(Guests::default)).start().await?;
//! let door = Node::builder("door").identity(identity).memory(&network);
//! let door = door.seed(Address::memory("desk")).start().await?;
//!
//! let book: BookClient = door.client();
//! assert_eq!(book.sign("hello").await?, 1);
//! assert_eq!(book.lines().await?, ["door: hello"]);
//!
//! door.shutdown().await;
//! desk.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What it is made of
//!
//! - A [`Node`] is one member of a mesh. [`Node::builder`] says who it is ([`Identity`]), where it listens, whom it asks
//!   first ([`SeedSource`]) and what it serves. It supervises everything it runs; [`Node::tree`] shows it.
//! - A **contract** is a trait with [`macro@service`] on it. The attribute makes its server (`BookServer`), which takes a
//!   factory for the service's state, and its client (`BookClient`).
//! - A **service** is an actor with a bounded queue. `&mut self` methods run alone, `&self` ones overlap, in the order of
//!   admission. After a panic the state comes anew from the factory ([`RestartPolicy`]); the queue stays.
//! - A [`Context`] tells a handler who calls, until when, and whether the call is still wanted.
//! - A **call** ([`Call`]) is a builder until it is awaited. It waits for an endpoint, picks one of several by load, and is
//!   repeated where that is safe. Inside one node the arguments move and no codec runs.
//! - A **stream** ([`stream()`]) is a bounded sequence of items: a method takes a [`Receiver`], returns one, or both.
//! - A [`Failure`] says what is known of the execution: its [`Outcome`] is *not sent*, *not executed* or *unknown*.
//! - The [`Directory`] is what this node knows of all others: immutable snapshots, and watches.
//! - [`Config`] has every setting and bound, with presets for one host, one network and many.
//! - [`Server::authorize`] and [`Rules`] say who may call what. Without them, whoever belongs to the mesh may.
//! - [`Node::events`] tells what happens: who joins and leaves, which service is restarted, which call is refused ([`MeshEvent`]).
//! - A [`ControlClient`] asks a node about the mesh without being a member of it.
//!
//! # What it is not
//!
//! No broker: a call goes from node to node, and is stored nowhere. No promise of *exactly once*: a call whose outcome is
//! unknown may have run. No order between calls that a balanced client spreads over endpoints. It reads no environment, and installs no subscriber, no crypto provider and no signal handler.
//!
//! # Modules, in reading order
//!
//! - `node`: the handle, its builder, and the loops of sessions, peers, gossip and seeds
//! - `service`: contracts, the queue of a service, its actor, its replies
//! - `client`: a call, its patient way, its route, an endpoint elsewhere
//! - `layer`: what stands in front of the calls of a client, or of a service
//! - `stream`: its two ends, in one process
//! - `channel`, `wire`: calls and streams as bytes
//! - `authorize`: who may call what
//! - `call_tree`: what a call may spend, and what the calls of its handler inherit
//! - `failure`, `codec`, `config`, `counters`, `metadata`: small nouns that all of them use
//! - `telemetry`: what is told to tracers
//! - `events`: what happened, typed
//! - `supervisor`, `task`: who restarts what, and whose each task is
//! - `control_api`, `control_client`: what command lines ask
//! - `console`: pages in a browser that ask the same; `http`: requests on a socket, for these and for metrics
//! - `fuzzing`: in tests and under fuzzers only, a function for each decoder
//! - `instructions`: in benchmarks only, hot pieces that are not public

// A contract in `fuzzing` names this crate as any other crate's does.
#[cfg(any(test, fuzzing))]
extern crate self as qmesh;

mod authorize;
mod call_tree;
mod channel;
mod client;
mod codec;
mod config;
#[cfg(feature = "console")]
mod console;
mod control_api;
mod control_client;
mod counters;
mod duration;
mod events;
mod failure;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(any(feature = "console", feature = "telemetry"))]
mod http;
#[cfg(feature = "__instructions")]
#[doc(hidden)]
pub mod instructions;
mod layer;
mod metadata;
mod node;
mod pace;
mod random;
mod service;
mod stream;
mod supervisor;
mod task;
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
mod wire;

pub use authorize::{Decision, RuleError, Rules};
pub use client::{Call, DynamicError, OneWay, ServiceClient, ServiceError, StreamCall};
pub use codec::Codec;
pub use config::{Config, ConfigError, Limits};
#[cfg(feature = "console")]
pub use console::{Console, ConsoleError, OpenConsole};
pub use control_api::{
    About, Deadlock, Flow, Latency, MethodInfo, NodeInfo, ServiceInfo, ServiceLoad, SessionLoad, SpanInfo,
    Tap, Tapped, TraceFilter, TraceInfo, Traffic, UnreachableInfo, Waiting, deadlocks,
};
pub use control_client::{ControlClient, ControlError, EventsAnswer, StreamAnswer, StreamTimes};
pub use counters::{Counts, OneWayCounts};
pub use events::{Events, Happened, MeshEvent, Severity};
pub use failure::{CallError, Failure, Outcome, Reason};
pub use layer::{CallLayer, Next, Request, Response};
pub use metadata::Metadata;
pub use node::{DataDirError, Node, NodeBuilder, StartError};
pub use qmesh_discovery::{
    Change, Directory, Mdns, NodeRecord, NodeState, Protocol as GossipProtocol, SeedError, SeedSource,
    ServiceRecord, Snapshot, Watch,
};
pub use qmesh_macros::service;
pub use qmesh_transport::{
    Address, Authority, Credentials, Identity, IdentityError, IssueOptions, MemoryNetwork, NodeId,
    PeerIdentity, PrivateKey, QuicConfig, Role,
};
pub use service::{Caller, Context, Server, WarmUp};
pub use stream::{Receiver, Sender, TrySendError, stream};
pub use supervisor::{ActorInfo, ActorState, RestartPolicy};
#[cfg(feature = "telemetry")]
pub use telemetry::{Export, ExportError, Metrics, Unreadable};
pub use telemetry::{Sampling, Telemetry};

/// What most programs import: `use qmesh::prelude::*;`.
pub mod prelude {
    pub use crate::{
        Address, CallError, Config, Context, Failure, Identity, Node, Outcome, Receiver, Sender,
        ServiceClient,
    };
    pub use serde::{Deserialize, Serialize};
}

/// What `#[qmesh::service]` writes against. Not for use by hand: it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use crate::{
        client::{
            Answers, Call, CallResult, Client, Fallible, FallibleStreaming, Make, OneWay, Plain, Returns,
            ServiceClient, StreamCall, StreamResult, Streaming, Upload,
        },
        codec::{BadArguments, Codec},
        failure::Failure,
        service::{
            Context, Contract, Method, Never, Parameter, Ports, Reply, Responder, Serve, Server, StreamReply,
            misrouted,
        },
        stream::Receiver,
    };
    pub use serde;
}

/// The program in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
