//! What a node presents to its peers, and how it judges theirs.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_lc_rs::hmac;
use rustls::{SignatureScheme, crypto::aws_lc_rs::sign::any_supported_type, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject};

use super::{CertificateRefused, IdentityError, PeerIdentity, Role, peer::SIGNATURE_CONTEXT, trust::Trust};
use crate::NodeId;

/// The kinds of keys that a node may have.
const SCHEMES: [SignatureScheme; 3] = [
    SignatureScheme::ED25519,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
];

/// A certificate, its private key, and the authority to judge peers by. Cheap to clone; `Debug` shows no key.
#[derive(Clone)]
pub struct Credentials(Arc<Inner>);

struct Inner {
    peer: PeerIdentity,
    certified: Arc<CertifiedKey>,
    trust: Trust,
    validity: Validity,
    authority_not_after: SystemTime,
    /// Derives further secrets from the private key.
    derive: hmac::Key,
}

/// A certificate's life.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validity {
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
}

impl Credentials {
    /// Credentials from PEM texts: a certificate (and those between it and the authority, if any), its private key, and
    /// the authority's certificate (or several, while one replaces another).
    ///
    /// # Errors
    /// The texts do not fit each other. Whether the certificate is valid *now* is for the peers to judge.
    pub fn from_pem(certificate: &str, key: &str, authority: &str) -> Result<Self, IdentityError> {
        let chain = certificates(certificate, "certificate")?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|_secret| IdentityError::Pem("private key"))?;
        Self::new(chain, &key, &certificates(authority, "authority's certificate")?)
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: &PrivateKeyDer<'_>,
        authorities: &[CertificateDer<'_>],
    ) -> Result<Self, IdentityError> {
        let leaf = chain.first().ok_or(IdentityError::Pem("certificate"))?;
        let claimed = PeerIdentity::claimed_by(leaf)?;
        let validity = Validity::of(leaf)?;
        let trust = Trust::new(claimed.mesh(), authorities)?;
        let peer = trust.verify(&chain, unix(validity.not_after))?;
        let signing = any_supported_type(key).map_err(|_unknown| IdentityError::UnsupportedKey)?;
        signing.choose_scheme(&SCHEMES).ok_or(IdentityError::UnsupportedKey)?;
        let ends = authorities.iter().map(|authority| Ok(Validity::of(authority)?.not_after));
        let ends = ends.collect::<Result<Vec<_>, IdentityError>>()?;
        let authority_not_after = ends.into_iter().max().unwrap_or(validity.not_after);
        let derive = hmac::Key::new(hmac::HMAC_SHA256, key.secret_der());
        let certified = CertifiedKey::new(chain, signing);
        certified.keys_match().map_err(|_other| IdentityError::KeyMismatch)?;
        Ok(Self(Arc::new(Inner {
            peer,
            certified: Arc::new(certified),
            trust,
            validity,
            authority_not_after,
            derive,
        })))
    }

    /// The id of our key.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.0.peer.id()
    }

    /// Our mesh.
    #[must_use]
    pub fn mesh(&self) -> &str {
        self.0.peer.mesh()
    }

    /// Our name in the mesh.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.peer.name()
    }

    /// Whether we are a member or a guest.
    #[must_use]
    pub fn role(&self) -> Role {
        self.0.peer.role()
    }

    /// Ourselves, as our peers see us.
    #[must_use]
    pub fn peer_identity(&self) -> PeerIdentity {
        self.0.peer.clone()
    }

    /// What tells our mesh from others of its name: the name with each authority that we trust. Nodes of one mesh have at
    /// least one of these in common.
    #[must_use]
    pub fn realms(&self) -> Vec<String> {
        self.0.trust.realms()
    }

    /// Our certificate, followed by those between it and the authority.
    #[must_use]
    pub fn certificate_chain(&self) -> &[CertificateDer<'static>] {
        &self.0.certified.cert
    }

    /// When peers will begin to refuse our certificate.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        self.0.validity.not_after
    }

    /// When the last of the authorities that we trust ends. Nobody refuses what it has issued for that, but it issues
    /// nothing that lives on.
    #[must_use]
    pub fn authority_expires_at(&self) -> SystemTime {
        self.0.authority_not_after
    }

    /// Signs a message with our key, for [`PeerIdentity::verify_signature`].
    ///
    /// The signature covers a context of its own besides the message, so that it is good for nothing else.
    ///
    /// # Panics
    /// If the system gives no randomness to an ECDSA key.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signer =
            self.0.certified.key.choose_scheme(&SCHEMES).expect("the key was checked when it was read");
        signer.sign(&[SIGNATURE_CONTEXT, message].concat()).expect("signing needs nothing but randomness")
    }

    /// Who presents `chain` (the peer's own certificate first) at the time `now`.
    ///
    /// # Errors
    /// [`CertificateRefused`] says in a sentence why we do not believe it.
    pub fn verify_peer(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<PeerIdentity, CertificateRefused> {
        self.0.trust.verify(chain, now)
    }

    /// Certificate and key as TLS wants them.
    pub(crate) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.0.certified
    }

    /// A secret of our own for one purpose: the same after a restart, unknown to all others.
    pub(crate) fn secret(&self, purpose: &str) -> [u8; 32] {
        let mut secret = [0; 32];
        secret.copy_from_slice(hmac::sign(&self.0.derive, purpose.as_bytes()).as_ref());
        secret
    }

    /// Whether it is time for a new certificate: half of this one's life is over.
    pub(super) fn is_due_for_renewal(&self, now: SystemTime) -> bool {
        let Validity { not_before, not_after } = self.0.validity;
        let half = not_after.duration_since(not_before).unwrap_or_default() / 2;
        now < not_before || now > not_before + half
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { peer, .. } = &*self.0;
        write!(f, "Credentials(spiffe://{}/{}/{} {})", peer.mesh(), peer.role(), peer.name(), peer.id())
    }
}

// === impl Validity ===

impl Validity {
    fn of(certificate: &CertificateDer<'_>) -> Result<Self, CertificateRefused> {
        let (_rest, parsed) = x509_parser::parse_x509_certificate(certificate)
            .map_err(|_bad_der| CertificateRefused::Malformed)?;
        let moment = |secs: i64| {
            let secs = u64::try_from(secs).map_err(|_before_1970| CertificateRefused::Malformed)?;
            Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(secs))
        };
        let validity = parsed.validity();
        Ok(Self {
            not_before: moment(validity.not_before.timestamp())?,
            not_after: moment(validity.not_after.timestamp())?,
        })
    }
}

// === helpers ===

fn certificates(pem: &str, what: &'static str) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    read.ok().filter(|certificates| !certificates.is_empty()).ok_or(IdentityError::Pem(what))
}

fn unix(time: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}
