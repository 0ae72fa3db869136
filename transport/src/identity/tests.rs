//! Who is trusted, and what is kept on disk.

use std::time::{Duration, SystemTime};

use rustls_pki_types::UnixTime;

use super::*;

const HOUR: Duration = Duration::from_secs(60 * 60);

fn authority() -> Authority {
    Authority::ephemeral("dev").unwrap()
}

/// Credentials whose life begins and ends so many hours from now.
fn credentials_from_to(authority: &Authority, from: i32, to: i32) -> Credentials {
    let now = SystemTime::now();
    let at = |hours: i32| {
        if hours < 0 { now - HOUR * hours.unsigned_abs() } else { now + HOUR * hours.unsigned_abs() }
    };
    let options =
        IssueOptions { not_before: at(from), not_after: at(to), ..IssueOptions::new("lobby", Role::Node) };
    authority.issue_with(&options).unwrap().credentials().unwrap()
}

fn judge(judge: &Credentials, other: &Credentials) -> Result<PeerIdentity, CertificateRefused> {
    judge.verify_peer(other.certificate_chain(), UnixTime::now())
}

#[test]
fn members_of_a_mesh_believe_each_other() {
    let identity = Identity::issued_by(&authority());
    let (a, b) = (identity.credentials("a").unwrap(), identity.credentials("b").unwrap());
    let seen = judge(&a, &b).unwrap();
    assert_eq!((seen.name(), seen.mesh(), seen.role(), seen.id()), ("b", "dev", Role::Node, b.id()));
    assert_eq!(seen, b.peer_identity());
    assert_eq!(judge(&b, &identity.client_credentials("cli").unwrap()).unwrap().role(), Role::Client);
}

#[test]
fn a_node_id_is_the_hash_of_the_key_whatever_the_certificate() {
    let authority = authority();
    let first = authority.issue("a", Role::Node).unwrap();
    let again = IssueOptions { key: Some(first.key().clone()), ..IssueOptions::new("b", Role::Node) };
    let second = authority.issue_with(&again).unwrap().credentials().unwrap();
    assert_eq!(first.credentials().unwrap().id(), second.id());
    assert_eq!(first.key().id(), second.id());
}

#[test]
fn strangers_are_refused_with_what_is_wrong() {
    let ours = authority();
    let judging = credentials_from_to(&ours, -1, 1);
    let refuse = |other: &Credentials| judge(&judging, other).unwrap_err();

    let other_mesh = credentials_from_to(&Authority::ephemeral("prod").unwrap(), -1, 1);
    assert_eq!(refuse(&other_mesh).to_string(), "it belongs to mesh `prod`, we belong to `dev`");
    assert_eq!(refuse(&credentials_from_to(&authority(), -1, 1)), CertificateRefused::UnknownAuthority);
    assert!(
        refuse(&credentials_from_to(&ours, -2, -1)).to_string().starts_with("its certificate expired at 20")
    );
    assert!(refuse(&credentials_from_to(&ours, 1, 2)).to_string().contains("check both clocks"));
    assert_eq!(judging.verify_peer(&[], UnixTime::now()), Err(CertificateRefused::Missing));
    let junk = [rustls_pki_types::CertificateDer::from(vec![1, 2, 3])];
    assert_eq!(judging.verify_peer(&junk, UnixTime::now()), Err(CertificateRefused::Malformed));
}

#[test]
fn an_authoritys_own_certificate_is_no_members() {
    let ours = authority();
    let chain =
        [rustls_pki_types::pem::PemObject::from_pem_slice(ours.certificate_pem().as_bytes()).unwrap()];
    let judging = credentials_from_to(&ours, -1, 1);
    assert_eq!(judging.verify_peer(&chain, UnixTime::now()), Err(CertificateRefused::Anonymous));
}

#[test]
fn a_signature_is_the_signers_and_the_messages() {
    let identity = Identity::issued_by(&authority());
    let (a, b) = (identity.credentials("a").unwrap(), identity.credentials("b").unwrap());
    let signature = a.sign(b"record");
    assert!(a.peer_identity().verify_signature(b"record", &signature));
    assert!(!a.peer_identity().verify_signature(b"recorD", &signature));
    assert!(!b.peer_identity().verify_signature(b"record", &signature));
    assert!(!a.peer_identity().verify_signature(b"record", b""));
}

#[test]
fn p256_keys_sign_and_are_believed_too() {
    let key = PrivateKey::from_pem(&rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let authority = authority();
    let options = IssueOptions { key: Some(key), ..IssueOptions::new("p256", Role::Node) };
    let credentials = authority.issue_with(&options).unwrap().credentials().unwrap();
    let seen = judge(&credentials_from_to(&authority, -1, 1), &credentials).unwrap();
    assert_eq!(seen.id(), options.key.unwrap().id());
    assert!(seen.verify_signature(b"x", &credentials.sign(b"x")));
}

#[test]
fn a_development_node_keeps_its_id_and_renews_its_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::dev(dir.path()).unwrap();
    let first = identity.credentials("lobby").unwrap();
    assert_eq!(
        Identity::dev(dir.path()).unwrap().credentials("lobby").unwrap().certificate_chain(),
        first.certificate_chain()
    );

    let authority = Authority::open(&dir.path().join("authority")).unwrap();
    let home = dir.path().join("nodes/lobby");
    let key = PrivateKey::from_pem(&std::fs::read_to_string(home.join("key.pem")).unwrap()).unwrap();
    let now = SystemTime::now();
    let old = IssueOptions {
        key: Some(key),
        not_before: now - 3 * HOUR,
        not_after: now + 2 * HOUR,
        ..IssueOptions::new("lobby", Role::Node)
    };
    std::fs::write(home.join("certificate.pem"), authority.issue_with(&old).unwrap().certificate_pem())
        .unwrap();
    let renewed = identity.credentials("lobby").unwrap();
    assert_eq!(renewed.id(), first.id());
    assert!(renewed.expires_at() > now + CERTIFICATE_LIFETIME - HOUR);
}

#[test]
fn replaced_pem_files_are_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::ephemeral("home").unwrap();
    let issued = authority.issue("attic", Role::Node).unwrap();
    let [certificate, key, trusted] = issued.write(dir.path()).unwrap();
    let identity = Identity::pem_files(&certificate, &key, &trusted).unwrap();
    let first = identity.credentials("attic").unwrap();
    let kept = PrivateKey::from_pem(&std::fs::read_to_string(&key).unwrap()).unwrap();
    let longer = IssueOptions {
        key: Some(kept),
        not_after: SystemTime::now() + 2 * CERTIFICATE_LIFETIME,
        ..IssueOptions::new("attic", Role::Node)
    };
    std::fs::write(&certificate, authority.issue_with(&longer).unwrap().certificate_pem()).unwrap();
    let second = identity.credentials("attic").unwrap();
    assert_eq!(second.id(), first.id());
    assert!(second.expires_at() > first.expires_at() + HOUR);
    // A file that is being replaced is an error for now, not the end of what was there.
    std::fs::write(&certificate, "half a fi").unwrap();
    identity.credentials("attic").unwrap_err();
    assert_eq!(identity.mesh(), "home");
}

#[test]
fn meshes_of_one_name_are_told_apart_by_their_authorities() {
    let [one, other] = [(); 2].map(|()| Authority::ephemeral("dev").unwrap());
    let realms =
        |authority: &Authority| authority.issue("lobby", Role::Node).unwrap().credentials().unwrap().realms();
    assert_eq!(realms(&one), realms(&one));
    assert_ne!(realms(&one), realms(&other));
}

#[test]
fn first_starts_at_once_agree_on_one_authority() {
    let dir = tempfile::tempdir().unwrap();
    let starts: Vec<_> = (0..8)
        .map(|n| {
            let dir = dir.path().to_owned();
            std::thread::spawn(move || Identity::dev(dir).unwrap().credentials(&format!("n{n}")).unwrap())
        })
        .collect();
    let credentials: Vec<_> = starts.into_iter().map(|start| start.join().unwrap()).collect();
    for other in &credentials {
        judge(&credentials[0], other).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn secrets_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    Identity::dev(&data).unwrap().credentials("lobby").unwrap();
    let mode = |path: &str| std::fs::metadata(data.join(path)).unwrap().permissions().mode() & 0o777;
    for (path, expected) in [
        ("authority", 0o700),
        ("authority/authority.key.pem", 0o600),
        ("nodes/lobby", 0o700),
        ("nodes/lobby/key.pem", 0o600),
    ] {
        assert_eq!(mode(path), expected, "{path}");
    }
}

#[test]
fn no_debug_output_shows_a_key() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open_or_init(dir.path(), "dev").unwrap();
    let issued = authority.issue("lobby", Role::Node).unwrap();
    let shown = format!("{authority:?} {issued:?} {:?}", issued.credentials().unwrap());
    let authority_key = std::fs::read_to_string(dir.path().join("authority.key.pem")).unwrap();
    for pem in [issued.key().to_pem(), authority_key] {
        for line in pem.lines() {
            assert!(!shown.contains(line), "{line}");
        }
    }
}

#[test]
fn an_authority_is_never_overwritten_or_mistaken() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Authority::open(dir.path()), Err(IdentityError::NoAuthority(_))));
    Authority::init(dir.path(), "one").unwrap();
    assert!(matches!(Authority::init(dir.path(), "one"), Err(IdentityError::AuthorityExists(_))));
    assert!(matches!(Authority::open_or_init(dir.path(), "two"), Err(IdentityError::OtherMesh { .. })));
    assert_eq!(Authority::open(dir.path()).unwrap().mesh(), "one");
}

#[test]
fn issued_files_make_an_identity_and_keep_their_key() {
    let dir = tempfile::tempdir().unwrap();
    let authority = authority();
    let issued = authority.issue("lobby", Role::Node).unwrap();
    let [certificate, key, ca] = issued.write(dir.path()).unwrap();
    let identity = Identity::pem_files(&certificate, &key, &ca).unwrap();
    assert_eq!(identity.credentials("lobby").unwrap().id(), issued.key().id());
    assert!(issued.write(dir.path()).is_ok());
    let another = authority.issue("lobby", Role::Node).unwrap();
    assert!(matches!(another.write(dir.path()), Err(IdentityError::KeyExists(_))));
}

#[test]
fn given_credentials_serve_their_own_name_and_role_only() {
    let issued = authority().issue("lobby", Role::Node).unwrap();
    let identity =
        Identity::pem(issued.certificate_pem(), &issued.key().to_pem(), issued.authority_pem()).unwrap();
    let error = identity.credentials("kitchen").unwrap_err().to_string();
    assert_eq!(error, "the certificate belongs to node `lobby`, not to node `kitchen`");
    assert!(matches!(identity.client_credentials("lobby"), Err(IdentityError::OtherName { .. })));
}

#[test]
fn texts_that_do_not_fit_each_other_are_no_credentials() {
    let (ours, other) = (authority(), authority());
    let (a, b) = (ours.issue("a", Role::Node).unwrap(), ours.issue("b", Role::Node).unwrap());
    let make =
        |certificate: &str, key: &str, ca: &str| Credentials::from_pem(certificate, key, ca).unwrap_err();
    let key = a.key().to_pem();
    assert!(matches!(
        make(a.certificate_pem(), &b.key().to_pem(), a.authority_pem()),
        IdentityError::KeyMismatch
    ));
    assert!(matches!(
        make(a.certificate_pem(), &key, other.certificate_pem()),
        IdentityError::Certificate(_)
    ));
    assert!(matches!(make("", &key, a.authority_pem()), IdentityError::Pem("certificate")));
    assert!(matches!(make(a.certificate_pem(), "", a.authority_pem()), IdentityError::Pem("private key")));
    assert!(matches!(make(a.certificate_pem(), &key, ""), IdentityError::Pem(_)));
}
