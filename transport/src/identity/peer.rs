//! Who a peer is, as its certificate proves it.

use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use webpki::{EndEntityCert, aws_lc_rs as algorithms};

use super::{CertificateRefused, Role, name::SpiffeId};
use crate::NodeId;

/// What precedes every message that a node's key signs outside of TLS, so that no signature serves two purposes.
pub(super) const SIGNATURE_CONTEXT: &[u8] = b"qmesh signed message v1\0";

/// Who a peer is: what its verified certificate says. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity(Arc<Inner>);

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    id: NodeId,
    spiffe: SpiffeId,
    certificate: CertificateDer<'static>,
}

impl PeerIdentity {
    /// The id of the peer's key.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.0.id
    }

    /// The mesh it belongs to: always ours, once verified.
    #[must_use]
    pub fn mesh(&self) -> &str {
        &self.0.spiffe.mesh
    }

    /// Its name in the mesh, unique as far as its authority is careful.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.spiffe.name
    }

    /// Whether it is a member or a guest.
    #[must_use]
    pub fn role(&self) -> Role {
        self.0.spiffe.role
    }

    /// Its own certificate, without those above it.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.0.certificate
    }

    /// Whether this peer's key signed `message` with [`Credentials::sign`](super::Credentials::sign).
    #[must_use]
    pub fn verify_signature(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(certificate) = EndEntityCert::try_from(&self.0.certificate) else { return false };
        let message = [SIGNATURE_CONTEXT, message].concat();
        // One of these is the key's own algorithm; the others fail before they compute anything.
        [algorithms::ED25519, algorithms::ECDSA_P256_SHA256, algorithms::ECDSA_P384_SHA384]
            .into_iter()
            .any(|algorithm| certificate.verify_signature(algorithm, &message, signature).is_ok())
    }

    /// What the certificate claims, which is nothing until its chain is verified.
    pub(super) fn claimed_by(certificate: &CertificateDer<'_>) -> Result<Self, CertificateRefused> {
        let parsed =
            EndEntityCert::try_from(certificate).map_err(|_bad_der| CertificateRefused::Malformed)?;
        let mut uris = parsed.valid_uri_names();
        let spiffe = uris.next().and_then(SpiffeId::parse).filter(|_| uris.next().is_none());
        Ok(Self(Arc::new(Inner {
            id: NodeId::of_public_key(&parsed.subject_public_key_info()),
            spiffe: spiffe.ok_or(CertificateRefused::Anonymous)?,
            certificate: certificate.clone().into_owned(),
        })))
    }
}
