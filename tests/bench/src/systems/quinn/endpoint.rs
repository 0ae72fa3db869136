//! quinn's endpoints, tuned as the mesh's own transport is.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use anyhow::{Context, Result};
use quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, MtuDiscoveryConfig, ServerConfig, TokioRuntime,
    TransportConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustls::{RootCertStore, crypto::aws_lc_rs, server::WebPkiClientVerifier, version::TLS13};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use socket2::{Domain, Protocol, Socket, Type};

use qmesh_bench_harness::{
    certificates::{Certificates, HOST_NAME, Side},
    scenarios::Scenario,
};

/// Both buffers of the UDP socket; the kernel's own 208 KiB drop packets of a burst.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// What quinn's endpoints receive unless they are told otherwise.
const UDP_PAYLOAD_DEFAULT: u16 = 1472;

/// A listening endpoint.
pub(super) fn listen(certificates: &Certificates, scenario: &Scenario) -> Result<Endpoint> {
    let roots = Arc::new(roots(certificates)?);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone()).build()?;
    let (chain, key) = identity(certificates, Side::Server)?;
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.transport_config(transport(scenario));
    endpoint(Some(config), scenario)
}

/// A connection, and the endpoint that it needs.
pub(super) async fn connect(
    address: SocketAddr,
    certificates: &Certificates,
    scenario: &Scenario,
) -> Result<(Endpoint, Connection)> {
    let (chain, key) = identity(certificates, Side::Client)?;
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots(certificates)?)
        .with_client_auth_cert(chain, key)?;
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(transport(scenario));
    let endpoint = endpoint(None, scenario)?;
    let connection = endpoint.connect_with(config, address, HOST_NAME)?.await.context("cannot connect")?;
    Ok((endpoint, connection))
}

/// quinn's defaults for windows and congestion control: larger windows changed nothing on loopback. Segmentation offload
/// stays on.
fn transport(scenario: &Scenario) -> Arc<TransportConfig> {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(scenario.mtu);
    let mut config = TransportConfig::default();
    config.mtu_discovery_config(Some(discovery));
    Arc::new(config)
}

fn endpoint(server: Option<ServerConfig>, scenario: &Scenario) -> Result<Endpoint> {
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(scenario.mtu.max(UDP_PAYLOAD_DEFAULT))?;
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    Ok(Endpoint::new(config, server, socket.into(), Arc::new(TokioRuntime))?)
}

fn roots(certificates: &Certificates) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&certificates.authority()?)?)?;
    Ok(roots)
}

fn identity(
    certificates: &Certificates,
    side: Side,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let identity = certificates.identity(side)?;
    let certificate = CertificateDer::from_pem_slice(&identity.certificate)?;
    Ok((vec![certificate], PrivateKeyDer::from_pem_slice(&identity.key)?))
}
