//! A name in a memory network that accepts and dials.

use std::{fmt, pin::pin, sync::Arc};

use async_trait::async_trait;

use super::{
    handshake::{self, Knock},
    network::{Life, Place},
    shared::Shared,
};
use crate::{Address, Credentials, DialError, Dialer, Incoming, Listener, NodeId, Session};

/// A name in a [`MemoryNetwork`](super::MemoryNetwork) that serves both directions: peers dial its listener, and its
/// dialer dials peers. Cheap to clone.
///
/// When it, its listeners and its dialers are all dropped, the name is free again; sessions live on.
/// [`MemoryNetwork::crash`](super::MemoryNetwork::crash) is the end without a word.
#[derive(Clone, Debug)]
pub struct MemoryEndpoint(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) shared: Shared,
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) life: Life,
    pub(super) credentials: Credentials,
}

#[derive(Debug)]
struct MemoryListener(Arc<Inner>);

#[derive(Debug)]
struct MemoryDialer(Arc<Inner>);

// === impl MemoryEndpoint ===

impl MemoryEndpoint {
    /// Accepts peers.
    #[must_use]
    pub fn listener(&self) -> Arc<dyn Listener> {
        Arc::new(MemoryListener(Arc::clone(&self.0)))
    }

    /// Dials peers.
    #[must_use]
    pub fn dialer(&self) -> Arc<dyn Dialer> {
        Arc::new(MemoryDialer(Arc::clone(&self.0)))
    }

    /// The endpoint's address: `memory://<name>`.
    #[must_use]
    pub fn local_address(&self) -> Address {
        Address::memory(self.0.name.clone())
    }
}

impl Inner {
    fn next_knock(&self) -> Next {
        self.shared.with(|network, _| {
            match network.bound(self.place, self.life).map(|bound| bound.knocks.as_mut()) {
                None | Some(None) => Next::Closed,
                Some(Some(knocks)) => knocks.pop_front().map_or(Next::Wait, Next::Knock),
            }
        })
    }
}

/// What a listener finds at its door.
enum Next {
    Knock(Knock),
    Wait,
    Closed,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Whoever still knocks is told once the lock is released.
        let unbound = self.shared.with(|network, _| network.unbind(self.place, self.life));
        drop(unbound);
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inner({} {:?})", self.name, self.credentials)
    }
}

// === listener and dialer ===

#[async_trait]
impl Listener for MemoryListener {
    async fn accept(&self) -> Option<Incoming> {
        loop {
            let mut knocked = pin!(self.0.shared.knocked().notified());
            // Wait first and look second, or a knock between the two would be missed.
            knocked.as_mut().enable();
            match self.0.next_knock() {
                Next::Closed => return None,
                Next::Wait => knocked.await,
                Next::Knock(knock) => {
                    let ours = Arc::clone(&self.0);
                    let remote_address = Address::memory(knock.dialer.name.clone());
                    let answer = async move {
                        let session: Arc<dyn Session> = Arc::new(knock.answer(&ours).await?);
                        Ok(session)
                    };
                    return Some(Incoming { remote_address, handshake: Box::pin(answer) });
                }
            }
        }
    }

    fn local_address(&self) -> Address {
        Address::memory(self.0.name.clone())
    }

    fn close(&self) {
        let (place, life) = (self.0.place, self.0.life);
        let refused =
            self.0.shared.with(|network, _| network.bound(place, life).and_then(|bound| bound.knocks.take()));
        drop(refused);
        self.0.shared.knocked().notify_waiters();
    }
}

#[async_trait]
impl Dialer for MemoryDialer {
    async fn dial(&self, address: &Address, expected: Option<NodeId>) -> Result<Arc<dyn Session>, DialError> {
        let Address::Memory(name) = address else { return Err(DialError::Scheme(address.clone())) };
        let session = handshake::dial(&self.0, name, expected).await?;
        Ok(Arc::new(session))
    }
}
