//! Whether nobody listens at an address: a node that was killed leaves its address behind.
//!
//! A datagram to a port without a socket is answered by the host with a refusal, on this host within a millisecond. QUIC
//! ignores it, for anybody can forge one, and would wait for seconds. Here a forged one costs a wrong error message.

use std::{future::pending, io::ErrorKind, net::SocketAddr};

use qmesh::Address;
use tokio::net::UdpSocket;

/// Resolves once it is certain that nobody listens; never, where somebody may.
///
/// # Cancel safety
/// Cancel safe.
pub(super) async fn certain(address: &Address) {
    if !is_refused(address).await {
        pending::<()>().await;
    }
}

async fn is_refused(address: &Address) -> bool {
    let Some(there) = address.socket() else { return false };
    let here: SocketAddr = if there.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
    let Ok(socket) = UdpSocket::bind(here).await else { return false };
    let sent = match socket.connect(there).await {
        // An empty datagram is no packet of QUIC: who listens drops it.
        Ok(()) => socket.send(&[]).await,
        Err(_) => return false,
    };
    let answer = match sent {
        Ok(_) => socket.recv(&mut [0; 1]).await.map(drop),
        Err(error) => Err(error),
    };
    answer.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_port_without_a_socket_is_vacant() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = Address::quic(socket.local_addr().unwrap());
        let taken = timeout(Duration::from_millis(100), certain(&address)).await;
        assert!(taken.is_err(), "somebody listens");
        drop(socket);
        timeout(Duration::from_secs(5), certain(&address)).await.unwrap();
    }
}
