//! How the two sides of a handshake judge each other, and how each learns why the other said no.
//!
//! Whoever refuses knows the whole reason, a [`Refusal`]. The other side learns one byte of it, a TLS alert, whatever
//! the transport; [`sentence`] turns that into what its operator should look at.

use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, OtherError};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::{
    Address, CertificateRefused, Credentials, DialError, HandshakeError, NodeId, PeerIdentity, Role,
};

/// Why we do not talk to a peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// We do not believe who it is.
    #[error(transparent)]
    Certificate(#[from] CertificateRefused),
    /// It is a member, but not the one that we dialled.
    #[error("expected node {expected}, but {found} answered")]
    Unexpected { expected: NodeId, found: NodeId },
}

/// The dialer's judgement of who answered.
pub(crate) fn judge_acceptor(
    ours: &Credentials,
    chain: &[CertificateDer<'_>],
    expected: Option<NodeId>,
    now: UnixTime,
) -> Result<PeerIdentity, Refusal> {
    let peer = ours.verify_peer(chain, now)?;
    match expected {
        _ if peer.role() != Role::Node => Err(CertificateRefused::NotANode.into()),
        Some(expected) if expected != peer.id() => Err(Refusal::Unexpected { expected, found: peer.id() }),
        _ => Ok(peer),
    }
}

/// The acceptor's judgement of who dialled.
pub(crate) fn judge_dialer(
    ours: &Credentials,
    chain: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<PeerIdentity, Refusal> {
    Ok(ours.verify_peer(chain, now)?)
}

/// What an alert that the peer sent us means, to go on from "the peer refused us:".
pub(crate) fn sentence(alert: AlertDescription) -> String {
    let known = match alert {
        AlertDescription::UnknownCA => "it does not trust our authority",
        AlertDescription::CertificateExpired => {
            "our certificate is expired or not yet valid there: check both clocks"
        }
        AlertDescription::AccessDenied => "it belongs to another mesh",
        AlertDescription::CertificateRequired => "we presented no certificate",
        AlertDescription::BadCertificate => "it expected another node at this address",
        AlertDescription::UnsupportedCertificate => {
            "our certificate was not issued for this: a client cannot be dialled"
        }
        AlertDescription::CertificateUnknown => "it cannot read our certificate",
        AlertDescription::NoApplicationProtocol => "it does not speak our protocol",
        AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion => {
            "it shares no TLS version or cipher with us"
        }
        other => return format!("TLS alert {}", u8::from(other)),
    };
    known.to_owned()
}

// === impl Refusal ===

impl Refusal {
    /// What the peer is told.
    pub(crate) fn alert(&self) -> AlertDescription {
        self.as_tls().into()
    }

    /// The refusal in TLS's words: each kind has an alert of its own, see [`sentence`].
    pub(crate) fn as_tls(&self) -> CertificateError {
        let Self::Certificate(refused) = self else { return CertificateError::NotValidForName };
        match refused {
            CertificateRefused::OtherMesh { .. } => CertificateError::ApplicationVerificationFailure,
            CertificateRefused::UnknownAuthority => CertificateError::UnknownIssuer,
            CertificateRefused::Expired { .. } => CertificateError::Expired,
            CertificateRefused::NotYetValid { .. } => CertificateError::NotValidYet,
            CertificateRefused::Purpose | CertificateRefused::NotANode => CertificateError::InvalidPurpose,
            CertificateRefused::Missing | CertificateRefused::Malformed | CertificateRefused::Anonymous => {
                CertificateError::Other(OtherError(Arc::new(self.clone())))
            }
        }
    }

    /// What our own caller is told where we dialled.
    pub(crate) fn into_dial_error(self, address: &Address) -> DialError {
        let address = address.clone();
        match self {
            Self::Unexpected { expected, found } => DialError::UnexpectedPeer { address, expected, found },
            Self::Certificate(refused) => DialError::RefusedPeer { address, reason: refused.to_string() },
        }
    }

    /// What our own caller is told where we were dialled.
    pub(crate) fn into_handshake_error(self, remote: Address) -> HandshakeError {
        HandshakeError::Refused { remote, reason: self.to_string() }
    }
}
