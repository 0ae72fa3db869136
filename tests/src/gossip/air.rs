//! What carries gossip between the nodes of one thread: every message arrives, after the same time, wherever a node is up.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use qmesh_discovery::{Carrier, GopherMap};
use qmesh_transport::NodeId;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// How long a message takes.
const DELAY: Duration = Duration::from_millis(1);

/// Messages on their way, and who is there to hear them.
#[derive(Default)]
pub(super) struct Air {
    queue: Mutex<VecDeque<Message>>,
    queued: Notify,
    up: Mutex<BTreeMap<NodeId, GopherMap>>,
}

struct Message {
    arrives_at: Instant,
    from: NodeId,
    to: NodeId,
    bytes: Bytes,
}

/// A node's way into the air.
pub(super) struct Voice {
    pub(super) from: NodeId,
    pub(super) air: Arc<Air>,
}

impl Air {
    pub(super) fn enter(&self, id: NodeId, map: GopherMap) {
        self.up.lock().insert(id, map);
    }

    pub(super) fn leave(&self, id: NodeId) {
        self.up.lock().remove(&id);
    }

    /// Delivers messages for ever.
    pub(super) async fn deliver(self: Arc<Self>) {
        loop {
            let next = self.queue.lock().pop_front();
            let Some(message) = next else {
                self.queued.notified().await;
                continue;
            };
            sleep_until(message.arrives_at).await;
            let map = self.up.lock().get(&message.to).cloned();
            if let Some(map) = map {
                map.received(message.from, message.bytes);
            }
        }
    }
}

// === impl Voice ===

impl Carrier for Voice {
    fn send(&self, to: NodeId, bytes: Bytes) {
        let arrives_at = Instant::now() + DELAY;
        self.air.queue.lock().push_back(Message { arrives_at, from: self.from, to, bytes });
        self.air.queued.notify_one();
    }
}
