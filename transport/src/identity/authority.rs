//! The mesh's certificate authority: one key that says who belongs to the mesh.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use time::OffsetDateTime;
use webpki::EndEntityCert;

use super::{
    Credentials, IdentityError, PrivateKey, Role, files,
    name::{self, SpiffeId},
};

/// How long an authority lives: ten years.
pub const AUTHORITY_LIFETIME: Duration = Duration::from_hours(24 * 3650);
/// How long the certificate of a node or client lives where nothing else is asked for: 90 days.
pub const CERTIFICATE_LIFETIME: Duration = Duration::from_hours(24 * 90);
/// How far before its making a certificate's life begins, so that a peer whose clock is behind accepts it: 5 minutes.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

const CERTIFICATE_FILE: &str = "authority.pem";
const KEY_FILE: &str = "authority.key.pem";

/// The certificate authority of one mesh: whoever holds its key decides who belongs. Cheap to clone; `Debug` shows no key.
#[derive(Clone)]
pub struct Authority(Arc<Inner>);

struct Inner {
    mesh: String,
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What to issue.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IssueOptions {
    /// The owner's name: 1 to 63 of `a-z`, `0-9`, `-`, `_` and `.`.
    pub name: String,
    /// What the owner is.
    pub role: Role,
    /// When the certificate's life begins. Default: [`CLOCK_SKEW`] ago.
    pub not_before: SystemTime,
    /// When it ends. Default: [`CERTIFICATE_LIFETIME`] from now.
    pub not_after: SystemTime,
    /// The owner's key, to keep its id; a fresh one by default.
    pub key: Option<PrivateKey>,
}

/// A certificate with its key, just issued.
#[derive(Clone, Debug)]
pub struct Issued {
    name: String,
    certificate_pem: String,
    authority_pem: String,
    key: PrivateKey,
}

// === impl Authority ===

impl Authority {
    /// An authority that lives in memory only, for tests.
    ///
    /// # Errors
    /// [`IdentityError::Name`] if `mesh` is no name.
    pub fn ephemeral(mesh: &str) -> Result<Self, IdentityError> {
        Self::generate(mesh).map(|(authority, _key)| authority)
    }

    /// Makes an authority in `dir` (`authority.pem` and `authority.key.pem`, mode 0600), which is made (0700) if missing.
    ///
    /// # Errors
    /// [`IdentityError::AuthorityExists`] if there is one: its key is never overwritten.
    pub fn init(dir: &Path, mesh: &str) -> Result<Self, IdentityError> {
        name::check(mesh)?;
        let _lock = files::lock(dir)?;
        match Self::read(dir)? {
            Some(_) => Err(IdentityError::AuthorityExists(dir.to_owned())),
            None => Self::create(dir, mesh),
        }
    }

    /// Reads the authority in `dir`.
    ///
    /// # Errors
    /// [`IdentityError::NoAuthority`] if there is none.
    pub fn open(dir: &Path) -> Result<Self, IdentityError> {
        Self::read(dir)?.ok_or_else(|| IdentityError::NoAuthority(dir.to_owned()))
    }

    /// Reads the authority in `dir`, or makes one. Processes that do so at once agree on one authority.
    ///
    /// # Errors
    /// [`IdentityError::OtherMesh`] if the one that is there belongs to another mesh.
    pub fn open_or_init(dir: &Path, mesh: &str) -> Result<Self, IdentityError> {
        let authority = Self::existing_or_new(dir, mesh)?;
        if authority.mesh() == mesh {
            Ok(authority)
        } else {
            Err(IdentityError::OtherMesh { expected: mesh.to_owned(), found: authority.mesh().to_owned() })
        }
    }

    /// The authority that is in `dir`, of whatever mesh, or a new one of `mesh`.
    pub(super) fn existing_or_new(dir: &Path, mesh: &str) -> Result<Self, IdentityError> {
        name::check(mesh)?;
        let _lock = files::lock(dir)?;
        Self::read(dir)?.map_or_else(|| Self::create(dir, mesh), Ok)
    }

    /// The mesh whose members this authority names.
    #[must_use]
    pub fn mesh(&self) -> &str {
        &self.0.mesh
    }

    /// The authority's certificate, which every member needs, as PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.0.certificate_pem
    }

    /// Issues a certificate for a fresh Ed25519 key, valid from [`CLOCK_SKEW`] ago for [`CERTIFICATE_LIFETIME`].
    ///
    /// # Errors
    /// [`IdentityError::Name`] if `name` is none.
    pub fn issue(&self, name: &str, role: Role) -> Result<Issued, IdentityError> {
        self.issue_with(&IssueOptions::new(name, role))
    }

    /// Issues a certificate to order: with other times, or for a key that exists.
    ///
    /// # Errors
    /// [`IdentityError::Name`] or [`IdentityError::Validity`] if the order makes no sense.
    pub fn issue_with(&self, options: &IssueOptions) -> Result<Issued, IdentityError> {
        name::check(&options.name)?;
        let key = options.key.clone().map_or_else(PrivateKey::generate, Ok)?;
        let spiffe =
            SpiffeId { mesh: self.mesh().to_owned(), role: options.role, name: options.name.clone() };
        let mut params = params(&options.name, &spiffe.to_string(), options.not_before, options.not_after)?;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match options.role {
            Role::Node => vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth],
            Role::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
        };
        let certificate_pem = params.signed_by(key.pair(), &self.0.issuer)?.pem();
        let authority_pem = self.0.certificate_pem.clone();
        Ok(Issued { name: options.name.clone(), certificate_pem, authority_pem, key })
    }

    fn create(dir: &Path, mesh: &str) -> Result<Self, IdentityError> {
        let (authority, key_pem) = Self::generate(mesh)?;
        // The certificate comes last: it is the sign that the authority is complete.
        files::write(&dir.join(KEY_FILE), &key_pem)?;
        files::write(&dir.join(CERTIFICATE_FILE), &authority.0.certificate_pem)?;
        Ok(authority)
    }

    fn read(dir: &Path) -> Result<Option<Self>, IdentityError> {
        let Some(certificate_pem) = files::read(&dir.join(CERTIFICATE_FILE))? else { return Ok(None) };
        let key_pem = files::read_existing(&dir.join(KEY_FILE))?;
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|_bad_pem| IdentityError::Pem("authority's certificate"))?;
        let mesh = mesh_of(&certificate).ok_or(IdentityError::NotAnAuthority)?;
        let key = KeyPair::from_pem(&key_pem).map_err(|_secret| IdentityError::Pem("authority's key"))?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Some(Self(Arc::new(Inner { mesh, certificate_pem, issuer }))))
    }

    /// A new authority, and its key as PEM.
    fn generate(mesh: &str) -> Result<(Self, String), IdentityError> {
        name::check(mesh)?;
        let now = SystemTime::now();
        let subject = format!("qmesh authority of {mesh}");
        let mut params = params(&subject, &name::mesh_uri(mesh), now - CLOCK_SKEW, now + AUTHORITY_LIFETIME)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
        let key_pem = key.serialize_pem();
        let certificate_pem = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);
        Ok((Self(Arc::new(Inner { mesh: mesh.to_owned(), certificate_pem, issuer })), key_pem))
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("mesh", &self.0.mesh).finish_non_exhaustive()
    }
}

// === impl IssueOptions ===

impl IssueOptions {
    /// A certificate of the default lifetime for a fresh key.
    #[must_use]
    pub fn new(name: &str, role: Role) -> Self {
        let now = SystemTime::now();
        let (not_before, not_after) = (now - CLOCK_SKEW, now + CERTIFICATE_LIFETIME);
        Self { name: name.to_owned(), role, not_before, not_after, key: None }
    }
}

// === impl Issued ===

impl Issued {
    /// The certificate as PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The authority's certificate as PEM.
    #[must_use]
    pub fn authority_pem(&self) -> &str {
        &self.authority_pem
    }

    /// The private key.
    #[must_use]
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// What the owner presents to peers.
    ///
    /// # Errors
    /// None that an authority of this crate causes.
    pub fn credentials(&self) -> Result<Credentials, IdentityError> {
        Credentials::from_pem(&self.certificate_pem, &self.key.to_pem(), &self.authority_pem)
    }

    /// Writes `<name>.pem`, `<name>.key.pem` and `authority.pem` (all of mode 0600) to `dir`, which is made (0700) if
    /// missing. Returns the three paths in that order.
    ///
    /// # Errors
    /// [`IdentityError::KeyExists`] if another key of that name is there: it is never overwritten.
    pub fn write(&self, dir: &Path) -> Result<[PathBuf; 3], IdentityError> {
        files::make_dir(dir)?;
        let paths =
            [format!("{}.pem", self.name), format!("{}.key.pem", self.name), CERTIFICATE_FILE.to_owned()]
                .map(|file| dir.join(file));
        let [certificate, key, authority] = &paths;
        let key_pem = self.key.to_pem();
        if files::read(key)?.is_some_and(|existing| existing != key_pem) {
            return Err(IdentityError::KeyExists(key.clone()));
        }
        files::write(key, &key_pem)?;
        files::write(certificate, &self.certificate_pem)?;
        files::write(authority, &self.authority_pem)?;
        Ok(paths)
    }
}

// === helpers ===

/// The mesh that an authority's certificate names.
fn mesh_of(certificate: &CertificateDer<'_>) -> Option<String> {
    let parsed = EndEntityCert::try_from(certificate).ok()?;
    let mut uris = parsed.valid_uri_names();
    uris.next().and_then(name::mesh_of_uri).filter(|_| uris.next().is_none()).map(str::to_owned)
}

fn params(
    subject: &str,
    uri: &str,
    not_before: SystemTime,
    not_after: SystemTime,
) -> Result<CertificateParams, IdentityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject);
    params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
    // By default the serial number derives from the key, which a renewed certificate keeps.
    // Its highest bit stays 0, as it is no negative number, and the next is 1, so that all are of one length.
    let serial = rand::random::<u128>() >> 1 | 1 << 126;
    params.serial_number = Some(SerialNumber::from_slice(&serial.to_be_bytes()));
    params.not_before = date(not_before)?;
    params.not_after = date(not_after)?;
    if params.not_before >= params.not_after {
        return Err(IdentityError::Validity);
    }
    Ok(params)
}

fn date(time: SystemTime) -> Result<OffsetDateTime, IdentityError> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).map_err(|_before| IdentityError::Validity)?;
    let secs = i64::try_from(since.as_secs()).map_err(|_beyond| IdentityError::Validity)?;
    OffsetDateTime::from_unix_timestamp(secs).map_err(|_beyond| IdentityError::Validity)
}
