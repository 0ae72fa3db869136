//! Fuzz targets: what a peer, or a file, says of an identity. See [`crate::fuzzing`].

#![expect(clippy::missing_panics_doc, reason = "a fuzz target panics where something is wrong")]

use std::{sync::OnceLock, time::Duration};

use rustls_pki_types::{CertificateDer, UnixTime};

use super::{Authority, Credentials, Identity, name::SpiffeId};

/// The URI in a certificate.
pub fn transport_spiffe(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Some(id) = SpiffeId::parse(text) {
        assert_eq!(id.to_string(), text);
    }
}

/// Certificates that a peer presents, each behind its length (u16, big-endian).
pub fn transport_certificates(mut bytes: &[u8]) {
    let mut chain = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let (certificate, rest) = rest.split_at(rest.len().min(u16::from_be_bytes(*length).into()));
        chain.push(CertificateDer::from(certificate));
        bytes = rest;
    }
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
    if let Ok(peer) = credentials().verify_peer(&chain, now) {
        assert_eq!(peer.mesh(), credentials().mesh());
    }
}

/// The texts of credentials: certificate, key and authority, with a zero byte between them.
pub fn transport_pem(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let mut texts = text.splitn(3, '\0').map(str::to_owned);
    let [certificate, key, authority] = std::array::from_fn(|_| texts.next().unwrap_or_default());
    drop(Credentials::from_pem(&certificate, &key, &authority));
}

fn credentials() -> &'static Credentials {
    static CREDENTIALS: OnceLock<Credentials> = OnceLock::new();
    CREDENTIALS.get_or_init(|| {
        let authority = Authority::ephemeral("vectors").expect("an authority needs but random numbers");
        Identity::issued_by(&authority).credentials("lobby").expect("the name is legal")
    })
}
