//! What the node says to the pages.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use crate::{
    client::JsonCall,
    control_api::{self, Answer, Deadlock, Query, Traffic, deadlocks},
    node::{NodeInner, control},
    service::Caller,
    telemetry::Trace,
};

/// The traffic of all nodes that answer, by name, and the deadlocks in it.
#[derive(Serialize)]
struct Whole {
    nodes: BTreeMap<String, Traffic>,
    deadlocks: Vec<Deadlock>,
}

/// An answer as JSON, and where it is one to a call, the id of its trace.
pub(super) struct Said {
    pub(super) json: serde_json::Result<Vec<u8>>,
    pub(super) trace: Option<String>,
}

/// What it answers to a query.
pub(super) async fn answer(node: &Arc<NodeInner>, query: Query) -> Said {
    let guest = Caller::console(node.id());
    let Query::Call { service, method, arguments, timeout_ms, .. } = query else {
        return Said::of(&control::answer_to(node, &guest, query).await);
    };
    let timeout = control_api::timeout(timeout_ms);
    let call = JsonCall { service: &service, method: &method, arguments: &arguments, timeout };
    // Whoever calls from a page wants to see the way of it.
    let (trace, id) = Trace::Undecided.into_kept(node.random());
    Said { trace: Some(id), ..Said::of(&control::call(node, &guest, call, trace).await) }
}

/// What goes on in the whole mesh.
pub(super) async fn traffic(node: &Arc<NodeInner>) -> Said {
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
    Said::of(&Whole { nodes, deadlocks })
}

impl Said {
    fn of(answer: &impl Serialize) -> Self {
        Self { json: serde_json::to_vec(answer), trace: None }
    }
}
