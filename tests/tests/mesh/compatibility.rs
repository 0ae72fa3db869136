//! Two versions of a contract agree on all they have in common, method by method.

use std::sync::atomic::Ordering::Relaxed;

use qmesh::{CallError, Failure, Node, Outcome, Reason};
use qmesh_tests::{Mesh, expect_panics, secs, watch};

/// The contract as it was.
mod old {
    use qmesh::prelude::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Item {
        pub(crate) name: String,
    }

    #[qmesh::service(name = "tests.Shop")]
    pub(crate) trait Shop {
        async fn find(&self, name: String) -> Item;
        async fn store(&mut self, item: Item) -> u64;
        async fn price(&self, name: String) -> u32;
        async fn close(&mut self) -> bool;
    }

    #[derive(Default)]
    pub(crate) struct Shelf(u64);

    impl Shop for Shelf {
        async fn find(&self, name: String) -> Item {
            Item { name }
        }

        async fn store(&mut self, item: Item) -> u64 {
            self.0 += item.name.len() as u64;
            self.0
        }

        async fn price(&self, _name: String) -> u32 {
            7
        }

        async fn close(&mut self) -> bool {
            true
        }
    }
}

/// The contract as it became: `Item` has one field more, `rename` is new, `price` wants a currency, `close` is gone.
mod new {
    use qmesh::prelude::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Item {
        pub(crate) name: String,
        #[serde(default)]
        pub(crate) weight: u32,
    }

    #[qmesh::service(name = "tests.Shop")]
    pub(crate) trait Shop {
        async fn rename(&mut self, from: String, to: String) -> bool;
        async fn find(&self, name: String) -> Item;
        async fn store(&mut self, item: Item) -> u64;
        async fn price(&self, name: String, currency: String) -> u32;
    }

    #[derive(Default)]
    pub(crate) struct Shelf(u64);

    impl Shop for Shelf {
        async fn rename(&mut self, _from: String, _to: String) -> bool {
            true
        }

        async fn find(&self, name: String) -> Item {
            Item { name, weight: 3 }
        }

        async fn store(&mut self, item: Item) -> u64 {
            self.0 += item.name.len() as u64 + u64::from(item.weight);
            self.0
        }

        async fn price(&self, _name: String, _currency: String) -> u32 {
            8
        }
    }
}

async fn host_and_guest(host: qmesh::NodeBuilder, mesh: &Mesh) -> [Node; 2] {
    let nodes = [host.start().await.unwrap(), mesh.node("guest").start().await.unwrap()];
    watch::endpoints(&nodes[1], "tests.Shop", 1).await;
    nodes
}

fn refused(failure: &Failure, reason: Reason, both_sides: &[&str]) {
    assert_eq!((failure.outcome(), failure.reason()), (Outcome::NotExecuted, reason), "{failure}");
    for side in both_sides {
        assert!(failure.detail().contains(side), "`{side}` is not in: {failure}");
    }
}

const OLD_PRICE: &str = "price(name: String) -> u32";
const NEW_PRICE: &str = "price(name: String, currency: String) -> u32";

#[tokio::test(start_paused = true)]
async fn an_old_client_calls_a_new_service_where_they_agree() {
    let mesh = Mesh::new();
    let host = mesh.node("node-0").serve(new::ShopServer::new(new::Shelf::default));
    let nodes = host_and_guest(host, &mesh).await;
    let shop = nodes[1].client::<old::ShopClient>();
    assert_eq!(shop.find("tea").await.unwrap(), old::Item { name: "tea".into() });
    assert_eq!(shop.store(old::Item { name: "tea".into() }).await.unwrap(), 3);
    let failure = shop.price("tea").timeout(secs(2)).await.unwrap_err();
    refused(&failure, Reason::Incompatible, &[OLD_PRICE, NEW_PRICE]);
    let failure = shop.close().timeout(secs(2)).await.unwrap_err();
    refused(&failure, Reason::UnknownMethod, &["close", "rename, find, store, price"]);
    assert_eq!(shop.find("tea").await.unwrap(), old::Item { name: "tea".into() });
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_client_calls_an_old_service_where_they_agree() {
    let mesh = Mesh::new();
    let host = mesh.node("node-0").serve(old::ShopServer::new(old::Shelf::default));
    let nodes = host_and_guest(host, &mesh).await;
    let shop = nodes[1].client::<new::ShopClient>();
    assert_eq!(shop.find("tea").await.unwrap(), new::Item { name: "tea".into(), weight: 0 });
    assert_eq!(shop.store(new::Item { name: "tea".into(), weight: 9 }).await.unwrap(), 3);
    let failure = shop.price("tea", "EUR").timeout(secs(2)).await.unwrap_err();
    refused(&failure, Reason::Incompatible, &[OLD_PRICE, NEW_PRICE]);
    let failure = shop.rename("tea", "coffee").timeout(secs(2)).await.unwrap_err();
    refused(&failure, Reason::UnknownMethod, &["rename", "find, store, price, close"]);
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn among_both_versions_a_call_finds_one_that_has_its_method() {
    let mesh = Mesh::new();
    let host = mesh.node("node-0").serve(old::ShopServer::new(old::Shelf::default));
    let [host, guest] = host_and_guest(host, &mesh).await;
    let newer = mesh.node("newer").serve(new::ShopServer::new(new::Shelf::default)).start().await.unwrap();
    watch::endpoints(&guest, "tests.Shop", 2).await;
    let (old_shop, new_shop) = (guest.client::<old::ShopClient>(), guest.client::<new::ShopClient>());
    for _ in 0..10 {
        assert_eq!(old_shop.price("tea").await.unwrap(), 7);
        assert_eq!(new_shop.price("tea", "EUR").await.unwrap(), 8);
    }
    Mesh::end([host, guest, newer]).await;
}

#[tokio::test(start_paused = true)]
async fn a_tool_with_wrong_arguments_is_told_what_is_wrong() {
    let mesh = Mesh::new();
    let host = mesh.node("node-0").serve(old::ShopServer::new(old::Shelf::default));
    let nodes = host_and_guest(host, &mesh).await;
    let wrong = serde_json::json!({"name": 7});
    let CallError::Failed(failure) =
        nodes[1].call_json("tests.Shop", "find", &wrong, secs(2)).await.unwrap_err()
    else {
        panic!("the service has no error of its own")
    };
    refused(&failure, Reason::BadArguments, &["invalid type"]);
    Mesh::end(nodes).await;
}

/// The same signatures; only here may a call run twice.
mod careless {
    #[qmesh::service(name = "tests.Till")]
    pub(crate) trait Till {
        #[idempotent]
        async fn charge(&self, cents: u64) -> u64;
    }
}

mod careful {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    };

    use qmesh_tests::EXPECTED;

    #[qmesh::service(name = "tests.Till")]
    pub(crate) trait Till {
        async fn charge(&self, cents: u64) -> u64;
    }

    #[derive(Clone, Default)]
    pub(crate) struct Drawer(pub(crate) Arc<AtomicU64>);

    impl Till for Drawer {
        async fn charge(&self, cents: u64) -> u64 {
            self.0.fetch_add(cents, Relaxed);
            panic!("{EXPECTED}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_runs_twice_only_if_both_sides_allow_it() {
    expect_panics();
    let (mesh, drawer) = (Mesh::new(), careful::Drawer::default());
    let serve = |name: &str| {
        let drawer = drawer.clone();
        mesh.node(name).serve(careful::TillServer::new(move || drawer.clone())).start()
    };
    let nodes = [
        serve("node-0").await.unwrap(),
        serve("two").await.unwrap(),
        mesh.node("guest").start().await.unwrap(),
    ];
    watch::agree(&nodes, secs(10)).await;
    let careless = nodes[2].client::<careless::TillClient>();
    let failure = careless.charge(100).timeout(secs(3)).await.unwrap_err();
    assert_eq!((failure.outcome(), failure.reason()), (Outcome::Unknown, Reason::Panicked), "{failure}");
    assert_eq!(drawer.0.load(Relaxed), 100, "charged once");
    Mesh::end(nodes).await;
}
