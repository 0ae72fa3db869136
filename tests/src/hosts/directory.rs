//! What a host's directory said, and when.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use qmesh::{Address, ControlClient, Identity, NodeInfo};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::world::GUEST;
use crate::{millis, secs, spawn};

/// A host's directory, asked every few milliseconds. It is asked no longer when this is dropped.
#[derive(Debug)]
pub(super) struct Directory {
    seen: Arc<Mutex<Vec<(Instant, Sight)>>>,
    watching: JoinHandle<()>,
}

/// Who is there, by name. None while the host does not answer.
pub(super) type Sight = Option<BTreeMap<String, Known>>;

/// What one node knows of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Whether they have a session.
    pub(super) connected: bool,
    /// Whether it takes calls.
    pub(super) ready: bool,
    pub(super) addresses: Vec<String>,
}

/// How often a directory is asked.
const PACE: Duration = millis(10);
/// A node that says nothing for so long does not answer.
const PATIENCE: Duration = secs(1);

// === impl Directory ===

impl Directory {
    /// Watches the directory of the node at `address`.
    pub(super) fn watch(address: Address, identity: Identity) -> Self {
        let seen = Arc::new(Mutex::new(vec![(Instant::now(), None)]));
        let watching = spawn(watch(address, identity, Arc::clone(&seen)));
        Self { seen, watching }
    }

    /// What it says now.
    pub(super) fn now(&self) -> Sight {
        self.seen.lock().last().and_then(|(_, sight)| sight.clone())
    }

    /// Whether it said, without a break since `then`, what holds.
    pub(super) fn always(&self, then: Instant, holds: impl Fn(&Sight) -> bool) -> bool {
        let seen = self.seen.lock();
        let first = seen.partition_point(|(at, _)| *at <= then).saturating_sub(1);
        seen[first..].iter().all(|(_, sight)| holds(sight))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

async fn watch(address: Address, identity: Identity, seen: Arc<Mutex<Vec<(Instant, Sight)>>>) {
    let note = |sight: Sight| {
        let mut seen = seen.lock();
        if seen.last().is_none_or(|(_, last)| *last != sight) {
            seen.push((Instant::now(), sight));
        }
    };
    loop {
        if let Ok(Ok(mut client)) =
            timeout(PATIENCE, ControlClient::connect(&address, &identity, GUEST)).await
        {
            while let Ok(Ok(nodes)) = timeout(PATIENCE, client.nodes()).await {
                note(Some(nodes.into_iter().map(known).collect()));
                sleep(PACE).await;
            }
        }
        note(None);
        sleep(PACE).await;
    }
}

fn known(node: NodeInfo) -> (String, Known) {
    let known = Known { connected: node.connected, ready: node.state == "ready", addresses: node.addresses };
    (node.name, known)
}
