//! The loop that asks the seeds, for ever: a first contact learns who answers, a later one heals a mesh that was cut.

use std::{collections::BTreeMap, sync::Arc};

use qmesh_discovery::SeedSource;
use qmesh_transport::{Address, NodeId};
use tokio::time::sleep;

use crate::node::NodeInner;

/// Addresses that one round dials at most.
const DIALS_MAX: usize = 32;

pub(crate) async fn run(node: Arc<NodeInner>, sources: Arc<Vec<SeedSource>>) -> Result<(), String> {
    // Who answered at which address: itself where the id is our own.
    let mut known: BTreeMap<Address, NodeId> = BTreeMap::new();
    loop {
        for source in sources.iter() {
            match source.resolve().await {
                Ok(addresses) => {
                    for address in addresses.into_iter().take(DIALS_MAX) {
                        contact(&node, &mut known, address).await;
                    }
                }
                Err(error) => tracing::warn!(target: "qmesh::runtime", %error, "a seed source gave nothing"),
            }
        }
        known.retain(|_, id| *id == node.id() || node.peer(*id).current().is_some());
        // Until somebody is found, ask more often.
        let alone = node.snapshot().nodes().len() <= 1;
        let interval = node.config().seed_interval;
        let interval = if alone { interval / 8 } else { interval };
        sleep(interval.mul_f64(rand::random_range(0.75..1.25))).await;
    }
}

async fn contact(node: &Arc<NodeInner>, known: &mut BTreeMap<Address, NodeId>, address: Address) {
    if node.addresses().contains(&address) {
        return;
    }
    match known.get(&address) {
        Some(id) if *id == node.id() => return,
        Some(id) if node.peer(*id).current().is_some() => return node.gopher_map().greet(*id),
        _ => {}
    }
    // A member that announces this address is dialled by its own connection.
    let snapshot = node.snapshot();
    let announced = snapshot.nodes().find(|record| record.addresses.contains(&address));
    if let Some(record) = announced
        && node.peer(record.id).current().is_some()
    {
        known.insert(address, record.id);
        return node.gopher_map().greet(record.id);
    }
    match node.dial(&address, None).await {
        Ok(introduced) => {
            known.insert(address, introduced.link.session().peer().id());
            node.adopt(introduced).await;
        }
        Err(why) => tracing::debug!(target: "qmesh::runtime", %address, why, "a seed does not answer"),
    }
}
