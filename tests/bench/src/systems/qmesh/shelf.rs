//! A shelf of small services, each of a contract and a name of its own: eight for S10's senders, all for what a service
//! or a channel costs.

use std::sync::Arc;

use anyhow::Result;
use futures_util::future::BoxFuture;
use qmesh::{Node, NodeBuilder};
use qmesh_bench_harness::{
    host::Host,
    load::{Counter, Flow, Life, Lifetimes},
};

use super::peer::{Message, message, once};

/// Sends a flow to a service of the shelf.
pub(super) type Sender = fn(Node, Flow) -> BoxFuture<'static, Result<()>>;
/// Calls a service of the shelf once.
pub(super) type Ping = fn(Node) -> BoxFuture<'static, Result<()>>;
type Factory = Arc<dyn Fn() -> Shelved + Send + Sync>;
type Add = fn(NodeBuilder, Factory) -> NodeBuilder;

/// The state of each service.
#[derive(Default)]
pub(super) struct Shelved {
    counter: Option<Counter>,
    _life: Option<Life>,
}

/// Makes a contract for each name, and tables of what can be done with each.
macro_rules! shelf {
    ($($module:ident = $name:literal),+ $(,)?) => {
        $(mod $module {
            use qmesh::ServiceClient as _;

            use super::{BoxFuture, Factory, Flow, Message, Node, NodeBuilder, Result, Shelved, message};

            #[qmesh::service(name = $name)]
            pub(crate) trait Small {
                #[idempotent]
                async fn ping(&self);
                #[oneway]
                async fn tell(&mut self, message: Message);
            }

            impl Small for Shelved {
                async fn ping(&self) {}

                async fn tell(&mut self, message: Message) {
                    if let Some(counter) = &mut self.counter {
                        counter.handle(&*message).await;
                    }
                }
            }

            pub(super) fn add(builder: NodeBuilder, factory: Factory) -> NodeBuilder {
                builder.serve(SmallServer::new(move || factory()).on_shard())
            }

            pub(super) fn send_all(node: Node, mut flow: Flow) -> BoxFuture<'static, Result<()>> {
                Box::pin(async move {
                    let client = node.client::<SmallClient>().pinned();
                    while let Some(bytes) = flow.next() {
                        client.tell(message(bytes)?).await?;
                    }
                    Ok(())
                })
            }

            pub(super) fn ping(node: Node) -> BoxFuture<'static, Result<()>> {
                Box::pin(async move { Ok(node.client::<SmallClient>().ping().await?) })
            }
        })+

        const ADDERS: &[Add] = &[$($module::add),+];
        /// A sender to each service.
        pub(super) static SENDERS: &[Sender] = &[$($module::send_all),+];
        /// A call of each service.
        pub(super) static PINGS: &[Ping] = &[$($module::ping),+];
    };
}

shelf! {
    s00 = "bench.Small00", s01 = "bench.Small01", s02 = "bench.Small02", s03 = "bench.Small03",
    s04 = "bench.Small04", s05 = "bench.Small05", s06 = "bench.Small06", s07 = "bench.Small07",
    s08 = "bench.Small08", s09 = "bench.Small09", s10 = "bench.Small10", s11 = "bench.Small11",
    s12 = "bench.Small12", s13 = "bench.Small13", s14 = "bench.Small14", s15 = "bench.Small15",
}

/// Adds a counting service for each of the scenario's one-way senders.
pub(super) fn counting(builder: NodeBuilder, host: &Host) -> NodeBuilder {
    ADDERS.iter().take(host.scenario.services()).fold(builder, |builder, add| {
        let counting = |counter| Shelved { counter: Some(counter), ..Shelved::default() };
        add(builder, Arc::new(once(host.counter(), counting)))
    })
}

/// Adds so many services that do nothing.
pub(super) fn idle(builder: NodeBuilder, count: usize) -> NodeBuilder {
    ADDERS.iter().take(count).fold(builder, |builder, add| add(builder, Arc::new(Shelved::default)))
}

/// Adds all services; each has a life.
pub(super) fn living(builder: NodeBuilder, lifetimes: &Lifetimes) -> NodeBuilder {
    ADDERS.iter().fold(builder, |builder, add| {
        let lifetimes = lifetimes.clone();
        add(builder, Arc::new(move || Shelved { _life: Some(lifetimes.begin()), ..Shelved::default() }))
    })
}
