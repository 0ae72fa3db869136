//! The loop that asks the seeds, for ever: a first contact learns who answers, a later one heals a mesh that was cut.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use qmesh_discovery::SeedSource;
use qmesh_transport::{Address, NodeId};
use tokio::time::{sleep, timeout};

use crate::node::{NodeInner, inner::DialProblem};

/// Addresses that one round dials at most.
const DIALS_MAX: usize = 32;
/// How long a connection may take to adopt a session.
const ADOPTION_MAX: Duration = Duration::from_secs(1);
/// Who lives has answered by then.
const STAGGER: Duration = Duration::from_millis(100);

pub(crate) async fn run(node: Arc<NodeInner>, sources: Arc<Vec<SeedSource>>) -> Result<(), String> {
    // Who answered at which address: itself where the id is our own.
    let mut known: BTreeMap<Address, NodeId> = BTreeMap::new();
    loop {
        for source in sources.iter() {
            match source.resolve().await {
                Ok(addresses) => {
                    let met = contact_all(&node, &known, addresses).await;
                    known.extend(met);
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

/// Asks one address after the other; one that is dead holds up the next for no longer than [`STAGGER`].
async fn contact_all(
    node: &Arc<NodeInner>,
    known: &BTreeMap<Address, NodeId>,
    addresses: Vec<Address>,
) -> Vec<(Address, NodeId)> {
    let (mut asked, mut met) = (FuturesUnordered::new(), Vec::new());
    for address in addresses.into_iter().take(DIALS_MAX) {
        asked.push(contact(node, known, address));
        if let Ok(Some(answer)) = timeout(STAGGER, asked.next()).await {
            met.extend(answer);
        }
    }
    while let Some(answer) = asked.next().await {
        met.extend(answer);
    }
    met
}

/// Asks whoever is at `address`; returns who that is, if it is news.
async fn contact(
    node: &Arc<NodeInner>,
    known: &BTreeMap<Address, NodeId>,
    address: Address,
) -> Option<(Address, NodeId)> {
    if node.addresses().contains(&address) {
        return None;
    }
    match known.get(&address) {
        Some(id) if *id == node.id() => return None,
        Some(id) if node.peer(*id).current().is_some() => {
            node.gopher_map().greet(*id);
            return None;
        }
        _ => {}
    }
    // A member that announces this address is dialled by its own connection.
    let snapshot = node.snapshot();
    let announced = snapshot.nodes().find(|record| record.addresses.contains(&address));
    if let Some(record) = announced
        && node.peer(record.id).current().is_some()
    {
        node.gopher_map().greet(record.id);
        return Some((address, record.id));
    }
    match node.dial(&address, None).await {
        Ok(introduced) => {
            let id = introduced.link.session().peer().id();
            let mut changed = node.changed();
            node.adopt(introduced).await;
            // Another address may be the same node's: it is not to be dialled twice.
            let linked =
                async { while node.peer(id).current().is_none() && changed.changed().await.is_ok() {} };
            let _late = timeout(ADOPTION_MAX, linked).await;
            Some((address, id))
        }
        Err(DialProblem::Itself) => Some((address, node.id())),
        Err(why) => {
            tracing::debug!(target: "qmesh::runtime", %address, %why, "a seed does not answer");
            None
        }
    }
}
