//! Write a service as an actor, start a node, call any service by name from anywhere in the mesh.

mod channel;
mod client;
mod codec;
mod config;
mod control_api;
mod control_client;
mod counters;
mod failure;
mod node;
mod service;
mod supervisor;
mod task;
mod wire;

pub use client::{Call, DynamicError, OneWay, ServiceClient, ServiceError};
pub use codec::Codec;
pub use config::{Config, Limits};
pub use control_api::{NodeInfo, ServiceInfo};
pub use control_client::{ControlClient, ControlError};
pub use counters::Counts;
pub use failure::{CallError, Failure, Outcome, Reason};
pub use node::{DataDirError, Node, NodeBuilder, StartError};
pub use qmesh_discovery::{
    Change, Directory, Mdns, NodeRecord, NodeState, SeedError, SeedSource, ServiceRecord, Snapshot, Watch,
};
pub use qmesh_macros::service;
pub use qmesh_transport::{
    Address, Authority, Credentials, Identity, IdentityError, MemoryNetwork, NodeId, PeerIdentity, QuicConfig, Role,
};
pub use service::{Caller, Context, Server};
pub use supervisor::{ActorInfo, ActorState, RestartPolicy};

/// What most programs import: `use qmesh::prelude::*;`.
pub mod prelude {
    pub use crate::{Address, CallError, Config, Context, Failure, Identity, Node, Outcome, ServiceClient};
    pub use serde::{Deserialize, Serialize};
}

/// What `#[qmesh::service]` writes against. Not for use by hand: it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use crate::{
        client::{Call, Client, Fallible, OneWay, Plain, ServiceClient},
        codec::{BadArguments, Codec},
        failure::Failure,
        service::{Context, Contract, Method, Never, Parameter, Reply, Responder, Serve, Server, misrouted},
    };
    pub use serde;
}
