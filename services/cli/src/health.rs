//! Whether a node works, judged by what it says of itself.

use qmesh::{ActorInfo, ActorState};

/// The kinds of actors that a node cannot do without. It restarts them for ever; services may be given up.
const PARTS: [&str; 6] = ["node", "gossip", "seeds", "peers", "renewal", "listener"];

/// Whether the node itself works, whatever becomes of its services and peers.
pub(crate) fn is_alive(tree: &[ActorInfo]) -> bool {
    tree.iter().any(|actor| actor.kind == "node") && tree.iter().filter(|actor| is_part(actor)).all(works)
}

/// What keeps callers from the node and from each of its services; nothing where it is ready.
pub(crate) fn complaints(state: &str, tree: &[ActorInfo]) -> Vec<String> {
    let own = (state != "ready").then(|| format!("the node is {state}"));
    let asked = tree.iter().filter(|actor| is_part(actor) || actor.kind == "service");
    own.into_iter().chain(asked.filter(|actor| !works(actor)).map(complaint)).collect()
}

fn is_part(actor: &ActorInfo) -> bool {
    PARTS.contains(&actor.kind.as_str())
}

fn works(actor: &ActorInfo) -> bool {
    actor.state == ActorState::Running
}

fn complaint(actor: &ActorInfo) -> String {
    let what = match actor.state {
        ActorState::Warming => "warms up",
        ActorState::Failed => "was given up",
        _ => "restarts",
    };
    let why = actor.last_failure.as_ref().map(|why| format!(": {why}"));
    format!("{} {what}{}", actor.path, why.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn actor(path: &str, kind: &str, state: &str) -> ActorInfo {
        let why = (state == "failed").then_some("it panicked");
        let said = json!({
            "path": path, "kind": kind, "state": state, "restarts": 0, "since_ms": 0, "last_failure": why,
            "queue_depth": null, "oldest_ms": null
        });
        serde_json::from_value(said).unwrap()
    }

    fn node(gossip: &str, service: &str, connection: &str) -> Vec<ActorInfo> {
        vec![
            actor("node", "node", "running"),
            actor("node/gossip", "gossip", gossip),
            actor("node/service/a.B", "service", service),
            actor("node/peer/b", "connection", connection),
        ]
    }

    #[test]
    fn a_node_whose_parts_run_is_alive() {
        for (gossip, service, connection, alive) in [
            ("running", "running", "running", true),
            ("running", "failed", "restarting", true),
            ("restarting", "running", "running", false),
        ] {
            assert_eq!(is_alive(&node(gossip, service, connection)), alive, "{gossip} {service}");
        }
        assert!(!is_alive(&[]), "a node that has ended");
    }

    #[test]
    fn what_keeps_callers_away_is_named() {
        let well = node("running", "running", "restarting");
        assert!(complaints("ready", &well).is_empty(), "peers come and go");
        assert_eq!(complaints("draining", &well), ["the node is draining"]);
        let given_up = complaints("ready", &node("restarting", "failed", "running"));
        assert_eq!(given_up, ["node/gossip restarts", "node/service/a.B was given up: it panicked"]);
        assert_eq!(
            complaints("ready", &node("running", "warming", "running")),
            ["node/service/a.B warms up"]
        );
    }
}
