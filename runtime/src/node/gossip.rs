//! Gossip over the mesh's own sessions: one channel each way, of the lowest priority, opened by whoever writes on it.

use std::sync::{Arc, OnceLock, Weak};

use bytes::{BufMut, Bytes, BytesMut};
use qmesh_discovery::{Carrier, GossipStopped, Rejection};
use qmesh_transport::{Channel, NodeId, ResetCode};

use crate::{
    events::{self, MeshEvent},
    node::{NodeInner, link::Link},
    wire::frame::{self, FrameError, Frames, kind},
};

/// Everything else goes first.
const PRIORITY: i32 = -10;

/// The port that discovery sends through: into the slot of the peer's session, or nowhere.
#[derive(Debug, Default)]
pub(crate) struct Outlet(OnceLock<Weak<NodeInner>>);

impl Outlet {
    pub(crate) fn connect(&self, node: &Arc<NodeInner>) {
        // Connected once, by the builder.
        drop(self.0.set(Arc::downgrade(node)));
    }
}

impl Carrier for Outlet {
    fn send(&self, to: NodeId, message: Bytes) {
        let Some(node) = self.0.get().and_then(Weak::upgrade) else { return };
        let peer = node.peer(to);
        match peer.current() {
            Some(link) => link.gossip.put(message),
            None => peer.want(&node),
        }
    }

    fn rejected(&self, from: NodeId, reason: Rejection) {
        let Some(node) = self.0.get().and_then(Weak::upgrade) else { return };
        let event = || MeshEvent::RecordRejected { from: node.name_of(from), reason: label(reason) };
        node.events().tell_at(&node.events().rejected_records, event);
    }
}

/// Why something was rejected, as a label.
pub(crate) fn label(reason: Rejection) -> String {
    reason.to_string().replace(' ', "_")
}

/// Writes what gossip has for this peer until the session ends; returns why.
pub(crate) async fn write(link: &Link) -> String {
    let Channel { reader: _reader, mut writer, .. } = match link.session().open().await {
        Ok(channel) => channel,
        Err(closed) => return closed.to_string(),
    };
    writer.set_priority(PRIORITY);
    loop {
        let message = link.gossip.take().await;
        if let Err(error) = writer.write_all(framed(&message)).await {
            return error.to_string();
        }
    }
}

/// The frame of a message.
pub(crate) fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(frame::HEAD + message.len());
    frame::put(&mut framed, kind::GOSSIP, |buffer| buffer.put_slice(message));
    framed.freeze()
}

/// Reads what the peer gossips until the channel ends.
pub(crate) async fn read(node: Arc<NodeInner>, peer: NodeId, mut frames: Frames) -> Result<(), String> {
    let broken = |error: FrameError| {
        if !matches!(error, FrameError::Read(_)) {
            node.counters().broken_channel();
        }
        error.to_string()
    };
    while let Some(mut chunk) = frames.next().await.map_err(broken)? {
        while let Some((kind, payload)) = chunk.next() {
            if kind != kind::GOSSIP {
                frames.stop(ResetCode::PROTOCOL);
                return Err(broken(FrameError::Unexpected(kind)));
            }
            node.gopher_map().received(peer, chunk.bytes.slice(payload));
        }
        frames.rest();
    }
    Ok(())
}

/// Restarts gossip when it has ended, until the node leaves.
pub(crate) async fn supervise(node: Arc<NodeInner>) -> Result<(), String> {
    loop {
        match node.gopher_map().stopped().await {
            GossipStopped::InOrder => return Ok(()),
            why => {
                let cause = match why {
                    GossipStopped::Superseded { .. } => {
                        format!("{why}; the clock went back, or another process uses its key")
                    }
                    _ => why.to_string(),
                };
                node.events().tell(MeshEvent::GossipRestarted { why: events::why(cause) });
                node.gopher_map().restart().await.map_err(|error| error.to_string())?;
                if !matches!(why, GossipStopped::Superseded { .. }) {
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }
}
