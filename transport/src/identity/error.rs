//! Why an identity could not be had.

use std::{io, path::PathBuf};

use super::{CertificateRefused, Role};

/// Why an identity could not be made, read or written. What exists on disk is as it was, and trying again is safe.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The text does not follow the grammar of names.
    #[error("`{0}` is no name: use 1 to 63 of a-z, 0-9, `-`, `_` and `.`, beginning with a letter or digit")]
    Name(String),
    /// There is an authority already, and its key must not be lost.
    #[error("{} holds an authority already", .0.display())]
    AuthorityExists(PathBuf),
    /// There is no authority.
    #[error("{} holds no authority; make one with `qmesh ca init`", .0.display())]
    NoAuthority(PathBuf),
    /// The authority found belongs to another mesh than the one asked for.
    #[error("the authority belongs to mesh `{found}`, not to `{expected}`")]
    OtherMesh {
        /// The mesh asked for.
        expected: String,
        /// The authority's mesh.
        found: String,
    },
    /// Another private key would be overwritten, and with it a node's id.
    #[error("{} holds another private key; move it away first", .0.display())]
    KeyExists(PathBuf),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A text is not the PEM that it should be.
    #[error("the {0} is not readable PEM")]
    Pem(&'static str),
    /// The authority's certificate says nothing of a mesh.
    #[error("the authority's certificate carries no `spiffe://<mesh>`")]
    NotAnAuthority,
    /// The key is neither Ed25519 nor ECDSA on P-256 or P-384.
    #[error("the private key is of an unknown kind; use Ed25519 or ECDSA on P-256 or P-384")]
    UnsupportedKey,
    /// The private key is not the certificate's.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
    /// The renewed certificate is of another key, and so of another node.
    #[error(
        "the renewed certificate is of another key: that is another node, which needs an endpoint of its own"
    )]
    OtherKey,
    /// The certificate does not come from the authority beside it, or is unusable otherwise.
    #[error("the certificate is unusable: {0}")]
    Certificate(#[from] CertificateRefused),
    /// The certificate was issued to someone else.
    #[error("the certificate belongs to {found_role} `{found}`, not to {expected_role} `{expected}`")]
    OtherName {
        /// The name asked for.
        expected: String,
        /// The role asked for.
        expected_role: Role,
        /// The certificate's name.
        found: String,
        /// The certificate's role.
        found_role: Role,
    },
    /// The times asked for are out of the range of certificates, or the wrong way round.
    #[error("a certificate's life begins before it ends, between the years 1970 and 9999")]
    Validity,
    /// Making a key or a certificate failed.
    #[error("cannot make a key or certificate: {0}")]
    Issue(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<rcgen::Error> for IdentityError {
    fn from(error: rcgen::Error) -> Self {
        Self::Issue(Box::new(error))
    }
}

impl From<rustls::Error> for IdentityError {
    fn from(error: rustls::Error) -> Self {
        Self::Issue(Box::new(error))
    }
}
