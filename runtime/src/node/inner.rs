//! The state that all parts of a node share.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{AcqRel, Relaxed, Release},
        },
    },
    time::Duration,
};

use dashmap::DashMap;
use futures_util::future::join_all;
use parking_lot::Mutex;
use qmesh_discovery::{AnnounceError, Directory, GopherMap, NodeState, ServiceRecord, Snapshot};
use qmesh_transport::{Address, CloseCode, Credentials, DialError, NodeId};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use crate::{
    authorize::Policy,
    channel::open,
    client::{Route, RouteSpec},
    codec::Codec,
    config::Config,
    control_api::{NodeInfo, ServiceInfo},
    counters::Counters,
    duration::micros,
    events::{Chronicle, MeshEvent},
    node::{
        Drain, Following, Peer,
        changes::Changes,
        control,
        data_dir::{DataDir, DataDirError},
        hello::{self, HelloError, Introduced, Own},
        link::Link,
        peers::PeerEvent,
        relay,
        seeds::Silent,
        sockets::Sockets,
        wall_clock::WallClock,
    },
    random::Random,
    service::{AnyServer, Caller, Endpoint, Method, ServiceCore, Started},
    supervisor::{ChildSpec, Glance, Kind, SupervisorRef, Tree, looper},
    task::{Shards, Tasks},
    telemetry::Telemetry,
    wire::messages::control::Kind as ControlKind,
};

/// What the builder hands over.
pub(crate) struct Parts {
    pub(crate) credentials: Credentials,
    pub(crate) config: Config,
    pub(crate) incarnation: u64,
    pub(crate) gopher_map: GopherMap,
    pub(crate) sockets: Sockets,
    pub(crate) addresses: Vec<Address>,
    pub(crate) data_dir: Option<DataDir>,
    pub(crate) supervisor: SupervisorRef,
    pub(crate) tree: Arc<Tree>,
    pub(crate) events: Arc<Chronicle>,
    pub(crate) peer_events: mpsc::Sender<PeerEvent>,
    pub(crate) shards: Shards,
    /// In front of all its services.
    pub(crate) policies: Vec<Policy>,
    pub(crate) random: Arc<Random>,
    pub(crate) clock: WallClock,
    pub(crate) telemetry: Telemetry,
}

/// Why an address gave no session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialProblem {
    #[error("it is this node's own address")]
    Itself,
    /// Nothing came back.
    #[error("{0}")]
    Silent(String),
    #[error("{0}")]
    Other(String),
}

pub(crate) struct NodeInner {
    parts: Parts,
    /// None are left when the node has ended.
    sockets: Mutex<Sockets>,
    peers: DashMap<NodeId, Arc<Peer>>,
    services: DashMap<String, Offer>,
    routes: DashMap<&'static str, Arc<Route>>,
    /// Grows with every change of this node's own services.
    services_version: AtomicU64,
    /// Grows with every change that a waiting call may have waited for.
    changes: Arc<Changes>,
    counters: Counters,
    drain: Arc<Drain>,
    ended: AtomicBool,
    ending: tokio::sync::Mutex<bool>,
    clients: AtomicU64,
    /// Sessions that it has dialled.
    dials: AtomicU64,
    silent_seeds: Silent,
    since: Instant,
    /// In place of those that it has started with.
    renewed: Mutex<Option<Credentials>>,
    tasks: Tasks,
}

/// A service of this node.
struct Offer {
    endpoint: Arc<dyn Endpoint>,
    record: ServiceRecord,
}

impl NodeInner {
    pub(crate) fn new(mut parts: Parts) -> Self {
        let sockets = Mutex::new(std::mem::take(&mut parts.sockets));
        let drain = Arc::new(Drain::new(parts.credentials.name()));
        Self {
            parts,
            sockets,
            peers: DashMap::new(),
            services: DashMap::new(),
            routes: DashMap::new(),
            services_version: AtomicU64::new(1),
            changes: Arc::default(),
            counters: Counters::default(),
            drain,
            ended: AtomicBool::new(false),
            ending: tokio::sync::Mutex::new(false),
            clients: AtomicU64::new(0),
            dials: AtomicU64::new(0),
            silent_seeds: Silent::default(),
            since: Instant::now(),
            renewed: Mutex::default(),
            tasks: Tasks::default(),
        }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.parts.credentials.id()
    }

    pub(crate) fn name(&self) -> &str {
        self.parts.credentials.name()
    }

    /// Who this node says it is.
    pub(crate) const fn own(&self) -> Own<'_> {
        let Parts { config, credentials, incarnation, .. } = &self.parts;
        let (gossip, timeout) = (Some(config.gossip.protocol), config.limits.opening_timeout);
        Own { credentials, incarnation: *incarnation, dial: 0, gossip, timeout }
    }

    #[inline]
    pub(crate) const fn config(&self) -> &Config {
        &self.parts.config
    }

    pub(crate) fn addresses(&self) -> Vec<Address> {
        self.parts.addresses.clone()
    }

    pub(crate) const fn gopher_map(&self) -> &GopherMap {
        &self.parts.gopher_map
    }

    pub(crate) fn directory(&self) -> &Directory {
        self.parts.gopher_map.directory()
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.directory().snapshot()
    }

    pub(crate) const fn supervisor(&self) -> &SupervisorRef {
        &self.parts.supervisor
    }

    pub(crate) const fn events(&self) -> &Arc<Chronicle> {
        &self.parts.events
    }

    pub(crate) const fn incarnation(&self) -> u64 {
        self.parts.incarnation
    }

    pub(crate) fn tree(&self) -> &Tree {
        &self.parts.tree
    }

    pub(crate) const fn random(&self) -> &Arc<Random> {
        &self.parts.random
    }

    pub(crate) const fn clock(&self) -> &WallClock {
        &self.parts.clock
    }

    #[inline]
    pub(crate) const fn telemetry(&self) -> &Telemetry {
        &self.parts.telemetry
    }

    pub(crate) const fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) const fn shards(&self) -> &Shards {
        &self.parts.shards
    }

    pub(crate) const fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.drain.has_begun()
    }

    pub(crate) const fn since(&self) -> Instant {
        self.since
    }

    pub(crate) const fn silent_seeds(&self) -> &Silent {
        &self.silent_seeds
    }

    pub(crate) const fn drain(&self) -> &Arc<Drain> {
        &self.drain
    }

    /// Whether the node has stopped: whoever waits for it waits in vain.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    // --- routes ---

    /// Changes whenever a route may have changed.
    #[inline]
    pub(crate) fn version(&self) -> u64 {
        (self.directory().version() << 16) ^ self.services_version.load(Relaxed)
    }

    /// Follows what a waiting call may wait for: sessions, services, the directory.
    pub(crate) fn changed(&self) -> Following {
        self.changes.follow()
    }

    pub(crate) fn bump(&self) {
        self.changes.bump();
    }

    pub(crate) fn typed_route(&self, service: &'static str, methods: &'static [Method]) -> Arc<Route> {
        let (signatures, idempotent) =
            (open::methods_of(methods), methods.iter().map(|method| method.idempotent).collect::<Vec<_>>());
        let make = || {
            let spec = RouteSpec {
                service: service.to_owned(),
                codec: Codec::MessagePack,
                methods: signatures.clone(),
                idempotent: idempotent.clone(),
                guest: None,
            };
            Arc::new(Route::new(spec, self.config().retries_per_second, self.config().retry_share))
        };
        let known = self.routes.entry(service).or_insert_with(make).clone();
        // Two contracts of one name have a route each; the second is not shared.
        let same = known.spec.methods == signatures && known.spec.idempotent == idempotent;
        if same { known } else { make() }
    }

    /// How many retries the calls of the service have left that has the fewest, if this node calls any.
    pub(crate) fn retries_left(&self) -> Option<u64> {
        self.routes.iter().map(|route| route.budget.left()).min()
    }

    /// This node, as its own services see it.
    pub(crate) fn as_caller(&self) -> Caller {
        Caller::proven(self.parts.credentials.peer_identity())
    }

    // --- services ---

    /// What is in front of every service.
    pub(crate) fn policies(&self) -> &[Policy] {
        &self.parts.policies
    }

    /// A service that takes calls.
    pub(crate) fn service(&self, name: &str) -> Option<Arc<dyn Endpoint>> {
        let offer = self.services.get(name)?;
        offer.endpoint.is_ready().then(|| Arc::clone(&offer.endpoint))
    }

    pub(crate) fn is_warming(&self, name: &str) -> bool {
        self.services.get(name).is_some_and(|offer| !offer.endpoint.is_ready())
    }

    /// What the directory is to say of this node's services: those that are ready.
    pub(crate) fn offered(&self) -> Vec<ServiceRecord> {
        let ready = self.services.iter().filter(|offer| offer.endpoint.is_ready());
        let mut records: Vec<_> = ready.map(|offer| offer.record.clone()).collect();
        records.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        records
    }

    /// A service takes calls from now on, or none for a while.
    ///
    /// # Errors
    /// The directory cannot be told. The service takes no calls.
    pub(crate) fn set_ready(&self, service: &ServiceCore, ready: bool) -> Result<(), String> {
        if service.ready.swap(ready, AcqRel) == ready {
            return Ok(());
        }
        self.services_changed();
        self.announce_services().map_err(|error| {
            service.ready.store(false, Release);
            self.services_changed();
            error.to_string()
        })?;
        self.tell_ready(service.name, ready);
        Ok(())
    }

    fn tell_ready(&self, service: &str, ready: bool) {
        let service = service.to_owned();
        self.events().tell(match ready {
            true => MeshEvent::ServiceReady { service },
            false => MeshEvent::ServiceWarming { service },
        });
    }

    /// Tells the directory; the builder does when the node starts.
    fn announce_services(&self) -> Result<(), AnnounceError> {
        self.gopher_map().announce(|own| {
            if own.state != NodeState::Starting {
                own.services = self.offered();
            }
        })
    }

    pub(crate) fn own_service_names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.services.iter().map(|entry| entry.key().clone()).collect();
        names.sort_unstable();
        names
    }

    /// The services of the mesh.
    pub(crate) fn service_names(&self) -> Vec<String> {
        self.snapshot().service_names().map(str::to_owned).collect()
    }

    /// Starts a service below the node's supervisor.
    pub(crate) async fn start_service(self: &Arc<Self>, server: Box<dyn AnyServer>) -> Result<(), String> {
        let (name, record, restart) = (server.name(), server.record(), server.restart());
        if self.services.contains_key(name) {
            return Err(format!("{name} is served already"));
        }
        let Started { endpoint, spawn } = server.start(super::NodeHandle(Arc::clone(self)));
        let seen = Arc::clone(&endpoint);
        let node = Arc::downgrade(self);
        let gave_up = move |reason: &str| {
            if let Some(node) = node.upgrade() {
                node.give_up(name, reason);
            }
        };
        let spec = ChildSpec {
            name: format!("service/{name}"),
            kind: Kind::Service,
            restart: Some(restart),
            spawn,
            gave_up: Some(Box::new(gave_up)),
            look: Some(Arc::new(move |now| {
                let (depth, oldest) = seen.depth(now);
                Glance { depth, oldest, is_warming: !seen.is_ready() }
            })),
        };
        let is_ready = endpoint.is_ready();
        self.services.insert(name.to_owned(), Offer { endpoint, record });
        if !is_ready {
            // It may be warm before its start is known here.
            self.tell_ready(name, false);
        }
        self.parts.supervisor.start(spec).await.inspect_err(|_| {
            self.services.remove(name);
        })?;
        if is_ready {
            self.tell_ready(name, true);
        }
        self.services_changed();
        Ok(())
    }

    fn services_changed(&self) {
        self.services_version.fetch_add(1, Relaxed);
        self.bump();
    }

    /// A service failed more often than its policy allows: it leaves the directory, and its queue is not executed.
    fn give_up(&self, name: &str, reason: &str) {
        let Some((_, offer)) = self.services.remove(name) else { return };
        offer
            .endpoint
            .close(&format!("{name} failed too often on {} and was given up: {reason}", self.name()));
        self.services_changed();
        if let Err(error) = self.announce_services() {
            tracing::error!(target: "qmesh::runtime", name, %error, "cannot be taken out of the directory");
        }
    }

    // --- identity ---

    pub(crate) const fn credentials(&self) -> &Credentials {
        &self.parts.credentials
    }

    /// Proves itself with a newer certificate of the same key from now on.
    pub(crate) fn renew(&self, credentials: &Credentials) -> Result<(), String> {
        for endpoint in self.sockets().quic {
            endpoint.renew(credentials.clone()).map_err(|error| error.to_string())?;
        }
        self.gopher_map().renew(credentials.clone()).map_err(|error| error.to_string())?;
        *self.renewed.lock() = Some(credentials.clone());
        Ok(())
    }

    /// What it proves itself with now.
    pub(crate) fn current_credentials(&self) -> Credentials {
        let renewed = self.renewed.lock().clone();
        renewed.unwrap_or_else(|| self.credentials().clone())
    }

    // --- peers ---

    pub(crate) fn peer(&self, id: NodeId) -> Arc<Peer> {
        if let Some(peer) = self.peers.get(&id) {
            return Arc::clone(&peer);
        }
        Arc::clone(&self.peers.entry(id).or_insert_with(|| Arc::new(Peer::new(id))))
    }

    /// What a peer is called, as far as this node knows; else its id.
    pub(crate) fn name_of(&self, id: NodeId) -> String {
        if let Some(record) = self.snapshot().node(id) {
            return record.name.clone();
        }
        let link = self.peers.get(&id).and_then(|peer| peer.current());
        link.map_or_else(|| id.to_string(), |link| link.session().peer().name().to_owned())
    }

    pub(crate) fn known_peer(&self, id: NodeId) -> Option<Arc<Peer>> {
        self.peers.get(&id).map(|peer| Arc::clone(&peer))
    }

    /// Forgets peers that nobody knows or uses any more.
    pub(crate) fn prune_peers(&self) {
        let snapshot = self.snapshot();
        self.peers.retain(|id, peer| snapshot.node(*id).is_some() || peer.is_in_use());
    }

    pub(crate) fn forget(&self, id: NodeId) -> Option<Arc<Peer>> {
        self.peers.remove(&id).map(|(_, peer)| peer)
    }

    /// False when the loop that keeps the peers has no room.
    pub(crate) fn tell_peers(&self, event: PeerEvent) -> bool {
        self.parts.peer_events.try_send(event).is_ok()
    }

    /// Hands a session to the connection of its peer.
    pub(crate) async fn adopt(&self, introduced: Introduced) {
        // The loop that keeps the peers ends with the node, and the session with it.
        drop(self.parts.peer_events.send(PeerEvent::Introduced(introduced)).await);
    }

    /// Tells other processes of this host where the node is.
    pub(crate) fn publish(&self, addresses: &[Address]) -> Result<(), DataDirError> {
        self.parts.data_dir.as_ref().map_or(Ok(()), |data_dir| data_dir.publish(addresses))
    }

    /// Dials an address and introduces this node.
    pub(crate) async fn dial(
        &self,
        address: &Address,
        expected: Option<NodeId>,
    ) -> Result<Introduced, DialProblem> {
        let mut problem = DialProblem::Other(format!("{address}: no transport for this scheme"));
        for dialer in self.sockets().dialers {
            match dialer.dial(address, expected).await {
                Ok(session) => {
                    let own = Own { dial: self.dials.fetch_add(1, Relaxed) + 1, ..self.own() };
                    return hello::introduce(own, session).await.map_err(|error| match error {
                        HelloError::Itself => DialProblem::Itself,
                        other => DialProblem::Other(format!("{address}: {other}")),
                    });
                }
                Err(DialError::Scheme(_)) => {}
                Err(error @ DialError::Unreachable(_)) => problem = DialProblem::Silent(error.to_string()),
                Err(error) => problem = DialProblem::Other(error.to_string()),
            }
        }
        Err(problem)
    }

    /// Answers a command line for as long as its session lives.
    pub(crate) async fn serve_client(self: &Arc<Self>, introduced: Introduced) {
        let number = self.clients.fetch_add(1, Relaxed) + 1;
        let node = Arc::downgrade(self);
        let place = introduced.link.place().clone();
        let introduced = Mutex::new(Some(introduced));
        let spawn = looper(place, move || {
            let (node, introduced) = (node.upgrade(), introduced.lock().take());
            Box::pin(async move {
                let (Some(node), Some(introduced)) = (node, introduced) else { return Ok(()) };
                let Introduced { link, mut frames, mut writer, .. } = introduced;
                tokio::select! {
                    biased;
                    _ = link.session().closed() => {}
                    _ = control::run(&node, None, &link, &mut frames, &mut writer) => {}
                    () = relay::run(&node, &link) => {}
                }
                Ok(())
            })
        });
        let name = format!("client/{number}");
        let spec = ChildSpec { name, kind: Kind::Session, restart: None, spawn, gave_up: None, look: None };
        if let Err(why) = self.parts.supervisor.start(spec).await {
            tracing::warn!(target: "qmesh::runtime", why, "a command line was not served");
        }
    }

    /// The sessions that are up, by peer.
    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        let links = self.peers.iter().filter_map(|peer| Some((*peer.key(), peer.current()?)));
        links.collect::<BTreeMap<_, _>>().into_values().collect()
    }

    /// Every session with a peer, replaced ones too.
    fn all_links(&self) -> Vec<Arc<Link>> {
        let links = self.peers.iter().map(|peer| (*peer.key(), peer.links()));
        links.collect::<BTreeMap<_, _>>().into_values().flatten().collect()
    }

    /// What is still under way on this node: calls that hold a slot, calls and sends that wait for their peer.
    #[cfg(feature = "testing")]
    pub(crate) fn busy(&self) -> Vec<String> {
        let held = self.endpoints().into_iter().filter_map(|endpoint| {
            let depth = endpoint.depth(Instant::now()).0;
            (depth > 0).then(|| format!("{} on {} holds {depth} calls", endpoint.name(), self.name()))
        });
        let links = self.links().into_iter().filter(|link| link.is_calling());
        let waits = links.map(|link| {
            format!("calls or sends of {} to {} are under way", self.name(), link.session().peer().name())
        });
        held.chain(waits).collect()
    }

    /// The services that run here, by name.
    pub(crate) fn endpoints(&self) -> Vec<Arc<dyn Endpoint>> {
        let endpoints = self.services.iter().map(|entry| (entry.key().clone(), Arc::clone(&entry.endpoint)));
        endpoints.collect::<BTreeMap<_, _>>().into_values().collect()
    }

    // --- what people see ---

    pub(crate) fn node_infos(&self) -> Vec<NodeInfo> {
        let snapshot = self.snapshot();
        let mut infos: Vec<_> = snapshot.nodes().map(|record| self.node_info(record)).collect();
        infos.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        infos
    }

    fn node_info(&self, record: &qmesh_discovery::NodeRecord) -> NodeInfo {
        let own = record.id == self.id();
        let link = self.peers.get(&record.id).and_then(|peer| peer.current());
        let round_trip = link.as_ref().map(|link| link.session().stats().round_trip);
        let round_trip = round_trip.filter(|time| !time.is_zero());
        NodeInfo {
            name: record.name.clone(),
            id: record.id.to_string(),
            state: format!("{:?}", record.state).to_lowercase(),
            addresses: record.addresses.iter().map(Address::to_string).collect(),
            services: record.services.iter().map(|service| service.name.clone()).collect(),
            zone: record.zone.clone(),
            incarnation: record.incarnation,
            connected: own || link.is_some(),
            round_trip_us: round_trip.map(micros),
        }
    }

    pub(crate) fn service_infos(&self) -> Vec<ServiceInfo> {
        let snapshot = self.snapshot();
        let info = |name: &str| {
            let records = snapshot.endpoints(name);
            let mut nodes: Vec<_> = records.iter().map(|record| record.name.clone()).collect();
            nodes.sort_unstable();
            let offered =
                records.iter().flat_map(|record| &record.services).filter(|service| service.name == name);
            let mut versions: Vec<_> = offered
                .map(|service| service.version.clone())
                .filter(|version| !version.is_empty())
                .collect();
            versions.sort_unstable();
            versions.dedup();
            let warming = if self.is_warming(name) { vec![self.name().to_owned()] } else { Vec::new() };
            ServiceInfo { name: name.to_owned(), nodes, versions, warming }
        };
        let own = self.own_service_names();
        let mut names: BTreeSet<_> = snapshot.service_names().collect();
        names.extend(own.iter().map(String::as_str).filter(|name| self.is_warming(name)));
        let infos = names.into_iter().map(info);
        infos.collect()
    }

    // --- the end ---

    pub(crate) async fn shutdown(self: &Arc<Self>) {
        self.end_in_order().await;
        // Last: whoever asks may run on one.
        self.shards().end().await;
    }

    async fn end_in_order(self: &Arc<Self>) {
        let mut ended = self.ending.lock().await;
        if *ended {
            return;
        }
        self.let_finish().await;
        self.gopher_map().leave().await;
        self.end_now();
        self.parts.supervisor.end().await;
        let quic = self.sockets().quic;
        for endpoint in &quic {
            endpoint.close();
        }
        // Whoever lives has heard it by then.
        let _late = timeout(GOODBYE, join_all(quic.iter().map(|endpoint| endpoint.wait_idle()))).await;
        self.let_go();
        *ended = true;
    }

    /// Accepts nothing new and lets the calls, their streams and this node's own one-way sends finish.
    async fn let_finish(&self) {
        self.events().tell(MeshEvent::Stopping {});
        self.drain.begin();
        // Only a node that has left already cannot say that it drains.
        let _left = self.gopher_map().announce(|own| own.state = NodeState::Draining);
        let links = self.links();
        for link in &links {
            control::send(&link.control, ControlKind::GoAway(true));
        }
        let endpoints = self.endpoints();
        let end = Instant::now() + self.config().drain_timeout;
        // Peers may have sent calls before they heard of it: an endpoint is idle when it stays so for a moment.
        let mut quiet = 0;
        while quiet < QUIET_ROUNDS && Instant::now() < end {
            let now = Instant::now();
            // Nobody but the node itself waits for what it has sent one way.
            let busy = endpoints.iter().any(|endpoint| endpoint.depth(now).0 > 0)
                || self.drain.has_streams(now)
                || self.all_links().iter().any(|link| link.is_sending());
            quiet = if busy { 0 } else { quiet + 1 };
            sleep(QUIET_ROUND).await;
        }
        self.drain.cut();
        let told = Instant::now() + LAST_WORDS;
        while self.drain.serves_streams() && Instant::now() < told {
            sleep(QUIET_ROUND).await;
        }
        for endpoint in endpoints {
            endpoint.close(&format!("{} has stopped", self.name()));
        }
        // Answers that were just given are still on their way out.
        sleep(QUIET_ROUND).await;
    }

    fn sockets(&self) -> Sockets {
        self.sockets.lock().clone()
    }

    /// Lets the sockets go, and the sessions that hold them: clients and handles may be kept for longer.
    pub(crate) fn let_go(&self) {
        for peer in &self.peers {
            peer.end();
        }
        drop(std::mem::take(&mut *self.sockets.lock()));
    }

    /// Ends everything at once, as far as that needs no waiting.
    pub(crate) fn end_now(&self) {
        self.ended.store(true, Relaxed);
        for listener in self.sockets().listeners {
            listener.close();
        }
        for link in self.all_links() {
            link.close(CloseCode::SHUTDOWN, "the node stops");
        }
        for endpoint in self.endpoints() {
            endpoint.end(&format!("{} has stopped", self.name()));
        }
        if let Some(data_dir) = &self.parts.data_dir {
            data_dir.release();
        }
        // The services hold the node, and the node the services.
        self.services.clear();
        self.routes.clear();
        self.tasks.renew();
        self.services_changed();
        self.parts.supervisor.end_soon();
        self.events().end();
    }
}

/// How long the sessions' last words may take. Living peers need three round trips; a dial that a dead peer never
/// answered would hold its endpoint for three seconds.
const GOODBYE: Duration = Duration::from_millis(500);

/// How long streams that are cut may take to say so.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How often a draining node looks whether it is idle, and how many times in a row it must be.
const QUIET_ROUND: Duration = Duration::from_millis(10);
const QUIET_ROUNDS: u32 = 5;

impl fmt::Debug for NodeInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NodeInner").field(&self.name()).finish()
    }
}
