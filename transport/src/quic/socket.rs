//! The UDP socket under an endpoint.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use socket2::{Domain, Protocol, Socket, Type};
use tracing::warn;

/// A socket on `address` with buffers of `buffer` bytes, as far as the system gives them. One on `[::]` serves both
/// families.
pub(super) fn bind(address: SocketAddr, buffer: usize) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    enlarge(&socket, buffer)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// A socket on a port that the system chooses, for both families where the system has both.
pub(super) fn bind_any(buffer: usize) -> io::Result<UdpSocket> {
    bind((Ipv6Addr::UNSPECIFIED, 0).into(), buffer)
        .or_else(|_no_ipv6| bind((Ipv4Addr::UNSPECIFIED, 0).into(), buffer))
}

fn enlarge(socket: &Socket, wanted: usize) -> io::Result<()> {
    // A system that allows no more either says so or gives less; neither is a reason not to run.
    drop(socket.set_recv_buffer_size(wanted));
    drop(socket.set_send_buffer_size(wanted));
    let (receive, send) = (socket.recv_buffer_size()?, socket.send_buffer_size()?);
    if receive.min(send) < wanted {
        warn!(
            target: "qmesh::transport",
            wanted, receive, send,
            "the system gives smaller UDP buffers than asked for, and bursts may lose packets; \
             on Linux raise net.core.rmem_max and net.core.wmem_max"
        );
    }
    Ok(())
}
