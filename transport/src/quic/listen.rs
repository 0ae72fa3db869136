//! Accepting sessions over QUIC.

use std::sync::Arc;

use async_trait::async_trait;
use quinn::{Connection, ConnectionError};
use tokio::time::timeout;

use super::{
    CONFIRMED,
    endpoint::Inner,
    reason,
    session::{QuicSession, address},
};
use crate::{Address, HandshakeError, Incoming, Listener, Session};

#[derive(Debug)]
pub(super) struct QuicListener(pub(super) Arc<Inner>);

#[async_trait]
impl Listener for QuicListener {
    async fn accept(&self) -> Option<Incoming> {
        let incoming = tokio::select! {
            biased;
            () = self.0.listening.cancelled() => return None,
            incoming = self.0.endpoint.accept() => incoming?,
        };
        let remote_address = address(incoming.remote_address());
        let handshake = Box::pin(handshake(Arc::clone(&self.0), incoming, remote_address.clone()));
        Some(Incoming { remote_address, handshake })
    }

    fn local_address(&self) -> Address {
        address(self.0.bound)
    }

    fn close(&self) {
        self.0.listening.cancel();
        self.0.endpoint.set_server_config(None);
    }
}

async fn handshake(
    inner: Arc<Inner>,
    incoming: quinn::Incoming,
    remote: Address,
) -> Result<Arc<dyn Session>, HandshakeError> {
    let failed = |reason: String| HandshakeError::Transport { remote: remote.clone(), reason };
    let (tls, verdict) = inner.tls.acceptor().map_err(|error| failed(error.to_string()))?;
    let config = inner.accepting.as_ref().map(|base| {
        let mut config = base.clone();
        config.crypto = tls;
        Arc::new(config)
    });
    let config = config.ok_or_else(|| failed("this endpoint does not listen".to_owned()))?;
    let established = timeout(inner.config.handshake_timeout, establish(incoming, config)).await;
    let connection = match established {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return Err(reason::handshake(&error, &verdict, remote)),
        Err(_elapsed) => return Err(HandshakeError::TimedOut { remote }),
    };
    match verdict.get() {
        Some(Ok(peer)) => Ok(Arc::new(QuicSession::new(connection, peer.clone(), &inner))),
        Some(Err(_)) | None => Err(failed("the handshake ended without a verdict".to_owned())),
    }
}

/// Connects, and tells the dialer that we have judged it.
async fn establish(
    incoming: quinn::Incoming,
    config: Arc<quinn::ServerConfig>,
) -> Result<Connection, ConnectionError> {
    let connection = incoming.accept_with(config)?.await?;
    let mut confirmation = connection.open_uni().await?;
    // Either fails only where the connection does, and then whoever uses the session learns of it.
    drop(confirmation.write_all(&[CONFIRMED]).await);
    drop(confirmation.finish());
    Ok(connection)
}
