//! The loop that renews the node's certificate: the key, and so the id, stays; sessions live on.

use std::{sync::Arc, time::Duration};

use qmesh_transport::Identity;
use tokio::time::sleep;

use crate::node::NodeInner;

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
                tracing::info!(target: "qmesh::runtime", "the certificate was renewed");
                current = newer;
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(target: "qmesh::runtime", %error, "no newer certificate is to be had")
            }
        }
        let now = std::time::UNIX_EPOCH + Duration::from_millis(node.clock().now_ms());
        let left = current.expires_at().duration_since(now).unwrap_or_default();
        if left < WARN_BEFORE {
            let days = left.as_secs() / (24 * 60 * 60);
            tracing::warn!(target: "qmesh::runtime", days, "the certificate expires soon: issue a new one");
        }
        sleep(LOOK).await;
    }
}
