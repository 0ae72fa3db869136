//! QUIC under test: real sockets on the loopback interface, and a runtime per endpoint, so that one can die alone.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use qmesh_transport::{Address, Credentials, QuicConfig, QuicEndpoint};
use tokio::{
    net::UdpSocket,
    runtime::{Builder, Runtime},
};

use super::{Endpoint, Fixture, mesh};

#[derive(Default)]
pub(crate) struct QuicFixture;

/// An endpoint's runtime. At its end tasks are dropped where they are, sockets with them, and nothing more is sent.
struct Life(Option<Runtime>);

impl Drop for Life {
    fn drop(&mut self) {
        let runtime = self.0.take().unwrap();
        // A runtime waits for its threads, which no asynchronous task may do.
        std::thread::spawn(|| runtime.shutdown_timeout(Duration::from_secs(1))).join().unwrap();
    }
}

fn config() -> QuicConfig {
    let mut config = QuicConfig::local();
    config.channel_window = 64 * 1024;
    config.channels_max = 1024;
    config.send_window = 256 * 1024;
    config.idle_timeout = QuicFixture::IDLE;
    config
}

fn bind(address: &Address, credentials: Credentials) -> Endpoint {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let endpoint = {
        let _inside = runtime.enter();
        QuicEndpoint::bind(address, credentials, config()).unwrap()
    };
    let (listener, dialer, handle) = (endpoint.listener(), endpoint.dialer(), runtime.handle().clone());
    let life = Life(Some(runtime));
    Endpoint { listener, dialer, runtime: handle, kill: Box::new(move || drop(life)) }
}

impl Fixture for QuicFixture {
    const CHANNELS_MAX: usize = 1024;
    const STALL_BYTES_MAX: usize = (64 + 256) * 1024;
    /// A busy machine may stand still for a second.
    const IDLE: Duration = Duration::from_secs(4);

    fn bind(&self, _name: &str, credentials: Credentials) -> Endpoint {
        bind(&"quic://127.0.0.1:0".parse().unwrap(), credentials)
    }

    fn rebind(&self, crashed: &Address, credentials: Credentials) -> Endpoint {
        bind(crashed, credentials)
    }

    fn nowhere(&self) -> Address {
        // A socket that nobody reads; its port stays taken for the length of the process.
        let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = Address::quic(socket.local_addr().unwrap());
        std::mem::forget(socket);
        address
    }

    async fn knock_and_fall_silent(&self, address: &Address) {
        // Catch a dialer's first packet and hand it on alone.
        let middle = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let dialer = bind(&"quic://127.0.0.1:0".parse().unwrap(), mesh().credentials("silent").unwrap());
        let dialing = dialer.dial(&Address::quic(middle.local_addr().unwrap()), None);
        let mut packet = [0; 2048];
        let (length, _from) = middle.recv_from(&mut packet).await.unwrap();
        let target: SocketAddr = address.socket().unwrap();
        middle.send_to(&packet[..length], target).await.unwrap();
        drop(dialing);
        dialer.crash();
    }
}
