//! Rolling restarts: the endpoints of a service are replaced one after the other by another version, under load from
//! callers of both versions, and no call fails.

use std::time::Duration;

use qmesh::{Failure, Node, NodeBuilder};
use qmesh_tests::{Background, Mesh, millis, watch};

/// Version N.
mod old {
    use qmesh::prelude::*;

    #[derive(Serialize, Deserialize)]
    pub(crate) struct Parcel {
        pub(crate) weight: u32,
    }

    #[qmesh::service(name = "tests.Depot")]
    pub(crate) trait Depot {
        #[idempotent]
        async fn weigh(&self, cx: &Context, parcel: Parcel) -> String;
        async fn store(&mut self, cx: &Context, parcel: Parcel) -> String;
    }

    #[derive(Default)]
    pub(crate) struct Shed(u32);

    impl Depot for Shed {
        async fn weigh(&self, cx: &Context, _parcel: Parcel) -> String {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            cx.node().to_owned()
        }

        async fn store(&mut self, cx: &Context, parcel: Parcel) -> String {
            self.0 += parcel.weight;
            cx.node().to_owned()
        }
    }
}

/// Version N+1: a parcel has one field more, and the depot two methods more.
mod new {
    use qmesh::prelude::*;

    #[derive(Serialize, Deserialize)]
    pub(crate) struct Parcel {
        pub(crate) weight: u32,
        #[serde(default)]
        pub(crate) fragile: bool,
    }

    #[qmesh::service(name = "tests.Depot")]
    pub(crate) trait Depot {
        async fn count(&mut self, cx: &Context) -> String;
        #[oneway]
        async fn remark(&mut self, text: String);
        #[idempotent]
        async fn weigh(&self, cx: &Context, parcel: Parcel) -> String;
        async fn store(&mut self, cx: &Context, parcel: Parcel) -> String;
    }

    #[derive(Default)]
    pub(crate) struct Hall(u32, bool);

    impl Depot for Hall {
        async fn count(&mut self, cx: &Context) -> String {
            cx.node().to_owned()
        }

        async fn remark(&mut self, _text: String) {}

        async fn weigh(&self, cx: &Context, _parcel: Parcel) -> String {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            cx.node().to_owned()
        }

        async fn store(&mut self, cx: &Context, parcel: Parcel) -> String {
            self.0 += parcel.weight;
            self.1 |= parcel.fragile;
            cx.node().to_owned()
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Version {
    Old,
    New,
}

fn serve(builder: NodeBuilder, version: Version) -> NodeBuilder {
    match version {
        Version::Old => builder.serve(old::DepotServer::new(old::Shed::default)),
        Version::New => builder.serve(new::DepotServer::new(new::Hall::default)),
    }
}

/// Callers of the old version, and of the new one.
fn callers(guest: &Node, pace: Duration) -> [Background; 2] {
    let (old, new) = (guest.client::<old::DepotClient>(), guest.client::<new::DepotClient>());
    let old = move || {
        let old = old.clone();
        async move {
            old.weigh(old::Parcel { weight: 1 }).await?;
            old.store(old::Parcel { weight: 1 }).await
        }
    };
    let new = move || {
        let new = new.clone();
        async move {
            new.weigh(new::Parcel { weight: 1, fragile: true }).await?;
            new.store(new::Parcel { weight: 1, fragile: true }).await
        }
    };
    [Background::start(8, pace, old), Background::start(8, pace, new)]
}

/// Three endpoints of one version become three of the other.
async fn roll(node: impl Fn(&str) -> NodeBuilder, [from, to]: [Version; 2], pace: Duration) -> u64 {
    let mut endpoints = Vec::new();
    for name in ["one", "two", "three"] {
        endpoints.push((name, serve(node(name), from).start().await.unwrap()));
    }
    let guest = node("guest").start().await.unwrap();
    watch::endpoints(&guest, "tests.Depot", 3).await;
    let load = callers(&guest, pace);
    let counting = async |guest: &Node| -> Result<(), Failure> {
        let client = guest.client::<new::DepotClient>();
        for _ in 0..20 {
            client.count().await?;
            client.remark("counted").await?;
        }
        Ok(())
    };
    let mut again = Vec::new();
    for (name, endpoint) in endpoints {
        for load in &load {
            load.served_by(name).await;
        }
        if from == Version::New {
            counting(&guest).await.expect("there is one left that has the method");
        }
        endpoint.shutdown().await;
        drop(endpoint);
        let endpoint = serve(node(name), to).start().await.unwrap();
        watch::endpoints(&guest, "tests.Depot", 3).await;
        for load in &load {
            load.served_by(name).await;
        }
        again.push(endpoint);
        if to == Version::New {
            counting(&guest).await.expect("there is one that has the method");
        }
    }
    let mut answered = 0;
    for load in load {
        let tally = load.stop().await;
        tally.assert_no_failure();
        answered += tally.answered();
    }
    Mesh::end(again.into_iter().chain([guest])).await;
    answered
}

const BOTH_WAYS: [[Version; 2]; 2] = [[Version::Old, Version::New], [Version::New, Version::Old]];

#[tokio::test(start_paused = true)]
async fn a_rolling_restart_fails_no_call_in_either_direction() {
    for versions in BOTH_WAYS {
        let mesh = Mesh::new();
        let lobby = mesh.node("node-0").start().await.unwrap();
        let answered = roll(|name| mesh.node(name), versions, millis(1)).await;
        println!("three endpoints replaced: {answered} calls answered, none failed");
        Mesh::end([lobby]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_over_quic_fails_no_call() {
    for versions in BOTH_WAYS {
        let mesh = Mesh::new();
        let lobby = mesh.quic_node("lobby", None).start().await.unwrap();
        let answered = roll(|name| mesh.quic_node(name, Some(&lobby)), versions, millis(2)).await;
        println!("three endpoints replaced: {answered} calls answered, none failed");
        lobby.shutdown().await;
    }
}
