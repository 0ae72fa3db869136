//! What a service does before it takes calls.

use std::{fmt, panic::AssertUnwindSafe, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};

use crate::{client::ServiceClient, node::NodeHandle};

/// What a warm-up may use: see [`Server::ready_when`](crate::Server::ready_when).
#[derive(Clone, Debug)]
pub struct WarmUp {
    pub(crate) node: NodeHandle,
}

/// Makes a service ready, in each of its lives anew.
#[derive(Clone)]
pub(crate) struct Hook(Arc<dyn Fn(WarmUp) -> BoxFuture<'static, Result<(), String>> + Send + Sync>);

impl WarmUp {
    /// A client of any service of the mesh. A call of the service that warms up goes to other nodes that serve it.
    #[must_use]
    pub fn client<T: ServiceClient>(&self) -> T {
        self.node.client()
    }

    /// The name of the node that is to serve.
    #[must_use]
    pub fn node(&self) -> &str {
        self.node.name()
    }
}

impl Hook {
    pub(crate) fn new<F, E>(warm_up: impl Fn(WarmUp) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        let warm_up = Arc::new(warm_up);
        Self(Arc::new(move |with| {
            let warm_up = Arc::clone(&warm_up);
            Box::pin(async move { warm_up(with).await.map_err(|error| error.to_string()) })
        }))
    }

    /// Runs it to its end. A panic is a failure.
    pub(crate) async fn run(&self, with: WarmUp) -> Result<(), String> {
        let warmed = AssertUnwindSafe((self.0)(with)).catch_unwind().await;
        warmed.unwrap_or_else(|_panic| Err("it panicked".to_owned()))
    }
}

// === impl Hook ===

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}
