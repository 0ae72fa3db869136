//! A node to be: who it is, where it listens, whom it asks first, what it serves.

use std::{path::PathBuf, sync::Arc};

use qmesh_discovery::{
    AnnounceError, Announcement, GopherMap, Mdns, NodeState, SeedError, SeedSource, StartError as GossipError,
};
use qmesh_transport::{
    Address, BindError, Credentials, Identity, IdentityError, Listener, MemoryNetwork, QuicEndpoint,
};
use tokio::sync::mpsc;

use crate::{
    authorize::{Decision, Policy, Rules},
    config::{Config, ConfigError},
    events::{self, Chronicle, MeshEvent},
    node::{
        Node, NodeInner, ROOT,
        data_dir::{DataDir, DataDirError},
        gossip::{self, Outlet},
        inner::Parts,
        listener, peers, renewal, seeds,
        sockets::Sockets,
        wall_clock::WallClock,
    },
    random::Random,
    service::{AnyServer, Caller, Serve, Server},
    supervisor::{ChildSpec, Kind, RestartPolicy, SupervisorRef, Tree, Work, looper},
    task::{Place, Shards},
    telemetry::{Recorder, Telemetry},
};

/// A node to be. [`Node::builder`] makes one.
#[must_use = "a builder does nothing until it is started"]
pub struct NodeBuilder {
    name: String,
    identity: Option<Identity>,
    listen: Vec<Address>,
    advertise: Vec<Address>,
    seeds: Vec<SeedSource>,
    mdns: bool,
    memory: Option<MemoryNetwork>,
    data_dir: Option<PathBuf>,
    zone: Option<String>,
    config: Config,
    policies: Vec<Policy>,
    servers: Vec<Box<dyn AnyServer>>,
    random: Arc<Random>,
    clock: WallClock,
    telemetry: Telemetry,
}

/// Why a node did not start. Nothing of it runs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The builder was given no identity.
    #[error("node `{0}` has no identity: for development, .identity(Identity::dev(\"./.qmesh\")?)")]
    NoIdentity(String),
    /// A setting is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The identity cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The node listens on a wildcard and does not say where it can be reached.
    #[error(
        "{0} is a wildcard that nobody can dial: add .advertise(…) with an address that others can reach"
    )]
    NothingToAdvertise(Address),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The system has no thread for one of the [`shards`](Config::shards).
    #[error("a shard cannot start: {0}")]
    Shards(#[source] std::io::Error),
    /// Gossip cannot start.
    #[error(transparent)]
    Gossip(#[from] GossipError),
    /// A seed source cannot start.
    #[error(transparent)]
    Seeds(#[from] SeedError),
    /// A service cannot start.
    #[error("service {name}: {reason}")]
    Service {
        /// Its name.
        name: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The services do not fit into the node's record.
    #[error(transparent)]
    Announce(#[from] AnnounceError),
    /// A part of the node cannot start.
    #[error("{0}")]
    Part(String),
}

impl NodeBuilder {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            identity: None,
            listen: Vec::new(),
            advertise: Vec::new(),
            seeds: Vec::new(),
            mdns: false,
            memory: None,
            data_dir: None,
            zone: None,
            config: Config::default(),
            policies: Vec::new(),
            servers: Vec::new(),
            random: Arc::default(),
            clock: WallClock::default(),
            telemetry: Telemetry::none(),
        }
    }

    /// Who the node is, and whom it trusts. Required.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Listens on an address (default `quic://127.0.0.1:0`: this host alone, on a port that the system chooses).
    pub fn listen(mut self, address: Address) -> Self {
        self.listen.push(address);
        self
    }

    /// Where others reach the node (default: where it listens). Needed when it listens on a wildcard.
    pub fn advertise(mut self, address: Address) -> Self {
        self.advertise.push(address);
        self
    }

    /// A node to ask first. Any one that lives is enough; it is asked again for ever, so that a cut mesh heals.
    pub fn seed(self, address: Address) -> Self {
        self.seeds(SeedSource::Addresses(vec![address]))
    }

    /// A source of nodes to ask first. Nodes that share a data directory find each other without one.
    pub fn seeds(mut self, source: SeedSource) -> Self {
        self.seeds.push(source);
        self
    }

    /// Finds nodes of the same mesh in the local network by multicast DNS, and is found by it (default off). The
    /// network learns the node's address and a hash of the mesh's name and authority.
    pub const fn mdns(mut self, on: bool) -> Self {
        self.mdns = on;
        self
    }

    /// Talks over a network in memory instead of QUIC: for tests.
    pub fn memory(mut self, network: &MemoryNetwork) -> Self {
        self.memory = Some(network.clone());
        self
    }

    /// Where the node keeps what its next life has to know (default: the identity's own directory, if it has one).
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// A label for placement, such as a rack or a region.
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// Every other setting (default [`Config::lan`]).
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Decides who may call what, for all services of the node (default: whoever belongs to the mesh may call
    /// everything). A service's own policy must allow too: see [`Server::authorize`].
    pub fn authorize(
        mut self,
        policy: impl Fn(&Caller, &str, &str) -> Decision + Send + Sync + 'static,
    ) -> Self {
        self.policies.push(Arc::new(policy));
        self
    }

    /// As [`authorize`](Self::authorize), by rules: what they do not allow is denied.
    pub fn authorize_by(self, rules: Rules) -> Self {
        self.authorize(move |caller, service, method| rules.decide(caller, service, method))
    }

    /// Where the node's telemetry goes (default: nowhere).
    pub fn telemetry(mut self, telemetry: Telemetry) -> Self {
        self.telemetry = telemetry;
        self
    }

    /// Serves a service: `.serve(ChatServer::new(Rooms::default))`.
    pub fn serve<C: Serve<S>, S: Send + Sync + 'static>(mut self, server: Server<C, S>) -> Self {
        self.servers.push(Box::new(server));
        self
    }

    /// Starts the node. It runs when this returns, and looks for the others.
    ///
    /// # Errors
    /// [`StartError`]; nothing of the node is left.
    pub async fn start(mut self) -> Result<Node, StartError> {
        self.config.validate()?;
        let identity = self.identity.take().ok_or_else(|| StartError::NoIdentity(self.name.clone()))?;
        let credentials = identity.credentials(&self.name)?;
        let root = self.data_dir.take().or_else(|| identity.data_dir().map(PathBuf::from));
        let data_dir = root.as_deref().map(|root| DataDir::open(root, &self.name)).transpose()?;
        let now = self.clock.now_ms();
        let incarnation = data_dir.as_ref().map_or(Ok(now), |data_dir| data_dir.next_incarnation(now))?;
        let shards = Shards::start("qmesh-shard", self.config.shards).map_err(StartError::Shards)?;
        let bound = self.bind(&credentials, &shards)?;
        let addresses = self.addresses(&bound)?;
        let mut seeds = std::mem::take(&mut self.seeds);
        seeds.extend(root.map(SeedSource::Files));
        if self.mdns {
            let mdns = Mdns::start(&credentials)?;
            mdns.announce(&addresses)?;
            seeds.push(SeedSource::Mdns(mdns));
        }
        let outlet = Arc::new(Outlet::default());
        let announcement = Announcement {
            state: NodeState::Starting,
            addresses: addresses.clone(),
            zone: self.zone.take(),
            services: Vec::new(),
        };
        let config = self.config.clone();
        let gopher_map = self.gopher_map(&credentials, incarnation, announcement, &outlet).await?;
        let chronicle = Arc::new(Chronicle::new(&self.name, self.clock.clone(), incarnation));
        let tree = Arc::new(Tree::new(Arc::clone(&chronicle)));
        let supervisor = SupervisorRef::root(ROOT, Arc::clone(&tree)).await;
        let supervisor = supervisor.map_err(|error| StartError::Part(error.to_string()))?;
        let (peer_events, events) = mpsc::channel(peers::EVENTS);
        let listeners = bound.listeners.clone();
        let recorder = Recorder::new(&self.name, &config, &self.random);
        let inner = Arc::new(NodeInner::new(Parts {
            credentials,
            config,
            incarnation,
            gopher_map,
            sockets: bound,
            addresses: addresses.clone(),
            data_dir,
            supervisor,
            tree,
            events: chronicle,
            peer_events,
            shards,
            policies: std::mem::take(&mut self.policies),
            random: Arc::clone(&self.random),
            clock: self.clock.clone(),
            telemetry: std::mem::take(&mut self.telemetry).of_node(&self.name, recorder),
        }));
        inner.telemetry().observe(&inner);
        outlet.connect(&inner);
        // From here on, whatever fails, the node ends with this handle.
        let node = Node::new(Arc::clone(&inner));
        self.start_parts(&inner, listeners, events, seeds).await?;
        start(&inner, "renewal", Kind::Renewal, move |node| Box::pin(renewal::run(node, identity.clone())))
            .await?;
        inner.publish(&addresses)?;
        Ok(node)
    }

    fn gopher_map(
        &self,
        credentials: &Credentials,
        incarnation: u64,
        announcement: Announcement,
        outlet: &Arc<Outlet>,
    ) -> impl Future<Output = Result<GopherMap, GossipError>> + Send + use<> {
        let (config, credentials) = (self.config.gossip.clone(), credentials.clone());
        GopherMap::start(config, credentials, incarnation, announcement, Arc::<Outlet>::clone(outlet))
    }

    /// A node of a simulation: its chances come from a seed, its date from a clock of its own, and it gossips as all do.
    #[cfg(feature = "testing")]
    pub(crate) fn simulated(mut self, seed: u64, clock: WallClock, gossip: crate::GossipProtocol) -> Self {
        (self.random, self.clock) = (Arc::new(Random::seeded(seed)), clock);
        self.config.gossip.protocol = gossip;
        self
    }

    fn bind(&mut self, credentials: &Credentials, shards: &Shards) -> Result<Sockets, StartError> {
        let mut bound = Sockets::default();
        if let Some(network) = self.memory.take() {
            let endpoint = network.bind(credentials.name(), credentials.clone())?;
            bound.listeners.push(endpoint.listener());
            bound.dialers.push(endpoint.dialer());
        } else if self.listen.is_empty() {
            self.listen.push(Address::Quic { host: "127.0.0.1".to_owned(), port: 0 });
        }
        for address in &self.listen {
            let bind = || QuicEndpoint::bind(address, credentials.clone(), self.config.quic.clone());
            let endpoint = shards.next().enter(bind)?;
            bound.listeners.push(endpoint.listener());
            bound.dialers.push(endpoint.dialer());
            bound.quic.push(endpoint);
        }
        Ok(bound)
    }

    fn addresses(&mut self, bound: &Sockets) -> Result<Vec<Address>, StartError> {
        let advertised = std::mem::take(&mut self.advertise);
        let local = || bound.listeners.iter().map(|listener| listener.local_address());
        if let Some(wildcard) = local().chain(advertised.clone()).find(Address::is_unspecified)
            && (advertised.is_empty() || advertised.contains(&wildcard))
        {
            return Err(StartError::NothingToAdvertise(wildcard));
        }
        Ok(if advertised.is_empty() { local().collect() } else { advertised })
    }

    async fn start_parts(
        self,
        node: &Arc<NodeInner>,
        listeners: Vec<Arc<dyn Listener>>,
        events: mpsc::Receiver<peers::PeerEvent>,
        seeds: Vec<SeedSource>,
    ) -> Result<(), StartError> {
        for server in self.servers {
            let name = server.name();
            node.start_service(server).await.map_err(|reason| StartError::Service { name, reason })?;
        }
        let events = Arc::new(tokio::sync::Mutex::new(events));
        start(node, "peers", Kind::Peers, move |node| Box::pin(peers::run(node, Arc::clone(&events))))
            .await?;
        start(node, "gossip", Kind::Gossip, |node| Box::pin(gossip::supervise(node))).await?;
        for listening in listeners {
            let name = format!("listener/{}", listening.local_address());
            start(node, &name, Kind::Listener, move |node| {
                Box::pin(listener::run(node, Arc::clone(&listening)))
            })
            .await?;
        }
        let sources = Arc::new(seeds);
        start(node, "seeds", Kind::Seeds, move |node| Box::pin(seeds::run(node, Arc::clone(&sources))))
            .await?;
        node.gopher_map().announce(|own| {
            own.state = NodeState::Ready;
            own.services = node.offered();
        })?;
        node.events().tell(MeshEvent::Started {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            incarnation: node.incarnation(),
            addresses: events::addresses(&node.addresses()),
        });
        Ok(())
    }
}

/// Starts a loop that the node cannot do without.
async fn start(
    node: &Arc<NodeInner>,
    name: &str,
    kind: Kind,
    work: impl Fn(Arc<NodeInner>) -> Work + Send + Sync + 'static,
) -> Result<(), StartError> {
    let weak = Arc::downgrade(node);
    let spawn = looper(Place::Ambient, move || match weak.upgrade() {
        Some(node) => work(node),
        None => Box::pin(std::future::ready(Ok(()))),
    });
    let restart = Some(RestartPolicy::forever());
    let spec = ChildSpec { name: name.to_owned(), kind, restart, spawn, gave_up: None, look: None };
    node.supervisor().start(spec).await.map_err(StartError::Part)
}

// === impl NodeBuilder ===

impl std::fmt::Debug for NodeBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}
