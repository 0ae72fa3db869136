//! The nodes, as all scenarios have them.

use std::{hint::black_box, time::Duration};

use anyhow::{Context, Result};
use qmesh::{Address, Config, Identity, Node, NodeBuilder, SeedSource};
use qmesh_bench_harness::{certificates::Certificates, scenarios::Scenario, system::Target};
use tokio::time::{interval, timeout};

use super::placement::Placement;

/// How long a node may take to learn of its servers.
const JOINING_MAX: Duration = Duration::from_secs(10);

/// A node to be, with the defaults but for what the scenario says. This is the one place for a setting that is to hold
/// for all nodes of the bench.
pub(super) fn builder<P: Placement>(name: &str, scenario: &Scenario) -> NodeBuilder {
    let mut config = Config::default();
    config.shards = P::SHARDS;
    P::TRACING.configure(&mut config);
    config.quic.mtu_max = scenario.mtu;
    config.limits.message_bytes_max = config.limits.message_bytes_max.max(scenario.message_bytes_max());
    Node::builder(name).config(config).telemetry(P::TRACING.telemetry())
}

/// The identities of a mesh of one cell.
pub(super) fn identity(certificates: &Certificates) -> Result<Identity> {
    Ok(Identity::dev(certificates.folder().join("qmesh"))?)
}

/// The servers, as nodes to ask first.
pub(super) fn seeds(target: &Target) -> SeedSource {
    SeedSource::Addresses(target.addresses.iter().copied().map(Address::quic).collect())
}

/// Asks for the traffic of a node every second, for as long as it lives, where that is wanted.
pub(super) fn look_at(node: &Node, is_wanted: bool) {
    if !is_wanted {
        return;
    }
    let asked = node.clone();
    drop(node.spawn(async move {
        let mut seconds = interval(Duration::from_secs(1));
        loop {
            seconds.tick().await;
            let seen = asked.traffic();
            // As it would go to whoever asks.
            drop(black_box(serde_json::to_vec(&seen)));
        }
    }));
}

/// Waits until a service has so many endpoints.
pub(super) async fn wait_for(node: &Node, service: &str, endpoints: usize) -> Result<()> {
    let mut watch = node.directory().watch();
    let all_there = async {
        while node.directory().snapshot().endpoints(service).len() < endpoints {
            watch.next().await;
        }
    };
    timeout(JOINING_MAX, all_there).await.with_context(|| format!("no {endpoints} endpoints of {service}"))
}
