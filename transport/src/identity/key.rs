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
