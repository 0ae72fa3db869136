//! A QUIC connection as a [`Session`].

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use quinn::{Connection, ConnectionError, RecvStream, SendStream};

use super::{
    allowance::{Accepted, Allowance},
    channel::{QuicReader, QuicWriter},
    endpoint::Inner,
    reason,
};
use crate::{
    Address, Channel, ChannelId, ChannelReader, ChannelWriter, CloseCode, PeerIdentity, Session,
    SessionClosed, SessionStats, session::shortened,
};

/// The one handle of a session; its channels hold the connection without it, so its drop closes.
pub(super) struct QuicSession {
    link: Arc<Link>,
    peer: PeerIdentity,
    bound: SocketAddr,
    allowance: Arc<Allowance>,
}

/// What a session and its channels share.
pub(super) struct Link {
    connection: Connection,
    /// What we said when we closed.
    closing: OnceLock<(CloseCode, String)>,
    /// Why the session ended, as first told to anyone.
    ended: OnceLock<SessionClosed>,
}

// === impl Link ===

impl Link {
    /// The reason for the end that `error` reports, which is the same for everybody.
    pub(super) fn ended(&self, error: &ConnectionError) -> SessionClosed {
        let reason = || match error {
            // An endpoint that shuts down closes its connections without asking the sessions.
            ConnectionError::LocallyClosed => {
                let shut_down = || (CloseCode::SHUTDOWN, "shutting down".to_owned());
                let (code, reason) = self.closing.get().cloned().unwrap_or_else(shut_down);
                SessionClosed::Local { code, reason }
            }
            other => reason::closed(other),
        };
        self.ended.get_or_init(reason).clone()
    }

    pub(super) fn end(&self) -> Option<SessionClosed> {
        self.connection.close_reason().map(|error| self.ended(&error))
    }

    fn close(&self, code: CloseCode, reason: &str) {
        let reason = shortened(reason);
        if self.end().is_none() && self.closing.set((code, reason.to_owned())).is_ok() {
            self.connection.close(code.0.into(), reason.as_bytes());
        }
    }
}

// === impl QuicSession ===

impl QuicSession {
    /// A session of the socket `own`.
    pub(super) fn new(connection: Connection, peer: PeerIdentity, own: &Inner) -> Self {
        let link = Link { connection, closing: OnceLock::new(), ended: OnceLock::new() };
        let allowance = Arc::new(Allowance::new(own.config.channels_max));
        Self { link: Arc::new(link), peer, bound: own.bound, allowance }
    }

    fn channel(&self, (send, recv): (SendStream, RecvStream), accepted: Option<Arc<Accepted>>) -> Channel {
        let link = || Arc::clone(&self.link);
        Channel {
            id: ChannelId(quinn::VarInt::from(send.id()).into_inner()),
            reader: ChannelReader::new(QuicReader::new(recv, link(), accepted.clone())),
            writer: ChannelWriter::new(QuicWriter::new(send, link(), accepted)),
        }
    }
}

#[async_trait]
impl Session for QuicSession {
    async fn open(&self) -> Result<Channel, SessionClosed> {
        let streams = self.link.connection.open_bi().await.map_err(|error| self.link.ended(&error))?;
        Ok(self.channel(streams, None))
    }

    async fn accept(&self) -> Result<Channel, SessionClosed> {
        let streams = self.link.connection.accept_bi().await.map_err(|error| self.link.ended(&error))?;
        let accepted = self.allowance.accept(&self.link.connection);
        Ok(self.channel(streams, Some(accepted)))
    }

    fn close(&self, code: CloseCode, reason: &str) {
        self.link.close(code, reason);
    }

    async fn closed(&self) -> SessionClosed {
        let error = self.link.connection.closed().await;
        self.link.ended(&error)
    }

    fn peer(&self) -> &PeerIdentity {
        &self.peer
    }

    fn local_address(&self) -> Address {
        let ip = self.link.connection.local_ip().filter(|_| self.bound.ip().is_unspecified());
        address(SocketAddr::new(ip.unwrap_or_else(|| self.bound.ip()), self.bound.port()))
    }

    fn remote_address(&self) -> Address {
        address(self.link.connection.remote_address())
    }

    fn stats(&self) -> SessionStats {
        let stats = self.link.connection.stats();
        SessionStats {
            round_trip: stats.path.rtt,
            bytes_sent: stats.udp_tx.bytes,
            bytes_received: stats.udp_rx.bytes,
            packets_lost: stats.path.lost_packets,
        }
    }
}

impl Drop for QuicSession {
    fn drop(&mut self) {
        self.link.close(CloseCode::DROPPED, "");
    }
}

impl fmt::Debug for QuicSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, .. } = self;
        write!(f, "QuicSession(with {} {} at {})", peer.name(), peer.id().short(), self.remote_address())
    }
}

/// A socket address as people write it: a socket of both families shows IPv4 peers as mapped ones.
pub(super) fn address(socket: SocketAddr) -> Address {
    Address::quic(SocketAddr::new(socket.ip().to_canonical(), socket.port()))
}
