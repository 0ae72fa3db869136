//! The differences between snapshots.

use std::{collections::BTreeSet, fmt, sync::Arc};

use super::{Directory, Snapshot};
use crate::NodeRecord;

/// One difference between two views of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A node is alive that was not.
    Joined(Arc<NodeRecord>),
    /// A node announced something new; a higher incarnation says that it restarted in between.
    Updated {
        /// What was known.
        before: Arc<NodeRecord>,
        /// What is known.
        after: Arc<NodeRecord>,
    },
    /// A node left in order. The record is its last one before it said so.
    Left(Arc<NodeRecord>),
    /// A node fell silent. The record is its last one. It may come back as [`Joined`](Self::Joined).
    Died(Arc<NodeRecord>),
}

impl Change {
    /// The node's record: its newest, or the last one before it was gone.
    #[must_use]
    pub const fn record(&self) -> &Arc<NodeRecord> {
        match self {
            Self::Joined(record)
            | Self::Left(record)
            | Self::Died(record)
            | Self::Updated { after: record, .. } => record,
        }
    }
}

/// Follows a [`Directory`]. A slow watcher misses steps, never the outcome: it costs one snapshot, whatever happened.
pub struct Watch {
    directory: Directory,
    seen: Arc<Snapshot>,
}

impl Watch {
    pub(super) fn new(directory: Directory) -> Self {
        Self { directory, seen: Arc::default() }
    }

    /// Waits until the directory differs from what this watch reported before, and tells how: at most one change per node, by
    /// id, and never none.
    ///
    /// # Cancel safety
    /// Cancelling loses no change.
    pub async fn next(&mut self) -> Vec<Change> {
        loop {
            let newest = self.directory.newer_than(self.seen.version()).await;
            let changes = changes(&self.seen, &newest);
            self.seen = newest;
            if !changes.is_empty() {
                return changes;
            }
        }
    }
}

/// What happened between two snapshots, by node id.
fn changes(before: &Snapshot, after: &Snapshot) -> Vec<Change> {
    let ids: BTreeSet<_> = before.nodes().chain(after.nodes()).map(|record| record.id).collect();
    ids.into_iter()
        .filter_map(|id| match (before.node(id).cloned(), after.node(id).cloned()) {
            (None, Some(record)) => Some(Change::Joined(record)),
            (Some(before), Some(after)) => (before != after).then_some(Change::Updated { before, after }),
            (Some(record), None) if after.left(id) => Some(Change::Left(record)),
            (Some(record), None) => Some(Change::Died(record)),
            (None, None) => None,
        })
        .collect()
}

// === impl Watch ===

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("seen", &self.seen.version()).finish_non_exhaustive()
    }
}
