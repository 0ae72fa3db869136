//! TLS 1.3 with both sides' certificates, judged by our own rules instead of the web's.

use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs::default_provider, verify_tls13_signature},
    server::{
        NoServerSessionStorage,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::SingleCertAndKey,
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::{
    Credentials, NodeId, PeerIdentity,
    handshake::{Refusal, judge_acceptor, judge_dialer},
};

/// The protocol's name and version in the handshake (ALPN).
pub(super) const PROTOCOL: &[u8] = b"qmesh/1";

/// Makes the configuration of each handshake. Each has its own, so that its verdict can be told from the others'.
pub(super) struct Tls {
    /// Replaced when they are renewed.
    credentials: RwLock<Credentials>,
    provider: Arc<CryptoProvider>,
}

/// What our verifier found, once it was asked: TLS itself keeps only an alert.
pub(super) type Verdict = Arc<OnceLock<Result<PeerIdentity, Refusal>>>;

#[derive(Debug)]
struct Judge {
    credentials: Credentials,
    provider: Arc<CryptoProvider>,
    expected: Option<NodeId>,
    verdict: Verdict,
}

// === impl Tls ===

impl Tls {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self { credentials: RwLock::new(credentials), provider: Arc::new(default_provider()) }
    }

    pub(super) fn credentials(&self) -> Credentials {
        self.credentials.read().clone()
    }

    /// Handshakes from now on use `credentials`.
    pub(super) fn renew(&self, credentials: Credentials) {
        *self.credentials.write() = credentials;
    }

    /// The dialer's side of one handshake.
    pub(super) fn dialer(&self, expected: Option<NodeId>) -> Result<(Arc<QuicClientConfig>, Verdict), Error> {
        let credentials = self.credentials();
        let (judge, verdict) = self.judge(&credentials, expected);
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(judge)
            .with_client_cert_resolver(presented(&credentials));
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.enable_sni = false;
        // A resumed session would skip the verdict, and outlive the certificate.
        config.resumption = Resumption::disabled();
        Ok((Arc::new(QuicClientConfig::try_from(config).map_err(no_suite)?), verdict))
    }

    /// The acceptor's side of one handshake.
    pub(super) fn acceptor(&self) -> Result<(Arc<QuicServerConfig>, Verdict), Error> {
        let credentials = self.credentials();
        let (judge, verdict) = self.judge(&credentials, None);
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(judge)
            .with_cert_resolver(presented(&credentials));
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok((Arc::new(QuicServerConfig::try_from(config).map_err(no_suite)?), verdict))
    }

    fn judge(&self, credentials: &Credentials, expected: Option<NodeId>) -> (Arc<Judge>, Verdict) {
        let verdict = Verdict::default();
        let (credentials, provider) = (credentials.clone(), Arc::clone(&self.provider));
        (Arc::new(Judge { credentials, provider, expected, verdict: Arc::clone(&verdict) }), verdict)
    }
}

/// What we show of ourselves.
fn presented(credentials: &Credentials) -> Arc<SingleCertAndKey> {
    Arc::new(SingleCertAndKey::from(Arc::clone(credentials.certified())))
}

// === impl Judge ===

impl Judge {
    fn settle(&self, verdict: Result<PeerIdentity, Refusal>) -> Result<(), Error> {
        let answer =
            verdict.as_ref().map(|_peer| ()).map_err(|refusal| Error::InvalidCertificate(refusal.as_tls()));
        // TLS asks once in a handshake; the first answer is the one that counted.
        self.verdict.get_or_init(|| verdict);
        answer
    }

    fn verify_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn chain<'a>(
    end_entity: &CertificateDer<'a>,
    intermediates: &[CertificateDer<'a>],
) -> Vec<CertificateDer<'a>> {
    [std::slice::from_ref(end_entity), intermediates].concat()
}

fn no_suite(error: impl std::fmt::Display) -> Error {
    Error::General(error.to_string())
}

fn only_tls13() -> Error {
    Error::General("only TLS 1.3 is spoken here".to_owned())
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.settle(judge_acceptor(
            &self.credentials,
            &chain(end_entity, intermediates),
            self.expected,
            now,
        ))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for Judge {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.settle(judge_dialer(&self.credentials, &chain(end_entity, intermediates), now))?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}
