//! One node's part in the mesh: it announces, listens and keeps the directory.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use qmesh_transport::{Credentials, NodeId};
use tokio::time::timeout;

use crate::{
    Announcement, Carrier, Config, ConfigError, Directory, GossipStats, GossipStopped, NodeState, Protocol,
    RecordTooLarge,
    gossip::Gossip,
    membership::{Event, Membership},
    pulse::Pulses,
    record::{Order, Sealed},
};

/// How many known peers a restarted gossip loop asks first.
const GREETED_PEERS_MAX: usize = 8;

/// A node's part in the mesh. Cheap to clone; all clones are the same node. When the last one is dropped, gossip ends
/// without a word, as if the node had been killed; [`leave`](Self::leave) says so.
///
/// ```
/// use std::sync::{Arc, OnceLock};
///
/// use bytes::Bytes;
/// use qmesh_discovery::{Announcement, Carrier, Config, GopherMap, NodeState};
/// use qmesh_transport::{Authority, Identity, NodeId};
///
/// /// A session between two nodes: what one sends, the other receives.
/// #[derive(Default)]
/// struct Session {
///     own: OnceLock<NodeId>,
///     peer: OnceLock<GopherMap>,
/// }
///
/// impl Carrier for Session {
///     fn send(&self, _to: NodeId, message: Bytes) {
///         if let (Some(own), Some(peer)) = (self.own.get(), self.peer.get()) {
///             peer.received(*own, message);
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let identity = Identity::issued_by(&Authority::ephemeral("demo")?);
/// let mut started = Vec::new();
/// for name in ["lobby", "cellar"] {
///     let (credentials, session) = (identity.credentials(name)?, Arc::<Session>::default());
///     let id = credentials.id();
///     let announcement =
///         Announcement { state: NodeState::Ready, addresses: vec![], zone: None, services: vec![] };
///     let map = GopherMap::start(Config::local(), credentials, 1, announcement, session.clone()).await?;
///     session.own.get_or_init(|| id);
///     started.push((id, map, session));
/// }
/// let [(_, lobby, to_cellar), (cellar_id, cellar, to_lobby)] = &started[..] else { unreachable!() };
/// to_cellar.peer.get_or_init(|| cellar.clone());
/// to_lobby.peer.get_or_init(|| lobby.clone());
///
/// let mut watch = lobby.directory().watch();
/// lobby.greet(*cellar_id);
/// while lobby.directory().snapshot().node(*cellar_id).is_none() {
///     watch.next().await;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct GopherMap {
    node: Arc<Node>,
}

struct Node {
    id: NodeId,
    incarnation: u64,
    interval: Duration,
    directory: Directory,
    membership: Arc<dyn Membership>,
    own: Mutex<Own>,
    starting: tokio::sync::Mutex<()>,
    suspicions: AtomicU64,
}

/// What this node announces, who says so, and under which numbers.
struct Own {
    credentials: Credentials,
    announcement: Announcement,
    generation: u64,
    version: u64,
}

/// Why gossip did not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting cannot work. Nothing was started.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The first record cannot be announced. Nothing was started.
    #[error(transparent)]
    TooLarge(#[from] RecordTooLarge),
    /// The node has left; only a new incarnation comes back.
    #[error("the node has left the mesh")]
    Left,
}

/// Why nothing was announced. What was announced before stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnnounceError {
    /// The record would be larger than peers accept.
    #[error(transparent)]
    TooLarge(#[from] RecordTooLarge),
    /// The node has left; nothing follows that.
    #[error("the node has left the mesh")]
    Left,
    /// The credentials are another node's.
    #[error("the credentials are another node's")]
    OtherNode,
}

impl GopherMap {
    /// Starts gossip. Nobody is known at first: [`greet`](Self::greet) whom a session was opened to.
    ///
    /// `incarnation` is `max(stored + 1, milliseconds since 1970)`, so that it grows with each start of the node. Where
    /// it did not (nothing was stored, and the clock went back), the mesh says so and [`stopped`](Self::stopped) tells.
    ///
    /// # Errors
    /// [`StartError`]; nothing was started.
    pub async fn start(
        config: Config,
        credentials: Credentials,
        incarnation: u64,
        announcement: Announcement,
        carrier: Arc<dyn Carrier>,
    ) -> Result<Self, StartError> {
        config.validate()?;
        let directory = Directory::new(credentials.id());
        let interval = config.interval;
        let credentials_of_gossip = credentials.clone();
        let membership: Arc<dyn Membership> = match config.protocol {
            Protocol::Chitchat => {
                Arc::new(Gossip::new(config, credentials_of_gossip, carrier, directory.clone()))
            }
            Protocol::Pulse => {
                Arc::new(Pulses::new(&config, credentials_of_gossip, carrier, directory.clone()))
            }
        };
        let own = Own { credentials, announcement, generation: 0, version: 0 };
        Self::over(Node::new(membership, directory, interval, incarnation, own)).await
    }

    /// Starts a node over the membership protocol that it holds.
    async fn over(node: Node) -> Result<Self, StartError> {
        let map = Self { node: Arc::new(node) };
        map.restart().await?;
        Ok(map)
    }

    /// Who is alive and what they offer. It outlives restarts of gossip.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.node.directory
    }

    /// Changes what this node announces. The new record goes to the peers that are alive at once, and to the others by
    /// gossip. A change that changes nothing announces nothing.
    ///
    /// `change` runs under a lock: it is quick, and calls nothing of this type.
    ///
    /// # Errors
    /// [`AnnounceError`]; what was announced before stays.
    pub fn announce(&self, change: impl FnOnce(&mut Announcement)) -> Result<(), AnnounceError> {
        let mut own = self.node.own.lock();
        let mut announcement = own.announcement.clone();
        change(&mut announcement);
        if announcement == own.announcement {
            return own.check_not_left();
        }
        self.node.publish(&mut own, None, announcement)
    }

    /// Announces a renewed certificate of this node's key, and judges others by the authorities that come with it.
    ///
    /// # Errors
    /// [`AnnounceError`]; the old certificate stays.
    pub fn renew(&self, credentials: Credentials) -> Result<(), AnnounceError> {
        if credentials.id() != self.node.id {
            return Err(AnnounceError::OtherNode);
        }
        let mut own = self.node.own.lock();
        let announcement = own.announcement.clone();
        self.node.publish(&mut own, Some(credentials), announcement)
    }

    /// Takes a message in that the [`Carrier`] of `from` sent. `from` is the id that the session proves, and a node's, not a
    /// client's. Never blocks; what is wrong with a message is counted in [`stats`](Self::stats).
    pub fn received(&self, from: NodeId, message: Bytes) {
        self.node.membership.received(from, message);
    }

    /// Gossips with a peer at once: call it when a session with it has come up.
    pub fn greet(&self, peer: NodeId) {
        self.node.membership.greet(peer);
    }

    /// Notes that the session with a peer has died. Alone that is no death, as the path may be cut: but a peer of whom
    /// nobody hears for [`Config::silence_min`] either is dead here, until it is heard of or [greeted](Self::greet)
    /// again. Whoever picks endpoints knows about sessions without asking.
    pub fn suspect(&self, peer: NodeId) {
        self.node.suspicions.fetch_add(1, Relaxed);
        self.node.membership.suspect(peer);
    }

    /// Resolves when gossip has ended, with the reason. Gossip by [pulses](Protocol::Pulse) goes on only while somebody awaits this. Whoever supervises this node then calls
    /// [`restart`](Self::restart): at once after [`GossipStopped::Superseded`], with backoff after
    /// [`GossipStopped::Broken`], never after [`GossipStopped::InOrder`].
    ///
    /// # Cancel safety
    /// Cancelling loses nothing: an end that was not seen is seen by the next call.
    pub async fn stopped(&self) -> GossipStopped {
        self.node.membership.stopped().await
    }

    /// Starts gossip anew, in place of a run that ended or still runs: with the same record, the same directory, and a
    /// generation above all that were seen of this node.
    ///
    /// # Errors
    /// [`StartError::Left`] after [`leave`](Self::leave).
    ///
    /// # Cancel safety
    /// Cancelled, it may leave gossip stopped, or started. Calling it again is safe.
    pub async fn restart(&self) -> Result<(), StartError> {
        let node = &*self.node;
        let _one_at_a_time = node.starting.lock().await;
        let sealed = {
            let mut own = node.own.lock();
            own.check_not_left().map_err(|_left| StartError::Left)?;
            let newest = own.generation.max(node.membership.newest_generation());
            let generation = node.incarnation.max(newest.saturating_add(1));
            let order = Order { incarnation: node.incarnation, generation, version: own.version + 1 };
            let sealed = Sealed::seal(&own.credentials, order, &own.announcement)?;
            (own.generation, own.version) = (generation, own.version + 1);
            node.directory.apply(Event::Records(vec![Arc::clone(&sealed.record)]));
            sealed
        };
        node.membership.start(sealed).await;
        let snapshot = node.directory.snapshot();
        let peers = snapshot.nodes().map(|record| record.id).filter(|id| *id != node.id);
        peers.take(GREETED_PEERS_MAX).for_each(|peer| node.membership.greet(peer));
        Ok(())
    }

    /// Leaves the mesh in order: announces [`NodeState::Gone`], which peers with a session learn at once, keeps gossiping for
    /// two intervals for the sake of the others, and ends gossip. By [chitchat](Protocol::Chitchat), and with up to 64 others, it
    /// ends as soon as all of them have shown that they know. A second call does nothing.
    ///
    /// # Cancel safety
    /// Cancelled, the announcement stands and gossip may still run; calling it again ends gossip.
    pub async fn leave(&self) {
        // A record without services is never too large, and who has left already need not say it twice.
        let said = self.announce(|own| {
            own.state = NodeState::Gone;
            own.addresses.clear();
            own.services.clear();
        });
        if said.is_ok() {
            let _some_may_not_know = timeout(self.node.interval * 2, self.node.membership.told()).await;
        }
        self.node.membership.stop().await;
    }

    /// What gossip did since the node started.
    #[must_use]
    pub fn stats(&self) -> GossipStats {
        let suspicions = self.node.suspicions.load(Relaxed);
        GossipStats { suspicions, ..self.node.membership.stats() }
    }
}

// === impl Own ===

impl Own {
    fn check_not_left(&self) -> Result<(), AnnounceError> {
        if self.announcement.state == NodeState::Gone { Err(AnnounceError::Left) } else { Ok(()) }
    }
}

// === impl Node ===

impl Node {
    fn new(
        membership: Arc<dyn Membership>,
        directory: Directory,
        interval: Duration,
        incarnation: u64,
        own: Own,
    ) -> Self {
        Self {
            id: own.credentials.id(),
            incarnation,
            interval,
            directory,
            membership,
            own: Mutex::new(own),
            starting: tokio::sync::Mutex::default(),
            suspicions: AtomicU64::new(0),
        }
    }

    /// Signs the next version, and tells everybody. Nothing changes where it fails.
    fn publish(
        &self,
        own: &mut Own,
        renewed: Option<Credentials>,
        announcement: Announcement,
    ) -> Result<(), AnnounceError> {
        own.check_not_left()?;
        let order =
            Order { incarnation: self.incarnation, generation: own.generation, version: own.version + 1 };
        let sealed = Sealed::seal(renewed.as_ref().unwrap_or(&own.credentials), order, &announcement)?;
        if let Some(renewed) = renewed {
            self.membership.renew(renewed.clone());
            own.credentials = renewed;
        }
        own.announcement = announcement;
        own.version += 1;
        self.directory.apply(Event::Records(vec![Arc::clone(&sealed.record)]));
        self.membership.announce(sealed);
        Ok(())
    }
}

// === impl GopherMap ===

impl fmt::Debug for GopherMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GopherMap").field("id", &self.node.id).field("directory", self.directory()).finish()
    }
}

#[cfg(test)]
mod tests;
