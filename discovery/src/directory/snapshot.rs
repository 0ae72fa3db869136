//! One immutable view of the mesh.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use qmesh_transport::NodeId;

use crate::{NodeRecord, NodeState};

/// Who was alive at one moment, and what they offered. Everything in it is ordered.
#[derive(Debug, Default)]
pub struct Snapshot {
    version: u64,
    nodes: BTreeMap<NodeId, Arc<NodeRecord>>,
    services: BTreeMap<String, Vec<Arc<NodeRecord>>>,
    gone: BTreeSet<NodeId>,
}

impl Snapshot {
    /// Groups the living by service. `gone` are those known to have left in order.
    pub(super) fn new(
        version: u64,
        living: impl Iterator<Item = Arc<NodeRecord>>,
        gone: BTreeSet<NodeId>,
    ) -> Self {
        let nodes: BTreeMap<_, _> = living.map(|record| (record.id, record)).collect();
        let mut services: BTreeMap<String, Vec<Arc<NodeRecord>>> = BTreeMap::new();
        for record in nodes.values().filter(|record| record.state == NodeState::Ready) {
            for service in &record.services {
                let endpoints = services.entry(service.name.clone()).or_default();
                // A node that names a service twice is still one endpoint of it.
                if endpoints.last().is_none_or(|last| last.id != record.id) {
                    endpoints.push(Arc::clone(record));
                }
            }
        }
        Self { version, nodes, services, gone }
    }

    /// Grows with every change of the directory; 0 is the empty one before anything was known.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The nodes that are alive, by id, this one included; who left or fell silent is not among them.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Arc<NodeRecord>> {
        self.nodes.values()
    }

    /// The record of a node that is alive.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&Arc<NodeRecord>> {
        self.nodes.get(&id)
    }

    /// The nodes, by id, that are [ready](NodeState::Ready) and offer a service; none where nobody does.
    #[must_use]
    pub fn endpoints(&self, service: &str) -> &[Arc<NodeRecord>] {
        self.services.get(service).map_or(&[], Vec::as_slice)
    }

    /// The names, in order, of all services that have an endpoint.
    pub fn service_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.services.keys().map(String::as_str)
    }

    /// Whether a node that is not alive is known to have left in order.
    pub(crate) fn left(&self, id: NodeId) -> bool {
        self.gone.contains(&id)
    }
}
