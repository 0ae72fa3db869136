//! Addresses from multicast DNS: nodes of one local network find each other without configuration.
//!
//! A node announces `<node id>._qmesh._udp.local.` with its addresses, its port and, as TXT records, `id`, the node id, and
//! `mesh`, a hash of the mesh's name and its authority (several, while one authority replaces another). Nothing else of
//! the mesh is told to the network.

use std::{collections::BTreeMap, fmt, net::IpAddr, net::SocketAddr, sync::Arc};

use mdns_sd::{Receiver, ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo};
use parking_lot::Mutex;
use qmesh_transport::{Address, Credentials, NodeId};

use super::SeedError;

const SERVICE: &str = "_qmesh._udp.local.";

/// The most nodes that are remembered; a local network that tells more is lying.
const NODES_MAX: usize = 1024;

/// Announces this node in the local network and listens for others. Cheap to clone; it stops, and says so to the
/// network, when the last clone is dropped. It runs on a thread of its own.
#[derive(Clone)]
pub struct Mdns {
    inner: Arc<Inner>,
}

struct Inner {
    daemon: ServiceDaemon,
    meshes: Vec<String>,
    id: NodeId,
    found: Mutex<Found>,
}

struct Found {
    events: Receiver<ServiceEvent>,
    nodes: BTreeMap<String, Vec<Address>>,
}

impl Mdns {
    /// Starts to listen for the nodes that trust the same authority. Call it where you may block for a moment.
    ///
    /// # Errors
    /// [`SeedError::Mdns`]: no thread or socket was to be had.
    pub fn start(credentials: &Credentials) -> Result<Self, SeedError> {
        Self::over(ServiceDaemon::new().map_err(failed)?, &credentials.realms(), credentials.id())
    }

    fn over(daemon: ServiceDaemon, realms: &[String], id: NodeId) -> Result<Self, SeedError> {
        let events = daemon.browse(SERVICE).map_err(failed)?;
        let found = Mutex::new(Found { events, nodes: BTreeMap::new() });
        Ok(Self {
            inner: Arc::new(Inner {
                daemon,
                meshes: realms.iter().map(|realm| hash(realm)).collect(),
                id,
                found,
            }),
        })
    }

    /// Tells the network that this node is reached at `addresses`, in place of what was told before. Only socket
    /// addresses are told, and of those the ones with the first one's port; a wildcard stands for all addresses of this
    /// host. Without any, nothing is told.
    ///
    /// # Errors
    /// [`SeedError::Mdns`]: the daemon is busy or gone; what was told before stays.
    pub fn announce(&self, addresses: &[Address]) -> Result<(), SeedError> {
        let sockets: Vec<_> = addresses.iter().filter_map(Address::socket).collect();
        let Some(port) = sockets.first().map(SocketAddr::port) else { return Ok(()) };
        let ips: Vec<IpAddr> =
            sockets.iter().filter(|socket| socket.port() == port).map(SocketAddr::ip).collect();
        let is_wildcard = ips.iter().any(IpAddr::is_unspecified);
        let told = if is_wildcard { &[] } else { &ips[..] };
        let name = self.inner.id.to_string();
        let host = format!("{name}.local.");
        let meshes = self.inner.meshes.join(",");
        let properties = [("id", name.as_str()), ("mesh", meshes.as_str())];
        let info = ServiceInfo::new(SERVICE, &name, &host, told, port, &properties[..]).map_err(failed)?;
        let info = if is_wildcard { info.enable_addr_auto() } else { info };
        self.inner.daemon.register(info).map_err(failed)
    }

    /// The addresses of the other nodes that are announced now.
    pub(super) fn found(&self) -> Result<Vec<Address>, SeedError> {
        let mut found = self.inner.found.lock();
        while let Ok(event) = found.events.try_recv() {
            self.inner.take_in(&mut found.nodes, event);
        }
        if found.events.is_disconnected() {
            // The daemon gives up on listeners that fall too far behind: listen again.
            found.events = self.inner.daemon.browse(SERVICE).map_err(failed)?;
        }
        Ok(found.nodes.values().flatten().cloned().collect())
    }
}

// === impl Inner ===

impl Inner {
    fn take_in(&self, nodes: &mut BTreeMap<String, Vec<Address>>, event: ServiceEvent) {
        match event {
            ServiceEvent::ServiceResolved(service) if self.is_peer(&service) && nodes.len() < NODES_MAX => {
                nodes.insert(service.fullname.clone(), addresses(&service));
            }
            ServiceEvent::ServiceRemoved(_, name) => {
                nodes.remove(&name);
            }
            _ => {}
        }
    }

    /// Whether somebody of our mesh speaks, who is not us.
    fn is_peer(&self, service: &ResolvedService) -> bool {
        let id = service.get_property_val_str("id").and_then(|id| id.parse::<NodeId>().ok());
        let meshes = service.get_property_val_str("mesh").unwrap_or_default();
        meshes.split(',').any(|mesh| self.meshes.iter().any(|own| own == mesh))
            && id.is_some_and(|id| id != self.id)
    }
}

fn addresses(service: &ResolvedService) -> Vec<Address> {
    let is_dialable = |ip: &IpAddr| match ip {
        IpAddr::V4(_) => true,
        // These mean nothing without the interface, which an address does not name.
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    };
    let ips = service.addresses.iter().map(mdns_sd::ScopedIp::to_ip_addr).filter(is_dialable);
    ips.map(|ip| Address::quic(SocketAddr::new(ip, service.port))).collect()
}

/// What the network learns of the mesh: enough to tell meshes apart, not their names.
fn hash(realm: &str) -> String {
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(realm.as_bytes()))
}

fn failed(error: mdns_sd::Error) -> SeedError {
    SeedError::Mdns(error.into())
}

impl Drop for Inner {
    fn drop(&mut self) {
        // It takes our announcement back on its way out. If it is gone already, there is nothing to stop.
        let _gone = self.daemon.shutdown();
    }
}

impl fmt::Debug for Mdns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mdns").field("id", &self.inner.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
