//! Opening sessions over QUIC.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::stream::{FuturesUnordered, StreamExt};
use quinn::{ClientConfig, Connecting, Connection, ConnectionError, ReadExactError};
use tokio::time::{sleep, timeout};

use super::{CONFIRMED, endpoint::Inner, reason, session::QuicSession};
use crate::{Address, DialError, Dialer, NodeId, Session};

/// Addresses of one host name that are tried.
const ADDRESSES_MAX: usize = 8;
/// The head start of a host's address before its next one is tried too (RFC 8305 calls for 100 ms to 2 s).
const HEAD_START: Duration = Duration::from_millis(250);
/// TLS wants a server name; ours says nothing and is not sent.
const SERVER_NAME: &str = "qmesh";

#[derive(Debug)]
pub(super) struct QuicDialer(pub(super) Arc<Inner>);

#[async_trait]
impl Dialer for QuicDialer {
    async fn dial(&self, address: &Address, expected: Option<NodeId>) -> Result<Arc<dyn Session>, DialError> {
        let sockets = self.resolve(address).await?;
        let attempt = |(rank, socket): (u32, SocketAddr)| async move {
            sleep(HEAD_START * rank).await;
            self.attempt(address, socket, expected).await
        };
        let mut attempts: FuturesUnordered<_> = (0..).zip(sockets).map(attempt).collect();
        let mut failure = None;
        while let Some(result) = attempts.next().await {
            match result {
                Ok(session) => return Ok(session),
                // One address's "no" says more than another one's silence.
                Err(DialError::Unreachable(_)) if failure.is_some() => {}
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| DialError::Unreachable(address.clone())))
    }
}

impl QuicDialer {
    /// The socket addresses behind `address`, as far as our own socket reaches them.
    async fn resolve(&self, address: &Address) -> Result<Vec<SocketAddr>, DialError> {
        let Address::Quic { host, port } = address else { return Err(DialError::Scheme(address.clone())) };
        if let Some(socket) = address.socket() {
            return Ok(vec![socket]);
        }
        let found = tokio::net::lookup_host((host.as_str(), *port)).await;
        let found = found.map_err(|source| DialError::Resolve { address: address.clone(), source })?;
        let reaches = |socket: &SocketAddr| socket.is_ipv4() || self.0.bound.is_ipv6();
        Ok(found.filter(reaches).take(ADDRESSES_MAX).collect())
    }

    async fn attempt(
        &self,
        address: &Address,
        socket: SocketAddr,
        expected: Option<NodeId>,
    ) -> Result<Arc<dyn Session>, DialError> {
        let failed = |reason: String| DialError::Transport { address: address.clone(), reason };
        let (tls, verdict) = self.0.tls.dialer(expected).map_err(|error| failed(error.to_string()))?;
        let mut config = ClientConfig::new(tls);
        config.transport_config(Arc::clone(&self.0.dialing)).token_store(Arc::new(quinn::NoneTokenStore));
        let connecting = self.0.endpoint.connect_with(config, socket, SERVER_NAME);
        let connecting = connecting.map_err(|error| failed(error.to_string()))?;
        let connection = match timeout(self.0.config.handshake_timeout, establish(connecting)).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(reason::dial(&error, &verdict, address)),
            Err(_elapsed) => return Err(DialError::Unreachable(address.clone())),
        };
        match verdict.get() {
            Some(Ok(peer)) => Ok(Arc::new(QuicSession::new(connection, peer.clone(), &self.0))),
            Some(Err(_)) | None => Err(failed("the handshake ended without a verdict".to_owned())),
        }
    }
}

/// Connects, and waits until the acceptor has judged us too: TLS 1.3 lets a dialer believe that it is connected before.
async fn establish(connecting: Connecting) -> Result<Connection, ConnectionError> {
    let connection = connecting.await?;
    let mut confirmation = connection.accept_uni().await?;
    let mut byte = [0];
    match confirmation.read_exact(&mut byte).await {
        Ok(()) if byte == [CONFIRMED] => Ok(connection),
        Err(ReadExactError::ReadError(quinn::ReadError::ConnectionLost(error))) => Err(error),
        Ok(()) | Err(_) => {
            connection.close(crate::CloseCode::PROTOCOL.0.into(), b"bad confirmation");
            Err(ConnectionError::LocallyClosed)
        }
    }
}
