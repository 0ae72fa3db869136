//! What the node says to the pages.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use crate::{
    control_api::{Answer, Deadlock, Query, Traffic, deadlocks},
    node::{NodeInner, control},
    service::Caller,
};

/// The traffic of all nodes that answer, by name, and the deadlocks in it.
#[derive(Serialize)]
struct Whole {
    nodes: BTreeMap<String, Traffic>,
    deadlocks: Vec<Deadlock>,
}

/// What it answers to a query, as JSON.
pub(super) async fn answer(node: &Arc<NodeInner>, query: Query) -> serde_json::Result<Vec<u8>> {
    let guest = Caller::console(node.id());
    serde_json::to_vec(&control::answer_to(node, &guest, query).await)
}

/// What goes on in the whole mesh, as JSON.
pub(super) async fn traffic(node: &Arc<NodeInner>) -> serde_json::Result<Vec<u8>> {
    let guest = Caller::console(node.id());
    let query = Query::Everywhere { query: Box::new(Query::Traffic) };
    let answers = match control::answer_to(node, &guest, query).await {
        Answer::Everywhere(answers) => answers,
        _ => BTreeMap::new(),
    };
    let nodes: BTreeMap<_, _> = answers
        .into_iter()
        .filter_map(|(name, answer)| match answer {
            Answer::Traffic(traffic) => Some((name, traffic)),
            _ => None,
        })
        .collect();
    let deadlocks = deadlocks(nodes.values());
    serde_json::to_vec(&Whole { nodes, deadlocks })
}
