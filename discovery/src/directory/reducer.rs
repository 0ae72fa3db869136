//! Turns what gossip tells into views. Pure: no clock, no task, no lock.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use qmesh_transport::NodeId;

use super::Snapshot;
use crate::{NodeRecord, NodeState, membership::Event};

/// All that is known: the newest record of each node, and who shows signs of life.
///
/// A node's records are ordered by generation, then version, so two runs of one node never stand side by side. A node is
/// in the view if any of its runs shows life: the first record of a new run shows it before its heartbeats do.
pub(super) struct Reducer {
    own: NodeId,
    records: BTreeMap<NodeId, Arc<NodeRecord>>,
    alive: BTreeSet<NodeId>,
}

impl Reducer {
    pub(super) const fn new(own: NodeId) -> Self {
        Self { own, records: BTreeMap::new(), alive: BTreeSet::new() }
    }

    /// Takes an event in; whether the view changes by it.
    pub(super) fn apply(&mut self, event: Event) -> bool {
        match event {
            Event::Records(records) => {
                records.into_iter().fold(false, |changed, record| changed | self.record(record))
            }
            Event::Alive(alive) => self.alive(alive),
            Event::Forgotten(ids) => ids.into_iter().fold(false, |changed, id| changed | self.forget(id)),
        }
    }

    /// The view.
    pub(super) fn snapshot(&self, version: u64) -> Snapshot {
        let living = self.records.values().filter(|record| self.is_visible(record)).cloned();
        let gone = self.records.values().filter(|record| record.state == NodeState::Gone);
        Snapshot::new(version, living, gone.map(|record| record.id).collect())
    }

    fn record(&mut self, record: Arc<NodeRecord>) -> bool {
        let known = self.records.get(&record.id);
        if known.is_some_and(|known| known.order() >= record.order()) {
            return false;
        }
        let was_visible = known.is_some_and(|known| self.is_visible(known));
        let changed = was_visible || self.is_visible(&record);
        self.records.insert(record.id, record);
        changed
    }

    fn alive(&mut self, alive: BTreeSet<NodeId>) -> bool {
        let before = std::mem::replace(&mut self.alive, alive);
        before.symmetric_difference(&self.alive).any(|id| self.is_announced(*id))
    }

    fn forget(&mut self, id: NodeId) -> bool {
        // Who shows life is not forgotten, whatever gossip drops from its memory.
        if id == self.own || self.alive.contains(&id) {
            return false;
        }
        // Out of the view it was already; only whether it left or died is forgotten with it.
        self.records.remove(&id);
        false
    }

    fn is_announced(&self, id: NodeId) -> bool {
        id != self.own && self.records.get(&id).is_some_and(|record| record.state != NodeState::Gone)
    }

    fn is_visible(&self, record: &NodeRecord) -> bool {
        record.state != NodeState::Gone && (record.id == self.own || self.alive.contains(&record.id))
    }
}
