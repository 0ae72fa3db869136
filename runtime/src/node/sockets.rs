//! The sockets of a node: where it listens, and how it dials. They are let go when the node ends, whoever still has a
//! handle or a client of it, so that another one can have their addresses.

use std::sync::Arc;

use qmesh_transport::{Dialer, Listener, QuicEndpoint};

/// The sockets of a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sockets {
    pub(crate) listeners: Vec<Arc<dyn Listener>>,
    pub(crate) dialers: Vec<Arc<dyn Dialer>>,
    pub(crate) quic: Vec<QuicEndpoint>,
}
