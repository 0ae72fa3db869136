//! What a certificate may say of its owner: a SPIFFE id of this mesh's shape.

use std::fmt;

use super::IdentityError;

/// The longest name of a node, client or mesh, in characters.
pub const NAME_CHARS_MAX: usize = 63;

/// What the owner of a certificate is to the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// A member: others dial it.
    Node,
    /// A guest, such as the command line: it dials nodes and is never dialled.
    Client,
}

/// `spiffe://<mesh>/node/<name>` or `spiffe://<mesh>/client/<name>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SpiffeId {
    pub(super) mesh: String,
    pub(super) role: Role,
    pub(super) name: String,
}

impl Role {
    /// The path segment that stands for this role.
    const fn segment(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Client => "client",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.segment())
    }
}

// === impl SpiffeId ===

impl SpiffeId {
    pub(super) fn parse(uri: &str) -> Option<Self> {
        let mut parts = uri.strip_prefix("spiffe://")?.split('/');
        let (mesh, role, name) = (parts.next()?, parts.next()?, parts.next()?);
        let role = [Role::Node, Role::Client].into_iter().find(|known| known.segment() == role)?;
        let complete = parts.next().is_none() && is_name(mesh) && is_name(name);
        complete.then(|| Self { mesh: mesh.to_owned(), role, name: name.to_owned() })
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/{}/{}", self.mesh, self.role, self.name)
    }
}

// === the grammar ===

/// The id that an authority's own certificate carries.
pub(super) fn mesh_uri(mesh: &str) -> String {
    format!("spiffe://{mesh}")
}

/// The mesh of an authority's own id.
pub(super) fn mesh_of_uri(uri: &str) -> Option<&str> {
    uri.strip_prefix("spiffe://").filter(|mesh| is_name(mesh))
}

pub(super) fn check(name: &str) -> Result<(), IdentityError> {
    if is_name(name) { Ok(()) } else { Err(IdentityError::Name(name.to_owned())) }
}

/// A name is also a directory and a part of a URI, so it may not be `..` and never needs an escape.
fn is_name(text: &str) -> bool {
    let legal =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
    (1..=NAME_CHARS_MAX).contains(&text.len())
        && text.bytes().all(legal)
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_their_text() {
        for text in ["spiffe://dev/node/lobby", "spiffe://a.example/client/cli-1", "spiffe://m/node/a_b.c"] {
            assert_eq!(SpiffeId::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_uris_are_no_ids() {
        for text in [
            "https://dev/node/lobby",
            "spiffe://dev",
            "spiffe://dev/node",
            "spiffe://dev/node/",
            "spiffe://dev/queen/lobby",
            "spiffe://dev/node/lobby/x",
            "spiffe://DEV/node/lobby",
            "spiffe:///node/lobby",
        ] {
            assert_eq!(SpiffeId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_name_is_a_safe_directory() {
        for name in ["a", "lobby", "eu-west_1.a", "9", &"x".repeat(63)] {
            assert!(check(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", ".hidden", "-x", "a/b", "Lobby", "é", "a b", &"x".repeat(64)] {
            assert!(check(name).is_err(), "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_legal_names_make_an_id_and_no_other_text_is_one(
            mesh in "[a-z0-9][a-z0-9_.-]{0,62}",
            name in "[a-z0-9][a-z0-9_.-]{0,62}",
            position: proptest::sample::Index,
            other: char,
        ) {
            for role in [Role::Node, Role::Client] {
                let id = SpiffeId { mesh: mesh.clone(), role, name: name.clone() };
                let text = id.to_string();
                assert_eq!(SpiffeId::parse(&text), Some(id));
                let mut changed: Vec<char> = text.chars().collect();
                let position = position.index(changed.len());
                changed[position] = other;
                let changed: String = changed.into_iter().collect();
                // What is an id is written so.
                assert!(SpiffeId::parse(&changed).is_none_or(|id| id.to_string() == changed));
            }
        }
    }
}
