//! The loop that renews the node's certificate: the key, and so the id, stays; sessions live on.

use std::{sync::Arc, time::Duration};

use qmesh_transport::Identity;
use tokio::time::sleep;

use crate::{
    events::{self, MeshEvent},
    node::{NodeInner, wall_clock::unix_secs},
};

/// How often the identity is asked for a newer certificate. A development authority issues one after half of the old
/// one's life; PEM files are read again.
const LOOK: Duration = Duration::from_secs(60 * 60);
/// From when on a certificate that nobody renews is warned of.
const WARN_BEFORE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

pub(crate) async fn run(node: Arc<NodeInner>, identity: Identity) -> Result<(), String> {
    let mut current = node.credentials().clone();
    loop {
        match identity.credentials(node.name()) {
            Ok(newer) if newer.expires_at() > current.expires_at() => {
                node.renew(&newer)?;
                node.events().tell(MeshEvent::CertificateRenewed { expires: unix_secs(newer.expires_at()) });
                current = newer;
            }
            Ok(_) => {}
            Err(error) => {
                node.events().tell(MeshEvent::CertificateNotRenewed { why: events::why(error) });
            }
        }
        let now = std::time::UNIX_EPOCH + Duration::from_millis(node.clock().now_ms());
        let left = current.expires_at().duration_since(now).unwrap_or_default();
        if left < WARN_BEFORE {
            let (expires, days) = (unix_secs(current.expires_at()), left.as_secs() / (24 * 60 * 60));
            node.events().tell(MeshEvent::CertificateExpires { expires, days });
        }
        sleep(LOOK).await;
    }
}
