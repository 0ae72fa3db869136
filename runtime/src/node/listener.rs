//! The loop of a listener: handshakes and introductions of peers that knock, several at a time.

use std::sync::Arc;

use futures_util::{StreamExt, stream::FuturesUnordered};
use qmesh_transport::{Incoming, Listener, Role};

use crate::{
    events::{self, MeshEvent},
    node::{NodeInner, hello},
};

/// Accepts sessions until the listener is closed.
pub(crate) async fn run(node: Arc<NodeInner>, listener: Arc<dyn Listener>) -> Result<(), String> {
    let mut shaking = FuturesUnordered::new();
    let handshakes_max = node.config().limits.handshakes;
    loop {
        tokio::select! {
            biased;
            Some(()) = shaking.next() => {}
            incoming = listener.accept(), if shaking.len() < handshakes_max => match incoming {
                Some(incoming) => {
                    let welcome = welcome(Arc::clone(&node), incoming);
                    let place = node.shards().next();
                    shaking.push(async move { place.run(welcome).await });
                }
                None => return Ok(()),
            },
        }
    }
}

async fn welcome(node: Arc<NodeInner>, incoming: Incoming) {
    let from = incoming.remote_address.clone();
    let refused = |why: String| {
        node.counters().refused_session();
        let event = || MeshEvent::PeerRefused { address: from.to_string(), why: events::why(why) };
        node.events().tell_at(&node.events().refused_peers, event);
    };
    let session = match incoming.handshake().await {
        Ok(session) => session,
        Err(error) => return refused(error.to_string()),
    };
    let role = session.peer().role();
    match hello::receive(node.own(), session).await {
        Ok(introduced) if role == Role::Client => node.serve_client(introduced).await,
        Ok(introduced) => node.adopt(introduced).await,
        Err(error) => refused(error.to_string()),
    }
}
