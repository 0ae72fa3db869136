//! A private key, which never shows itself by accident.

use std::{fmt, sync::Arc};

use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData};

use super::IdentityError;
use crate::NodeId;

/// A private key: a node's identity itself. Cheap to clone; `Debug` shows the public key's id alone.
#[derive(Clone)]
pub struct PrivateKey(Arc<KeyPair>);

impl PrivateKey {
    /// A fresh Ed25519 key.
    ///
    /// # Errors
    /// [`IdentityError::Issue`] if the system gives no randomness.
    pub fn generate() -> Result<Self, IdentityError> {
        Ok(Self(Arc::new(KeyPair::generate_for(&PKCS_ED25519)?)))
    }

    /// The Ed25519 key that derives from `seed`, of the text's SHA-256.
    #[cfg(feature = "testing")]
    pub(super) fn seeded(seed: &str) -> Result<Self, IdentityError> {
        /// A version 1 PKCS #8 key of Ed25519, up to its 32 bytes (RFC 8410, section 7).
        const HEAD: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        let secret = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, seed.as_bytes());
        let der = rustls_pki_types::PrivatePkcs8KeyDer::from([&HEAD[..], secret.as_ref()].concat());
        Ok(Self(Arc::new(KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519)?)))
    }

    /// Reads a PKCS #8 key (Ed25519, or ECDSA on P-256 or P-384).
    ///
    /// # Errors
    /// [`IdentityError::Pem`] if it is none.
    pub fn from_pem(pem: &str) -> Result<Self, IdentityError> {
        KeyPair::from_pem(pem)
            .map(|pair| Self(Arc::new(pair)))
            .map_err(|_secret| IdentityError::Pem("private key"))
    }

    /// The key as PKCS #8 PEM: a secret.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.0.serialize_pem()
    }

    /// The id of a node with this key.
    #[must_use]
    pub fn id(&self) -> NodeId {
        NodeId::of_public_key(&self.0.subject_public_key_info())
    }

    pub(super) fn pair(&self) -> &KeyPair {
        &self.0
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.id())
    }
}
