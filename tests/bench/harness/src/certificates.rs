//! The identities of a pair: an authority, and what it signed for each side.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SigningKey};

/// The name in both sides' certificates.
pub const HOST_NAME: &str = "localhost";

/// A folder of PEM files.
#[derive(Clone, Debug)]
pub struct Certificates {
    folder: PathBuf,
}

/// Whose certificate.
#[derive(Clone, Copy, Debug)]
pub enum Side {
    /// Of who listens.
    Server,
    /// Of who connects.
    Client,
}

/// A certificate and its private key, both PEM.
#[derive(Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
}

// === impl Certificates ===

impl Certificates {
    /// Makes fresh certificates in an existing folder.
    pub(crate) fn create(folder: &Path) -> Result<Self> {
        let mut params = CertificateParams::new([])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let this = Self::open(folder);
        fs::write(this.authority_path(), authority.pem())?;
        for side in [Side::Server, Side::Client] {
            this.issue(side, &authority)?;
        }
        Ok(this)
    }

    /// Uses the certificates that are in a folder.
    pub(crate) fn open(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The folder, for systems that keep identities of their own in it.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.folder.clone()
    }

    /// The authority's certificate, PEM.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn authority(&self) -> Result<Vec<u8>> {
        read(&self.authority_path())
    }

    /// What one side presents.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn identity(&self, side: Side) -> Result<Identity> {
        let [certificate, key] = self.identity_paths(side);
        Ok(Identity { certificate: read(&certificate)?, key: read(&key)? })
    }

    fn issue(&self, side: Side, authority: &CertifiedIssuer<'_, impl SigningKey>) -> Result<()> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([HOST_NAME.to_owned()])?.signed_by(&key, authority)?;
        let [certificate_path, key_path] = self.identity_paths(side);
        fs::write(certificate_path, certificate.pem())?;
        Ok(fs::write(key_path, key.serialize_pem())?)
    }

    fn authority_path(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    fn identity_paths(&self, side: Side) -> [PathBuf; 2] {
        let name = match side {
            Side::Server => "server",
            Side::Client => "client",
        };
        ["pem", "key"].map(|extension| self.folder.join(name).with_extension(extension))
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
