//! Who calls.

use std::{fmt, sync::Arc};

use qmesh_transport::{NodeId, PeerIdentity, Role};

use crate::wire::messages::Guest;

/// Who calls: a node, or a guest such as a command line. Cheap to clone.
///
/// As a text it is `node/NAME` or `client/NAME`, which is also how [`Rules`](crate::Rules) name it.
#[derive(Clone)]
pub struct Caller(Arc<Who>);

struct Who {
    id: NodeId,
    role: Role,
    name: String,
    proven: Option<PeerIdentity>,
}

/// The longest name of a guest, in bytes, as certificates have it.
const NAME_CHARS_MAX: usize = 63;

impl Caller {
    /// One that a handshake with this node has proven.
    pub(crate) fn proven(identity: PeerIdentity) -> Self {
        let (id, role, name) = (identity.id(), identity.role(), identity.name().to_owned());
        Self(Arc::new(Who { id, role, name, proven: Some(identity) }))
    }

    /// A guest of another node, which says so; none if it cannot be one.
    pub(crate) fn guest_elsewhere(Guest { id, name }: Guest) -> Option<Self> {
        let id = NodeId::from_bytes(id.try_into().ok()?);
        let is_name = (1..=NAME_CHARS_MAX).contains(&name.len());
        is_name.then(|| Self(Arc::new(Who { id, role: Role::Client, name, proven: None })))
    }

    /// The console of the node with that id: a guest of whom nothing is proven, so that rules can keep it out.
    #[cfg(feature = "console")]
    pub(crate) fn console(node: NodeId) -> Self {
        Self(Arc::new(Who { id: node, role: Role::Client, name: "console".to_owned(), proven: None }))
    }

    /// As the node that calls on its behalf names it to others.
    pub(crate) fn as_guest(&self) -> Guest {
        Guest { id: self.id().as_bytes().to_vec(), name: self.name().to_owned() }
    }

    /// The caller's id, which derives from its key.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.0.id
    }

    /// Whether it is a node or a client.
    #[must_use]
    pub fn role(&self) -> Role {
        self.0.role
    }

    /// The caller's name in its certificate.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// All that the handshake proved; `None` for a guest of another node, of whom that node's word is all that is
    /// known.
    #[must_use]
    pub fn identity(&self) -> Option<&PeerIdentity> {
        self.0.proven.as_ref()
    }
}

// === impl Caller ===

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0.role, self.0.name)
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({})", self.0.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_has_a_name_and_an_id() {
        let guest =
            |id: &[u8], name: &str| Caller::guest_elsewhere(Guest { id: id.to_vec(), name: name.to_owned() });
        let ops = guest(&[7; 16], "ops").unwrap();
        assert_eq!((ops.to_string().as_str(), ops.role()), ("client/ops", Role::Client));
        assert_eq!(ops.as_guest(), Guest { id: vec![7; 16], name: "ops".to_owned() });
        for (id, name) in [(&[7; 15][..], "ops"), (&[7; 16], ""), (&[7; 16], &"x".repeat(64))] {
            assert!(guest(id, name).is_none(), "{name}");
        }
    }
}
