//! Cables between the nodes and the rest, which can be pulled: each node is reached by the address of its cable alone.

use std::{
    collections::{HashMap, HashSet},
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use tokio::{net::UdpSocket, task::JoinSet};

/// Longer than any datagram.
const DATAGRAM_MAX: usize = 65_536;

/// All cables of a mesh.
#[derive(Debug, Default)]
pub(crate) struct Cables {
    pulled: Arc<Mutex<HashSet<SocketAddr>>>,
    carrying: JoinSet<()>,
}

/// Where a node listens, and where others find it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) node: SocketAddr,
    pub(crate) others: SocketAddr,
}

impl Cables {
    /// Lays a cable for a node that is to be.
    pub(crate) async fn lay(&mut self) -> Result<Ends> {
        // A port that was free a moment ago.
        let node = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?;
        let outside = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let ends = Ends { node, others: outside.local_addr()? };
        self.carrying.spawn(carry(Arc::new(outside), node, Arc::clone(&self.pulled)));
        Ok(ends)
    }

    /// Nothing comes from that node any more, and nothing reaches it.
    pub(crate) fn pull(&self, ends: Ends) {
        self.pulled.lock().unwrap_or_else(PoisonError::into_inner).insert(ends.node);
    }

    /// It is as it was.
    pub(crate) fn plug_in(&self, ends: Ends) {
        self.pulled.lock().unwrap_or_else(PoisonError::into_inner).remove(&ends.node);
    }
}

/// Carries datagrams to the node, and what it answers back.
async fn carry(outside: Arc<UdpSocket>, node: SocketAddr, pulled: Arc<Mutex<HashSet<SocketAddr>>>) {
    let is_cut = |peer| {
        let pulled = pulled.lock().unwrap_or_else(PoisonError::into_inner);
        pulled.contains(&peer) || pulled.contains(&node)
    };
    let mut peers: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let (mut answering, mut datagram) = (JoinSet::new(), vec![0; DATAGRAM_MAX]);
    // What fails to pass is lost, as on any cable.
    loop {
        let Ok((length, peer)) = outside.recv_from(&mut datagram).await else { continue };
        if is_cut(peer) {
            continue;
        }
        let inside = match peers.get(&peer) {
            Some(inside) => Arc::clone(inside),
            None => {
                let Ok(inside) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await else { continue };
                let inside = Arc::new(inside);
                peers.insert(peer, Arc::clone(&inside));
                answering.spawn(answers(Arc::clone(&inside), (Arc::clone(&outside), peer)));
                inside
            }
        };
        let _lost = inside.send_to(&datagram[..length], node).await;
    }
}

/// What the node says to one peer. A node that is cut off hears nothing, and soon has nothing to say.
async fn answers(inside: Arc<UdpSocket>, (outside, peer): (Arc<UdpSocket>, SocketAddr)) {
    let mut datagram = vec![0; DATAGRAM_MAX];
    loop {
        let Ok((length, _node)) = inside.recv_from(&mut datagram).await else { continue };
        let _lost = outside.send_to(&datagram[..length], peer).await;
    }
}
