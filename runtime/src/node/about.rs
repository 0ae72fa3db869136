//! What a node says of itself when somebody looks for what is wrong.

use std::collections::BTreeMap;

use qmesh_transport::Address;

use crate::{
    control_api::{About, UnreachableInfo},
    duration::millis,
    events,
    node::{NodeInner, ROOT, gossip, peer::Unreached, traffic, wall_clock::unix_secs},
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
            sessions: traffic::sessions(self),
            unreachable: self.unreachable_infos(),
            queues: traffic::services(self),
            given_up: self.given_up(),
            rejected: rejected.map(|(reason, count)| (gossip::label(reason), count)).collect(),
        }
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

    fn given_up(&self) -> BTreeMap<String, String> {
        let failed = self.services_of_the_tree().filter(|(_, actor)| actor.state == ActorState::Failed);
        failed.map(|(name, actor)| (name, events::why(actor.last_failure.unwrap_or_default()))).collect()
    }

    /// The actors of the services, by name.
    pub(crate) fn services_of_the_tree(&self) -> impl Iterator<Item = (String, ActorInfo)> {
        let prefix = format!("{ROOT}/service/");
        let actors = self.tree().list().into_iter();
        actors.filter_map(move |actor| Some((actor.path.strip_prefix(&prefix)?.to_owned(), actor)))
    }
}
