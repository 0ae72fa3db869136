//! One UDP socket that accepts and dials.

use std::{
    fmt, io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::hmac;
use quinn::{
    ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig, NoneTokenLog, ServerConfig,
    TransportConfig, ValidationTokenConfig,
};
use tokio_util::sync::CancellationToken;

use super::{QuicConfig, dial::QuicDialer, listen::QuicListener, session::address, socket, tls::Tls};
use crate::{Address, BindError, CloseCode, Credentials, Dialer, IdentityError, Listener};

/// The least time between two stateless resets: a restarted node has all of its peers to tell, and a reset is smaller
/// than the packet that it answers, so that nobody can use it as an amplifier.
const RESET_INTERVAL: Duration = Duration::from_millis(2);
/// The length of our connection ids, in bytes.
const CONNECTION_ID_BYTES: usize = 8;

/// A UDP socket that serves both directions: peers dial its listener, and its dialer dials peers. Cheap to clone.
///
/// Dropping it ends no session; [`close`](Self::close) does. It needs a tokio runtime with I/O and time enabled, in which
/// quinn runs one task per endpoint and one per session.
#[derive(Clone, Debug)]
pub struct QuicEndpoint(Arc<Inner>);

pub(super) struct Inner {
    pub(super) endpoint: Endpoint,
    pub(super) tls: Tls,
    pub(super) config: QuicConfig,
    pub(super) bound: SocketAddr,
    /// How sessions that we dial behave.
    pub(super) dialing: Arc<TransportConfig>,
    /// How sessions that we accept behave, where we listen.
    pub(super) accepting: Option<ServerConfig>,
    /// Cancelled when the listener is closed.
    pub(super) listening: CancellationToken,
}

// === impl QuicEndpoint ===

impl QuicEndpoint {
    /// An endpoint on `address`, whose host is an IP address of this machine; port 0 lets the system choose.
    /// `quic://[::]:port` serves IPv6 and IPv4.
    ///
    /// # Errors
    /// [`BindError`]; nothing is left behind.
    pub fn bind(address: &Address, credentials: Credentials, config: QuicConfig) -> Result<Self, BindError> {
        config.validate()?;
        if !matches!(address, Address::Quic { .. }) {
            return Err(BindError::Scheme(address.clone()));
        }
        let wanted = address.socket().ok_or_else(|| BindError::HostName(address.clone()))?;
        let failed = |source| BindError::Socket { address: address.clone(), source };
        let socket = socket::bind(wanted, config.udp_buffer).map_err(failed)?;
        let tls = Tls::new(credentials);
        let accepting = acceptance(&tls, &config).map_err(failed)?;
        Self::on(socket, tls, config, Some(accepting)).map_err(failed)
    }

    /// An endpoint on a port that the system chooses, which only dials.
    ///
    /// # Errors
    /// [`BindError`]; nothing is left behind.
    pub fn client(credentials: Credentials, config: QuicConfig) -> Result<Self, BindError> {
        config.validate()?;
        let address = Address::Quic { host: "::".to_owned(), port: 0 };
        let failed = |source| BindError::Socket { address: address.clone(), source };
        let socket = socket::bind_any(config.udp_buffer).map_err(failed)?;
        Self::on(socket, Tls::new(credentials), config, None).map_err(failed)
    }

    fn on(
        socket: UdpSocket,
        tls: Tls,
        config: QuicConfig,
        accepting: Option<ServerConfig>,
    ) -> io::Result<Self> {
        let runtime =
            quinn::default_runtime().ok_or_else(|| io::Error::other("bind inside a tokio runtime"))?;
        let bound = socket.local_addr()?;
        let own = endpoint_config(&tls, &config)?;
        let endpoint = Endpoint::new(own, accepting.clone(), socket, runtime)?;
        let (dialing, listening) = (config.transport(1), CancellationToken::new());
        Ok(Self(Arc::new(Inner { endpoint, tls, config, bound, dialing, accepting, listening })))
    }

    /// Accepts peers. One that was made by [`client`](Self::client) never yields any.
    #[must_use]
    pub fn listener(&self) -> Arc<dyn Listener> {
        Arc::new(QuicListener(Arc::clone(&self.0)))
    }

    /// Dials peers from this endpoint's socket.
    #[must_use]
    pub fn dialer(&self) -> Arc<dyn Dialer> {
        Arc::new(QuicDialer(Arc::clone(&self.0)))
    }

    /// The bound address, with the port that the system chose.
    #[must_use]
    pub fn local_address(&self) -> Address {
        address(self.0.bound)
    }

    /// Uses a renewed certificate from the next handshake on. Sessions live on with what proved them.
    ///
    /// # Errors
    /// [`IdentityError::OtherKey`] if it is not of the same key; nothing has changed then.
    pub fn renew(&self, credentials: Credentials) -> Result<(), IdentityError> {
        if credentials.id() != self.0.tls.credentials().id() {
            return Err(IdentityError::OtherKey);
        }
        self.0.tls.renew(credentials);
        Ok(())
    }

    /// Ends all sessions with [`CloseCode::SHUTDOWN`] and accepts no further one. Peers learn of it if the runtime lives
    /// for another moment: see [`wait_idle`](Self::wait_idle).
    pub fn close(&self) {
        self.0.listening.cancel();
        self.0.endpoint.close(CloseCode::SHUTDOWN.0.into(), b"shutting down");
    }

    /// Resolves once all sessions have ended and their peers have been told, which takes about three round trips at most.
    ///
    /// # Cancel safety
    /// Cancelling changes nothing.
    pub async fn wait_idle(&self) {
        self.0.endpoint.wait_idle().await;
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inner({} {:?})", self.bound, self.tls.credentials())
    }
}

// === settings of the socket's two roles ===

fn endpoint_config(tls: &Tls, config: &QuicConfig) -> io::Result<EndpointConfig> {
    let reset_key = hmac::Key::new(hmac::HMAC_SHA256, &tls.credentials().secret("stateless reset"));
    let mut own = EndpointConfig::new(Arc::new(reset_key));
    own.cid_generator(|| Box::new(RandomIds)).min_reset_interval(RESET_INTERVAL);
    let payload = config.mtu_max.max(own.get_max_udp_payload_size().try_into().unwrap_or(u16::MAX));
    own.max_udp_payload_size(payload).map_err(io::Error::other)?;
    Ok(own)
}

fn acceptance(tls: &Tls, config: &QuicConfig) -> io::Result<ServerConfig> {
    let (crypto, _verdict_of_none) = tls.acceptor().map_err(io::Error::other)?;
    let mut accepting = ServerConfig::with_crypto(crypto);
    // Address tokens save a round trip to those whom we would ask to prove their address, and we ask nobody.
    let mut tokens = ValidationTokenConfig::default();
    tokens.sent(0).log(Arc::new(NoneTokenLog));
    accepting
        .transport_config(config.transport(0))
        .validation_token_config(tokens)
        .max_incoming(config.incoming_max)
        .incoming_buffer_size_total(config.incoming_buffer);
    Ok(accepting)
}

/// Random connection ids. quinn's own ones carry a check value whose key dies with the endpoint, so that packets for a
/// former life would be dropped unanswered instead of being answered with a reset.
struct RandomIds;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&rand::random::<[u8; CONNECTION_ID_BYTES]>())
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
