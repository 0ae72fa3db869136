//! What a node says of itself when somebody looks for what is wrong.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use qmesh_transport::Address;
use tokio::time::Instant;

use crate::{
    control_api::{About, QueueInfo, SessionInfo, UnreachableInfo},
    events,
    node::{Link, NodeInner, ROOT, gossip, peer::Unreached, wall_clock::unix_secs},
    service::Endpoint,
    supervisor::{ActorInfo, ActorState},
    wire::messages::PROTOCOL,
};

impl NodeInner {
    pub(crate) fn about(&self) -> About {
        let credentials = self.current_credentials();
        let snapshot = self.snapshot();
        let mut knows: Vec<_> = snapshot.nodes().map(|record| record.name.clone()).collect();
        knows.sort_unstable();
        let rejected = self.gopher_map().stats().rejected.into_iter();
        About {
            node: self.name().to_owned(),
            id: self.id().to_string(),
            mesh: credentials.mesh().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocols: vec![format!("qmesh/{PROTOCOL}"), format!("gossip/{}", self.config().gossip.protocol)],
            incarnation: self.incarnation(),
            unix_ms: self.clock().now_ms(),
            up_ms: millis(self.since().elapsed()),
            addresses: self.addresses().iter().map(Address::to_string).collect(),
            certificate_expires: unix_secs(credentials.expires_at()),
            authority_expires: unix_secs(credentials.authority_expires_at()),
            knows,
            sessions: self.session_infos(),
            unreachable: self.unreachable_infos(),
            queues: self.queue_infos(),
            given_up: self.given_up(),
            rejected: rejected.map(|(reason, count)| (gossip::label(reason), count)).collect(),
        }
    }

    fn session_infos(&self) -> Vec<SessionInfo> {
        let info = |link: Arc<Link>| {
            let session = link.session();
            let round_trip = Some(session.stats().round_trip).filter(|time| !time.is_zero());
            SessionInfo {
                peer: session.peer().name().to_owned(),
                path: session.local_address().scheme().to_owned(),
                round_trip_us: round_trip.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
                dialled: link.is_dialled(),
            }
        };
        let mut infos: Vec<_> = self.links().into_iter().map(info).collect();
        infos.sort_by(|one, other| one.peer.cmp(&other.peer));
        infos
    }

    fn unreachable_infos(&self) -> Vec<UnreachableInfo> {
        let info = |peer: Option<String>, addresses: &[Address], Unreached { why, silent }: Unreached| {
            UnreachableInfo { peer, addresses: events::addresses(addresses), why, silent }
        };
        let snapshot = self.snapshot();
        let peers = snapshot.nodes().filter_map(|record| {
            let problem = self.known_peer(record.id)?.problem()?;
            Some(info(Some(record.name.clone()), &record.addresses, problem))
        });
        let seeds = self.silent_seeds().list().into_iter();
        peers.chain(seeds.map(|(address, problem)| info(None, &[address], problem))).collect()
    }

    fn queue_infos(&self) -> Vec<QueueInfo> {
        let now = Instant::now();
        let actors: BTreeMap<_, _> = self.services_of_the_tree().collect();
        let info = |endpoint: Arc<dyn Endpoint>| {
            let (depth, oldest) = endpoint.depth(now);
            QueueInfo {
                service: endpoint.name().to_owned(),
                ready: endpoint.is_ready(),
                depth: depth as u64,
                capacity: endpoint.capacity() as u64,
                oldest_ms: millis(oldest),
                restarts: actors.get(endpoint.name()).map_or(0, |actor| actor.restarts),
            }
        };
        self.endpoints().into_iter().map(info).collect()
    }

    fn given_up(&self) -> BTreeMap<String, String> {
        let failed = self.services_of_the_tree().filter(|(_, actor)| actor.state == ActorState::Failed);
        failed.map(|(name, actor)| (name, events::why(actor.last_failure.unwrap_or_default()))).collect()
    }

    fn services_of_the_tree(&self) -> impl Iterator<Item = (String, ActorInfo)> {
        let prefix = format!("{ROOT}/service/");
        let actors = self.tree().list().into_iter();
        actors.filter_map(move |actor| Some((actor.path.strip_prefix(&prefix)?.to_owned(), actor)))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
