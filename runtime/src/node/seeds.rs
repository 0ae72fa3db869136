//! The loop that asks the seeds, for ever: a first contact learns who answers, a later one heals a mesh that was cut.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use parking_lot::Mutex;
use qmesh_discovery::SeedSource;
use qmesh_transport::{Address, NodeId};
use tokio::time::{sleep, timeout};

use crate::{
    events::{self, MeshEvent},
    node::{NodeInner, inner::DialProblem, peer::Unreached},
};

/// Addresses that one round dials at most.
const DIALS_MAX: usize = 32;
/// How long a connection may take to adopt a session.
const ADOPTION_MAX: Duration = Duration::from_secs(1);
/// Who lives has answered by then.
const STAGGER: Duration = Duration::from_millis(100);

pub(crate) async fn run(node: Arc<NodeInner>, sources: Arc<Vec<SeedSource>>) -> Result<(), String> {
    // Who answered at which address: itself where the id is our own.
    let mut known: BTreeMap<Address, NodeId> = BTreeMap::new();
    let mut rounds_alone = 0;
    loop {
        for source in sources.iter() {
            match source.resolve().await {
                Ok(addresses) => {
                    for (address, answer) in contact_all(&node, &known, addresses).await {
                        note(&node, source, &address, answer.as_ref().err());
                        if let Ok(Some(id)) = answer {
                            known.insert(address, id);
                        }
                    }
                }
                Err(error) => tracing::warn!(target: "qmesh::runtime", %error, "a seed source gave nothing"),
            }
        }
        known.retain(|_, id| *id == node.id() || node.peer(*id).current().is_some());
        // Until somebody is found, ask more often, but not for ever.
        let alone = node.snapshot().nodes().len() <= 1;
        rounds_alone = if alone { rounds_alone + 1 } else { 0 };
        let hurry = if alone { 8 >> (rounds_alone / 8).min(3) } else { 1 };
        let interval = node.config().seed_interval / hurry;
        sleep(interval.mul_f64(node.random().share(0.75..1.25))).await;
    }
}

/// The addresses that somebody named as a seed and where nobody answers, and why: each reason is told once.
#[derive(Debug, Default)]
pub(crate) struct Silent(Mutex<BTreeMap<Address, Unreached>>);

impl Silent {
    /// Whether it did not answer before.
    fn answers(&self, address: &Address) -> bool {
        self.0.lock().remove(address).is_some()
    }

    /// Whether this is news.
    fn fails(&self, address: &Address, problem: &Unreached) -> bool {
        let mut silent = self.0.lock();
        let is_news = silent.len() < SILENT_MAX && silent.get(address) != Some(problem);
        if is_news {
            silent.insert(address.clone(), problem.clone());
        }
        is_news
    }

    pub(crate) fn list(&self) -> Vec<(Address, Unreached)> {
        self.0.lock().iter().map(|(address, problem)| (address.clone(), problem.clone())).collect()
    }
}

fn note(node: &NodeInner, source: &SeedSource, address: &Address, problem: Option<&Unreached>) {
    // Files of nodes that are gone, and what multicast DNS remembers, are nobody's mistake.
    let named = matches!(source, SeedSource::Addresses(_) | SeedSource::Dns { .. });
    match problem {
        None if node.silent_seeds().answers(address) => {
            node.events().tell(MeshEvent::SeedAnswers { address: address.to_string() });
        }
        None => {}
        Some(problem) if named && node.silent_seeds().fails(address, problem) => {
            node.events()
                .tell(MeshEvent::SeedSilent { address: address.to_string(), why: problem.why.clone() });
        }
        Some(Unreached { why, .. }) => {
            tracing::debug!(target: "qmesh::runtime", %address, why, "a seed does not answer");
        }
    }
}

/// Silent seeds that are remembered.
const SILENT_MAX: usize = 256;

/// What an address answered: who that is, if it is news, or why nobody did.
type Answer = (Address, Result<Option<NodeId>, Unreached>);

/// Asks one address after the other; one that is dead holds up the next for no longer than [`STAGGER`].
async fn contact_all(
    node: &Arc<NodeInner>,
    known: &BTreeMap<Address, NodeId>,
    addresses: Vec<Address>,
) -> Vec<Answer> {
    let (mut asked, mut answers) = (FuturesUnordered::new(), Vec::new());
    for address in addresses.into_iter().take(DIALS_MAX) {
        asked.push(async move {
            let answer = contact(node, known, &address).await;
            (address, answer)
        });
        if let Ok(Some(answer)) = timeout(STAGGER, asked.next()).await {
            answers.push(answer);
        }
    }
    while let Some(answer) = asked.next().await {
        answers.push(answer);
    }
    answers
}

/// Asks whoever is at `address`; returns who that is, if it is news.
async fn contact(
    node: &Arc<NodeInner>,
    known: &BTreeMap<Address, NodeId>,
    address: &Address,
) -> Result<Option<NodeId>, Unreached> {
    if node.addresses().contains(address) {
        return Ok(None);
    }
    match known.get(address) {
        Some(id) if *id == node.id() => return Ok(None),
        Some(id) if node.peer(*id).current().is_some() => {
            node.gopher_map().greet(*id);
            return Ok(None);
        }
        _ => {}
    }
    // A member that announces this address is dialled by its own connection.
    let snapshot = node.snapshot();
    let announced = snapshot.nodes().find(|record| record.addresses.contains(address));
    if let Some(record) = announced
        && node.peer(record.id).current().is_some()
    {
        node.gopher_map().greet(record.id);
        return Ok(Some(record.id));
    }
    let dialled = {
        let (node, address) = (Arc::clone(node), address.clone());
        async move { node.dial(&address, None).await }
    };
    match node.shards().next().run(dialled).await {
        Ok(introduced) => {
            let id = introduced.link.session().peer().id();
            let mut changed = node.changed();
            node.adopt(introduced).await;
            // Another address may be the same node's: it is not to be dialled twice.
            let linked = async {
                while node.peer(id).current().is_none() && !node.has_ended() {
                    changed.changed().await;
                }
            };
            let _late = timeout(ADOPTION_MAX, linked).await;
            Ok(Some(id))
        }
        Err(DialProblem::Itself) => Ok(Some(node.id())),
        Err(problem) => {
            let silent = matches!(problem, DialProblem::Silent(_));
            Err(Unreached { why: events::why(problem), silent })
        }
    }
}
