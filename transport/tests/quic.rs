//! What QUIC promises beyond the conformance suite.

#![expect(clippy::unwrap_used, reason = "in a test, what fails should panic where it fails")]

use std::{
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use qmesh_transport::{
    Address, Authority, BindError, CloseCode, Credentials, HandshakeError, Identity, IdentityError,
    IssueOptions, QuicConfig, QuicEndpoint, Role, Session, SessionClosed,
};
use quinn::{
    ConnectionError, TransportErrorCode,
    crypto::rustls::QuicClientConfig,
    rustls::{
        AlertDescription, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::aws_lc_rs::default_provider,
        pki_types::{CertificateDer, ServerName, UnixTime},
        version::TLS13,
    },
};

fn identity() -> Identity {
    Identity::issued_by(&Authority::ephemeral("test").unwrap())
}

/// A machine that stands still for seconds costs no session.
fn config() -> QuicConfig {
    let mut config = QuicConfig::local();
    config.idle_timeout = Duration::from_secs(20);
    config
}

fn bind(address: &str, credentials: Credentials) -> QuicEndpoint {
    QuicEndpoint::bind(&address.parse().unwrap(), credentials, config()).unwrap()
}

fn node(identity: &Identity, name: &str) -> QuicEndpoint {
    bind("quic://127.0.0.1:0", identity.credentials(name).unwrap())
}

async fn accept(endpoint: &QuicEndpoint) -> Result<Arc<dyn Session>, HandshakeError> {
    endpoint.listener().accept().await.unwrap().handshake().await
}

/// A session that `a` dialled to `address`, where `b` listens.
async fn meet(a: &QuicEndpoint, b: &QuicEndpoint, address: &Address) -> (Arc<dyn Session>, Arc<dyn Session>) {
    let dialer = a.dialer();
    let (dialed, accepted) = tokio::join!(dialer.dial(address, None), accept(b));
    (dialed.unwrap(), accepted.unwrap())
}

#[tokio::test]
async fn a_peer_without_a_certificate_is_refused_and_both_know() {
    let endpoint = node(&identity(), "b");
    let (dialed, accepted) = tokio::join!(stranger(&endpoint, b"qmesh/1"), accept(&endpoint));
    assert_eq!(alert(&dialed), Some(AlertDescription::CertificateRequired));
    let error = accepted.unwrap_err();
    assert!(
        matches!(&error, HandshakeError::Refused { reason, .. } if reason == "it presented no certificate"),
        "{error}"
    );
}

#[tokio::test]
async fn a_peer_of_another_protocol_is_refused() {
    let endpoint = node(&identity(), "b");
    let (dialed, accepted) = tokio::join!(stranger(&endpoint, b"h3"), accept(&endpoint));
    assert_eq!(alert(&dialed), Some(AlertDescription::NoApplicationProtocol));
    assert!(matches!(accepted.unwrap_err(), HandshakeError::Transport { .. }));
}

#[tokio::test]
async fn a_host_name_is_dialled_at_the_address_that_answers() {
    let identity = identity();
    let b = node(&identity, "b");
    let client = QuicEndpoint::client(identity.client_credentials("cli").unwrap(), config()).unwrap();
    let port = b.local_address().socket().unwrap().port();
    let (dialed, accepted) = meet(&client, &b, &format!("quic://localhost:{port}").parse().unwrap()).await;
    assert_eq!((dialed.peer().name(), accepted.peer().name()), ("b", "cli"));
}

#[tokio::test]
async fn an_endpoint_that_only_dials_is_dialled_by_nobody() {
    let client = QuicEndpoint::client(identity().credentials("a").unwrap(), config()).unwrap();
    assert!(client.local_address().is_unspecified());
    client.close();
    assert!(client.listener().accept().await.is_none());
}

#[tokio::test]
async fn an_unspecified_address_serves_both_families_and_shows_real_addresses() {
    let identity = identity();
    let credentials = identity.credentials("b").unwrap();
    let Ok(b) = QuicEndpoint::bind(&"quic://[::]:0".parse().unwrap(), credentials, config()) else {
        return; // This machine has no IPv6.
    };
    let port = b.local_address().socket().unwrap().port();
    let a = node(&identity, "a");
    let address = Address::quic((Ipv4Addr::LOCALHOST, port).into());
    let (dialed, accepted) = meet(&a, &b, &address).await;
    assert_eq!(accepted.remote_address(), a.local_address());
    assert_eq!(accepted.local_address(), address);
    assert_eq!(dialed.remote_address(), address);
}

#[tokio::test]
async fn closing_an_endpoint_ends_its_sessions_in_order() {
    let identity = identity();
    let (a, b) = (node(&identity, "a"), node(&identity, "b"));
    let (dialed, accepted) = meet(&a, &b, &b.local_address()).await;
    b.close();
    b.wait_idle().await;
    let (code, reason) = (CloseCode::SHUTDOWN, "shutting down".to_owned());
    assert_eq!(accepted.closed().await, SessionClosed::Local { code, reason: reason.clone() });
    let told = SessionClosed::Peer { code, reason };
    assert_eq!(dialed.closed().await, told);
    assert!(b.listener().accept().await.is_none());
}

#[tokio::test]
async fn an_endpoint_renews_its_certificate_and_keeps_its_sessions() {
    let authority = Authority::ephemeral("test").unwrap();
    let identity = Identity::issued_by(&authority);
    let good = authority.issue("b", Role::Node).unwrap();
    let mut options = IssueOptions::new("b", Role::Node);
    (options.key, options.not_after) = (Some(good.key().clone()), SystemTime::now() - Duration::from_secs(1));
    let expired = authority.issue_with(&options).unwrap().credentials().unwrap();

    let (a, b) = (node(&identity, "a"), bind("quic://127.0.0.1:0", expired));
    let (dialer, address) = (a.dialer(), b.local_address());
    let (dialed, accepted) = tokio::join!(dialer.dial(&address, None), accept(&b));
    assert!(dialed.is_err() && accepted.is_err());
    b.renew(good.credentials().unwrap()).unwrap();
    let (dialed, _accepted) = meet(&a, &b, &address).await;
    b.renew(good.credentials().unwrap()).unwrap();
    dialed.open().await.unwrap();
    let other = b.renew(identity.credentials("a").unwrap());
    assert!(matches!(other, Err(IdentityError::OtherKey)));
}

#[tokio::test]
async fn a_session_knows_its_path() {
    let identity = identity();
    let (a, b) = (node(&identity, "a"), node(&identity, "b"));
    let (dialed, _accepted) = meet(&a, &b, &b.local_address()).await;
    let stats = dialed.stats();
    assert!(stats.bytes_sent >= 1200 && stats.bytes_received > 0 && !stats.round_trip.is_zero(), "{stats:?}");
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_says_why() {
    let credentials = identity().credentials("a").unwrap();
    let bind = |address: &str, config: QuicConfig| {
        QuicEndpoint::bind(&address.parse().unwrap(), credentials.clone(), config).unwrap_err()
    };
    let holder = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = Address::quic(holder.local_addr().unwrap()).to_string();
    let mut senseless = config();
    senseless.mtu_max = 9000;
    assert!(matches!(bind("memory://a", config()), BindError::Scheme(_)));
    assert!(matches!(bind("quic://localhost:0", config()), BindError::HostName(_)));
    assert!(
        matches!(bind("quic://127.0.0.1:0", senseless), BindError::Config(error) if error.field == "mtu_max")
    );
    assert!(matches!(bind(&taken, config()), BindError::Socket { .. }));
}

// === a QUIC client that is none of ours ===

/// Dials `endpoint` without a certificate, and gives the reason for which the connection ended.
async fn stranger(endpoint: &QuicEndpoint, protocol: &[u8]) -> ConnectionError {
    let mut tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible))
        .with_no_client_auth();
    tls.alpn_protocols = vec![protocol.to_vec()];
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let client = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let target = endpoint.local_address().socket().unwrap();
    match client.connect_with(config, target, "stranger").unwrap().await {
        Ok(connection) => connection.closed().await,
        Err(error) => error,
    }
}

fn alert(error: &ConnectionError) -> Option<AlertDescription> {
    let ConnectionError::ConnectionClosed(close) = error else { return None };
    (0..=u8::MAX)
        .find(|alert| close.error_code == TransportErrorCode::crypto(*alert))
        .map(AlertDescription::from)
}

/// Believes every server.
#[derive(Debug)]
struct Gullible;

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
