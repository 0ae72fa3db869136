//! Who a node is, and whom it believes.
//!
//! An identity is a key pair. An [`Authority`] signs for a mesh who owns which key: a certificate carries
//! `spiffe://<mesh>/node/<name>` (or `/client/<name>`), and the [`NodeId`](crate::NodeId) is a hash of the key in it. An
//! [`Identity`] is the recipe that gives a node its [`Credentials`]; the other side of them is a [`PeerIdentity`].

mod authority;
mod credentials;
mod error;
mod files;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod key;
mod name;
mod peer;
mod trust;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use parking_lot::Mutex;

pub use self::{
    authority::{AUTHORITY_LIFETIME, Authority, CERTIFICATE_LIFETIME, CLOCK_SKEW, IssueOptions, Issued},
    credentials::Credentials,
    error::IdentityError,
    key::PrivateKey,
    name::{NAME_CHARS_MAX, Role},
    peer::PeerIdentity,
    trust::CertificateRefused,
};

/// The mesh of a development authority that is made on first use.
const DEV_MESH: &str = "dev";

/// A recipe for credentials: give it a name, and it gives that node its key and certificate. Cheap to clone.
#[derive(Clone)]
pub struct Identity(Arc<Source>);

enum Source {
    /// An authority in a data directory, which also keeps the nodes' keys.
    Dev { dir: PathBuf, authority: Authority },
    /// An authority at hand; the keys live as long as this value.
    Issued { authority: Authority, keys: Mutex<BTreeMap<(Role, String), PrivateKey>> },
    /// As `Issued`, with keys that derive from a seed.
    #[cfg(feature = "testing")]
    Seeded { authority: Authority, seed: u64, since: SystemTime },
    /// Finished credentials from elsewhere.
    Given(Credentials),
    /// The same, in files that may be replaced.
    Files(PemFiles),
}

/// Where a certificate, its key and its authority are, and what they were at first.
struct PemFiles {
    paths: [PathBuf; 3],
    first: Credentials,
}

impl Identity {
    /// The identity of development: an authority in `<dir>/authority`, made on first use (for the mesh `dev`), and the
    /// nodes' keys in `<dir>/nodes/<name>`, so that a node keeps its id. Processes that start at once agree.
    ///
    /// Whoever reads `dir` can join the mesh: it is made with mode 0700, its files with 0600, and git is told to leave it
    /// alone.
    ///
    /// # Errors
    /// The directory cannot be read or written, or what is in it is broken.
    pub fn dev(dir: impl AsRef<Path>) -> Result<Self, IdentityError> {
        let dir = dir.as_ref().to_owned();
        let authority = Authority::existing_or_new(&dir.join("authority"), DEV_MESH)?;
        keep_out_of_git(&dir)?;
        Ok(Self(Arc::new(Source::Dev { dir, authority })))
    }

    /// Identities in memory, for tests. A name keeps its key, and so its id, as long as this value or a clone lives.
    #[must_use]
    pub fn issued_by(authority: &Authority) -> Self {
        Self(Arc::new(Source::Issued { authority: authority.clone(), keys: Mutex::default() }))
    }

    /// As [`issued_by`](Self::issued_by), with keys that derive from `seed` and the owner's name, so that a simulation
    /// has the same ids each time. Whoever knows the seed has the keys.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn seeded(authority: &Authority, seed: u64) -> Self {
        // Certificates of one life each: a newer one would be renewed to, at a moment that no seed knows.
        let since = SystemTime::now();
        Self(Arc::new(Source::Seeded { authority: authority.clone(), seed, since }))
    }

    /// An identity from three PEM files: the certificate (with those between it and the authority, if any), its private
    /// key, and the authority's certificate. They are read now, and by a running node every hour: replace them to renew
    /// a certificate.
    ///
    /// # Errors
    /// A file cannot be read, or they do not fit each other.
    pub fn pem_files(
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
        authority: impl AsRef<Path>,
    ) -> Result<Self, IdentityError> {
        let paths = [certificate.as_ref(), key.as_ref(), authority.as_ref()].map(Path::to_owned);
        let first = read_pem_files(&paths)?;
        Ok(Self(Arc::new(Source::Files(PemFiles { paths, first }))))
    }

    /// As [`pem_files`](Self::pem_files), from texts.
    ///
    /// # Errors
    /// The texts are not PEM, or do not fit each other.
    pub fn pem(certificate: &str, key: &str, authority: &str) -> Result<Self, IdentityError> {
        let credentials = Credentials::from_pem(certificate, key, authority)?;
        Ok(Self(Arc::new(Source::Given(credentials))))
    }

    /// The mesh that the credentials belong to.
    #[must_use]
    pub fn mesh(&self) -> &str {
        match &*self.0 {
            Source::Dev { authority, .. } | Source::Issued { authority, .. } => authority.mesh(),
            #[cfg(feature = "testing")]
            Source::Seeded { authority, .. } => authority.mesh(),
            Source::Given(credentials) | Source::Files(PemFiles { first: credentials, .. }) => {
                credentials.mesh()
            }
        }
    }

    /// The data directory of a development identity.
    #[must_use]
    pub fn data_dir(&self) -> Option<&Path> {
        match &*self.0 {
            Source::Dev { dir, .. } => Some(dir),
            #[cfg(feature = "testing")]
            Source::Seeded { .. } => None,
            Source::Issued { .. } | Source::Given(_) | Source::Files(_) => None,
        }
    }

    /// The credentials of the node `name`.
    ///
    /// In development its key is kept, and its certificate renewed once half of its life is over.
    ///
    /// # Errors
    /// [`IdentityError::OtherName`] if the PEM files belong to someone else.
    pub fn credentials(&self, name: &str) -> Result<Credentials, IdentityError> {
        name::check(name)?;
        match &*self.0 {
            Source::Dev { dir, authority } => kept(&dir.join("nodes").join(name), authority, name),
            Source::Issued { authority, keys } => remembered(authority, keys, (Role::Node, name.to_owned())),
            #[cfg(feature = "testing")]
            Source::Seeded { authority, seed, since } => {
                seeded(authority, (*seed, *since), (Role::Node, name))
            }
            Source::Given(credentials) => given(credentials, name, Role::Node),
            Source::Files(files) => given(&read_pem_files(&files.paths)?, name, Role::Node),
        }
    }

    /// The credentials of the client `name`. In development each call makes a new key: a client is nobody twice.
    ///
    /// # Errors
    /// As [`credentials`](Self::credentials).
    pub fn client_credentials(&self, name: &str) -> Result<Credentials, IdentityError> {
        name::check(name)?;
        match &*self.0 {
            Source::Dev { authority, .. } => authority.issue(name, Role::Client)?.credentials(),
            Source::Issued { authority, keys } => {
                remembered(authority, keys, (Role::Client, name.to_owned()))
            }
            #[cfg(feature = "testing")]
            Source::Seeded { authority, seed, since } => {
                seeded(authority, (*seed, *since), (Role::Client, name))
            }
            Source::Given(credentials) => given(credentials, name, Role::Client),
            Source::Files(files) => given(&read_pem_files(&files.paths)?, name, Role::Client),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Source::Dev { dir, authority } => {
                write!(f, "Identity(mesh {} in {})", authority.mesh(), dir.display())
            }
            Source::Issued { authority, .. } => write!(f, "Identity(mesh {} in memory)", authority.mesh()),
            #[cfg(feature = "testing")]
            Source::Seeded { authority, .. } => write!(f, "Identity(mesh {} of a seed)", authority.mesh()),
            Source::Given(credentials) | Source::Files(PemFiles { first: credentials, .. }) => {
                write!(f, "Identity({credentials:?})")
            }
        }
    }
}

// === the recipes ===

fn keep_out_of_git(dir: &Path) -> Result<(), IdentityError> {
    let ignore = dir.join(".gitignore");
    let _lock = files::lock(&dir.join("authority"))?;
    match files::read(&ignore)? {
        Some(_) => Ok(()),
        None => files::write(&ignore, "*\n"),
    }
}

fn read_pem_files(paths: &[PathBuf; 3]) -> Result<Credentials, IdentityError> {
    let [certificate, key, authority] = paths.each_ref().map(|path| files::read_existing(path));
    Credentials::from_pem(&certificate?, &key?, &authority?)
}

fn kept(dir: &Path, authority: &Authority, name: &str) -> Result<Credentials, IdentityError> {
    let _lock = files::lock(dir)?;
    let (key_path, certificate_path) = (dir.join("key.pem"), dir.join("certificate.pem"));
    let key = match files::read(&key_path)? {
        Some(pem) => PrivateKey::from_pem(&pem)?,
        None => {
            let key = PrivateKey::generate()?;
            files::write(&key_path, &key.to_pem())?;
            key
        }
    };
    if let Some(certificate) = files::read(&certificate_path)? {
        // A certificate of an older authority, or a damaged one, is as good as none: the key is what counts.
        let kept = Credentials::from_pem(&certificate, &key.to_pem(), authority.certificate_pem());
        if let Some(kept) = kept.ok().filter(|kept| !kept.is_due_for_renewal(SystemTime::now())) {
            return Ok(kept);
        }
    }
    let issued =
        authority.issue_with(&IssueOptions { key: Some(key), ..IssueOptions::new(name, Role::Node) })?;
    files::write(&certificate_path, issued.certificate_pem())?;
    issued.credentials()
}

fn remembered(
    authority: &Authority,
    keys: &Mutex<BTreeMap<(Role, String), PrivateKey>>,
    owner: (Role, String),
) -> Result<Credentials, IdentityError> {
    let key = match keys.lock().entry(owner.clone()) {
        Entry::Occupied(known) => known.get().clone(),
        Entry::Vacant(vacant) => vacant.insert(PrivateKey::generate()?).clone(),
    };
    let options = IssueOptions { key: Some(key), ..IssueOptions::new(&owner.1, owner.0) };
    authority.issue_with(&options)?.credentials()
}

#[cfg(feature = "testing")]
fn seeded(
    authority: &Authority,
    (seed, since): (u64, SystemTime),
    (role, name): (Role, &str),
) -> Result<Credentials, IdentityError> {
    let key = Some(PrivateKey::seeded(&format!("{seed} {role:?} {name}"))?);
    let (not_before, not_after) = (since - CLOCK_SKEW, since + CERTIFICATE_LIFETIME);
    let options = IssueOptions { name: name.to_owned(), role, not_before, not_after, key };
    authority.issue_with(&options)?.credentials()
}

fn given(credentials: &Credentials, name: &str, role: Role) -> Result<Credentials, IdentityError> {
    if credentials.name() == name && credentials.role() == role {
        return Ok(credentials.clone());
    }
    Err(IdentityError::OtherName {
        expected: name.to_owned(),
        expected_role: role,
        found: credentials.name().to_owned(),
        found_role: credentials.role(),
    })
}

#[cfg(test)]
mod tests;
