//! One side of a memory session, as its owner holds it.

use std::{
    fmt,
    future::poll_fn,
    task::{Context, Poll},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use super::{endpoint::Inner, handshake::Caller, mux::Mux, network::SideId, shared::Shared};
use crate::{
    Address, Channel, ChannelId, ChannelReader, ChannelWriter, CloseCode, PeerIdentity, RawReader, RawWriter,
    ReadError, ResetCode, Session, SessionClosed, SessionStats, WriteError, session::shortened,
};

pub(super) struct MemorySession {
    side: Side,
    peer: PeerIdentity,
    local: Address,
    remote: Address,
}

/// A handle of a session's side: the network keeps the side as long as one is held.
struct Side {
    shared: Shared,
    id: SideId,
}

struct MemoryReader {
    side: Side,
    channel: u64,
}

struct MemoryWriter {
    side: Side,
    channel: u64,
}

// === impl Side ===

impl Side {
    fn act<T>(&self, act: impl FnOnce(&mut Mux) -> T) -> T {
        self.shared.with(|network, now| network.act(self.id, now, act))
    }
}

impl Clone for Side {
    fn clone(&self) -> Self {
        self.shared.with(|network, _| network.hold(self.id));
        Self { shared: self.shared.clone(), id: self.id }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.shared.with(|network, _| network.release(self.id));
    }
}

// === impl MemorySession ===

impl MemorySession {
    /// Both sides of a new session between `dialer` and `acceptor`, the dialer's first; `None` if either is gone.
    pub(super) fn pair(acceptor: &Inner, dialer: &Caller, peer: PeerIdentity) -> Option<(Self, Self)> {
        let node = peer.id();
        let ids = acceptor.shared.with(|network, _| {
            network.bound(acceptor.place, acceptor.life)?;
            network.bound(dialer.place, dialer.life)?;
            Some(network.connect((dialer.place, node), (acceptor.place, acceptor.credentials.id())))
        })?;
        let [theirs, ours] = ids.map(|id| Side { shared: acceptor.shared.clone(), id });
        let (here, there) = (Address::memory(acceptor.name.clone()), Address::memory(dialer.name.clone()));
        let us = acceptor.credentials.peer_identity();
        let theirs = Self { side: theirs, peer: us, local: there.clone(), remote: here.clone() };
        Some((theirs, Self { side: ours, peer, local: here, remote: there }))
    }

    fn channel(&self, id: u64) -> Channel {
        Channel {
            id: ChannelId(id),
            reader: ChannelReader::new(MemoryReader { side: self.side.clone(), channel: id }),
            writer: ChannelWriter::new(MemoryWriter { side: self.side.clone(), channel: id }),
        }
    }
}

#[async_trait]
impl Session for MemorySession {
    async fn open(&self) -> Result<Channel, SessionClosed> {
        poll_fn(|cx| self.side.act(|mux| mux.poll_open(cx))).await.map(|id| self.channel(id))
    }

    async fn accept(&self) -> Result<Channel, SessionClosed> {
        poll_fn(|cx| self.side.act(|mux| mux.poll_accept(cx))).await.map(|id| self.channel(id))
    }

    fn close(&self, code: CloseCode, reason: &str) {
        self.side.act(|mux| mux.close(code, shortened(reason)));
    }

    async fn closed(&self) -> SessionClosed {
        poll_fn(|cx| self.side.act(|mux| mux.poll_ended(cx))).await
    }

    fn peer(&self) -> &PeerIdentity {
        &self.peer
    }

    fn local_address(&self) -> Address {
        self.local.clone()
    }

    fn remote_address(&self) -> Address {
        self.remote.clone()
    }

    fn stats(&self) -> SessionStats {
        let traffic = self.side.shared.with(|network, _| network.traffic(self.side.id));
        let (bytes_sent, bytes_received, round_trip) = traffic.unwrap_or_default();
        SessionStats { round_trip, bytes_sent, bytes_received, packets_lost: 0 }
    }
}

impl Drop for MemorySession {
    fn drop(&mut self) {
        self.close(CloseCode::DROPPED, "");
    }
}

impl fmt::Debug for MemorySession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemorySession(with {} {} at {})", self.peer.name(), self.peer.id().short(), self.remote)
    }
}

// === the halves of a channel ===

impl RawReader for MemoryReader {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
        limit: usize,
    ) -> Poll<Result<usize, ReadError>> {
        self.side.act(|mux| mux.poll_read(self.channel, cx, buffer, limit))
    }

    fn stop(&mut self, code: ResetCode) {
        self.side.act(|mux| mux.stop(self.channel, code));
    }
}

impl Drop for MemoryReader {
    fn drop(&mut self) {
        self.side.act(|mux| mux.drop_reader(self.channel));
    }
}

impl RawWriter for MemoryWriter {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &mut Bytes) -> Poll<Result<(), WriteError>> {
        self.side.act(|mux| mux.poll_write(self.channel, cx, bytes))
    }

    fn finish(&mut self) -> Result<(), WriteError> {
        self.side.act(|mux| mux.finish(self.channel))
    }

    fn reset(&mut self, code: ResetCode) {
        self.side.act(|mux| mux.reset(self.channel, code));
    }

    fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<WriteError> {
        self.side.act(|mux| mux.poll_stopped(self.channel, cx))
    }

    fn poll_delivered(&mut self, _: &mut Context<'_>) -> Poll<()> {
        // What was written comes before whatever is sent later, the end of the session too.
        Poll::Ready(())
    }

    fn set_priority(&mut self, _priority: i32) {
        // Nothing queues in front of the link, so that there is nothing to overtake.
    }
}

impl Drop for MemoryWriter {
    fn drop(&mut self) {
        self.side.act(|mux| mux.drop_writer(self.channel));
    }
}
