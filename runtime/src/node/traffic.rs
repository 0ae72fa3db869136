//! What a node tells of its traffic.

use std::{collections::BTreeMap, sync::Arc};

use tokio::time::Instant;

use crate::{
    control_api::{ServiceLoad, SessionLoad, Tap, TapRequest, Traffic},
    duration::{micros, millis},
    failure::{Failure, Reason},
    node::{Link, NodeInner},
    service::Endpoint,
};

/// The node's traffic, which it measures from now on.
pub(crate) fn traffic(node: &NodeInner) -> Traffic {
    let measured = node.telemetry().watch().map(|watch| {
        watch.look(node.tasks());
        watch.read()
    });
    Traffic {
        node: node.name().to_owned(),
        unix_ms: node.clock().now_ms(),
        services: services(node),
        sessions: sessions(node),
        ..measured.unwrap_or_default()
    }
}

/// Calls of the node, as they pass.
///
/// # Errors
/// It does not show what is asked for.
pub(crate) async fn tap(node: &NodeInner, asked: &TapRequest) -> Result<Tap, Failure> {
    if asked.payload && !node.config().tap_payloads {
        let detail = format!(
            "{} shows no arguments: its configuration has to allow it (Config::tap_payloads)",
            node.name()
        );
        return Err(Failure::not_executed(Reason::Refused, detail));
    }
    match node.telemetry().watch() {
        Some(watch) => watch.tap(asked, node.tasks()).await,
        None => Ok(Tap::default()),
    }
}

/// What each service of the node has to do.
pub(crate) fn services(node: &NodeInner) -> Vec<ServiceLoad> {
    let now = Instant::now();
    let actors: BTreeMap<_, _> = node.services_of_the_tree().collect();
    let load = |endpoint: Arc<dyn Endpoint>| {
        let (depth, oldest) = endpoint.depth(now);
        let (runs, waits) = match endpoint.at_work() {
            Some(at_work) if at_work.runs => (Some(at_work), None),
            at_work => (None, at_work),
        };
        ServiceLoad {
            service: endpoint.name().to_owned(),
            ready: endpoint.is_ready(),
            depth: depth as u64,
            capacity: endpoint.capacity() as u64,
            oldest_ms: millis(oldest),
            running: runs.map(|runs| runs.method.to_owned()),
            running_ms: runs.map_or(0, |runs| millis(now.saturating_duration_since(runs.since))),
            held_up: waits.map(|waits| waits.method.to_owned()),
            restarts: actors.get(endpoint.name()).map_or(0, |actor| actor.restarts),
        }
    };
    node.endpoints().into_iter().map(load).collect()
}

/// The sessions of the node, by the name of the peer.
pub(crate) fn sessions(node: &NodeInner) -> Vec<SessionLoad> {
    let mut sessions: Vec<_> = node.links().iter().map(|link| session(link)).collect();
    sessions.sort_by(|one, other| one.peer.cmp(&other.peer));
    sessions
}

fn session(link: &Link) -> SessionLoad {
    let round_trip = link.session().stats().round_trip;
    SessionLoad {
        peer: link.session().peer().name().to_owned(),
        path: link.session().local_address().scheme().to_owned(),
        round_trip_us: (!round_trip.is_zero()).then(|| micros(round_trip)),
        dialled: link.is_dialled(),
        up_ms: millis(link.age()),
        channels: link.channels() as u64,
    }
}
