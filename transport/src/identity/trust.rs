//! Whom a node believes: certificates of its own mesh, from its own authority, in their time.

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use time::OffsetDateTime;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::{IdentityError, PeerIdentity};
use crate::NodeId;

/// What was wrong with a certificate, in a sentence for an operator that goes on from "refused it:".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateRefused {
    /// There was none.
    #[error("it presented no certificate")]
    Missing,
    /// It is not X.509, or broken.
    #[error("its certificate cannot be read")]
    Malformed,
    /// It carries no SPIFFE id of a node or client, or several.
    #[error("its certificate names no node or client of a mesh (spiffe://<mesh>/node/<name>)")]
    Anonymous,
    /// It belongs to another mesh.
    #[error("it belongs to mesh `{theirs}`, we belong to `{ours}`")]
    OtherMesh {
        /// The mesh that its certificate claims.
        theirs: String,
        /// Our mesh.
        ours: String,
    },
    /// Our authority did not issue it.
    #[error("its certificate does not come from our authority")]
    UnknownAuthority,
    /// Its time is over.
    #[error("its certificate expired at {}, and here it is {}", utc(*not_after), utc(*now))]
    Expired {
        /// The last second of its life.
        not_after: UnixTime,
        /// Our clock.
        now: UnixTime,
    },
    /// Its time has not come.
    #[error("its certificate begins at {}, and here it is {}: check both clocks", utc(*not_before), utc(*now))]
    NotYetValid {
        /// The first second of its life.
        not_before: UnixTime,
        /// Our clock.
        now: UnixTime,
    },
    /// It was issued for something else.
    #[error("its certificate was not issued for talking to peers")]
    Purpose,
    /// A client's certificate where a node was dialled.
    #[error("it is a client, and only a node can be dialled")]
    NotANode,
}

/// The mesh and the authorities that a node believes.
#[derive(Debug)]
pub(super) struct Trust {
    mesh: String,
    anchors: Vec<TrustAnchor<'static>>,
}

// === impl Trust ===

impl Trust {
    pub(super) fn new(mesh: &str, authorities: &[CertificateDer<'_>]) -> Result<Self, IdentityError> {
        let anchor = |certificate| anchor_from_trusted_cert(certificate).map(|anchor| anchor.to_owned());
        let anchors: Result<Vec<_>, _> = authorities.iter().map(anchor).collect();
        let anchors = anchors.map_err(|_bad_der| IdentityError::Pem("authority"))?;
        if anchors.is_empty() {
            return Err(IdentityError::Pem("authority"));
        }
        Ok(Self { mesh: mesh.to_owned(), anchors })
    }

    /// The mesh's name with the id of each authority's key.
    pub(super) fn realms(&self) -> Vec<String> {
        let realm = |anchor: &TrustAnchor<'_>| {
            format!("{}/{}", self.mesh, NodeId::of_public_key(&anchor.subject_public_key_info))
        };
        self.anchors.iter().map(realm).collect()
    }

    /// Who presents `chain`, the end entity first.
    ///
    /// The mesh is compared before the chain: the answer is "no" either way, and "another mesh" helps more than
    /// "another authority".
    pub(super) fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<PeerIdentity, CertificateRefused> {
        let (end_entity, intermediates) = chain.split_first().ok_or(CertificateRefused::Missing)?;
        let peer = PeerIdentity::claimed_by(end_entity)?;
        if peer.mesh() != self.mesh {
            return Err(CertificateRefused::OtherMesh {
                theirs: peer.mesh().to_owned(),
                ours: self.mesh.clone(),
            });
        }
        let parsed = EndEntityCert::try_from(end_entity).map_err(|_bad_der| CertificateRefused::Malformed)?;
        let usage = KeyUsage::client_auth();
        parsed
            .verify_for_usage(ALL_VERIFICATION_ALGS, &self.anchors, intermediates, now, usage, None, None)
            .map_err(refused)?;
        Ok(peer)
    }
}

fn refused(error: webpki::Error) -> CertificateRefused {
    use webpki::Error;
    match error {
        Error::CertExpired { time, not_after } => CertificateRefused::Expired { not_after, now: time },
        Error::CertNotValidYet { time, not_before } => {
            CertificateRefused::NotYetValid { not_before, now: time }
        }
        Error::RequiredEkuNotFoundContext(_) | Error::CaUsedAsEndEntity => CertificateRefused::Purpose,
        // Two authorities of one mesh have the same subject, so that the stranger's signature is what fails.
        Error::UnknownIssuer
        | Error::InvalidSignatureForPublicKey
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => CertificateRefused::UnknownAuthority,
        _ => CertificateRefused::Malformed,
    }
}

fn utc(time: UnixTime) -> String {
    let moment =
        i64::try_from(time.as_secs()).ok().and_then(|secs| OffsetDateTime::from_unix_timestamp(secs).ok());
    moment.map_or_else(
        || format!("second {} of 1970", time.as_secs()),
        |t| format!("{} {:02}:{:02}:{:02} UTC", t.date(), t.hour(), t.minute(), t.second()),
    )
}
