//! What the node says to the pages.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::Serialize;

use crate::{
    client::JsonCall,
    control_api::{self, Answer, Deadlock, Query, Traffic, deadlocks},
    node::{NodeInner, control, questions},
    service::Caller,
    telemetry::Trace,
};

/// The longest time of a call from a page. It holds one of the console's places meanwhile.
const CALL_MAX: Duration = Duration::from_secs(600);

/// The traffic of all nodes that answer, by name, and the deadlocks in it.
#[derive(Serialize)]
struct Whole {
    nodes: BTreeMap<String, Traffic>,
    /// Why the others are not among them.
    silent: BTreeMap<String, String>,
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
    let timeout = control_api::timeout(timeout_ms).min(CALL_MAX);
    let call = JsonCall { service: &service, method: &method, arguments: &arguments, timeout };
    // Whoever calls from a page wants to see the way of it.
    let (trace, id) = Trace::Undecided.into_kept(node.random());
    Said { trace: Some(id), ..Said::of(&control::call(node, &guest, call, trace).await) }
}

/// What goes on in the whole mesh.
pub(super) async fn traffic(node: &Arc<NodeInner>) -> Said {
    Said::of(&Whole::of(questions::everywhere(node, &Query::Traffic).await))
}

impl Whole {
    fn of(answers: BTreeMap<String, Answer>) -> Self {
        let (mut nodes, mut silent) = (BTreeMap::new(), BTreeMap::new());
        for (name, answer) in answers {
            let why = match answer {
                Answer::Traffic(traffic) => {
                    nodes.insert(name, traffic);
                    continue;
                }
                Answer::Failed(failure) => failure.to_string(),
                Answer::Unknown(why) => why,
                _ => "it answered another question".to_owned(),
            };
            silent.insert(name, why);
        }
        let deadlocks = deadlocks(nodes.values());
        Self { nodes, silent, deadlocks }
    }
}

impl Said {
    fn of(answer: &impl Serialize) -> Self {
        Self { json: serde_json::to_vec(answer), trace: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{Failure, Reason};

    #[test]
    fn a_node_that_tells_nothing_of_its_traffic_is_there_with_why() {
        let late = Failure::unknown(Reason::DeadlineExceeded, "the node did not answer in time");
        let answers = BTreeMap::from([
            ("a".to_owned(), Answer::Traffic(Traffic::default())),
            ("b".to_owned(), Answer::Failed(late)),
            ("c".to_owned(), Answer::Unknown("left out".to_owned())),
            ("d".to_owned(), Answer::Nodes(Vec::new())),
        ]);
        let whole = Whole::of(answers);
        assert_eq!(whole.nodes.into_keys().collect::<Vec<_>>(), ["a"]);
        let silent: Vec<_> = whole.silent.iter().map(|(name, why)| (&**name, &**why)).collect();
        assert!(silent[0].0 == "b" && silent[0].1.contains("did not answer in time"), "{silent:?}");
        assert_eq!(silent[1..], [("c", "left out"), ("d", "it answered another question")]);
    }
}
