//! A service that tells who serves.

use std::time::Duration;

use qmesh::Context;

/// Work that takes a while, or none.
#[qmesh::service(name = "tests.Work")]
pub trait Work {
    /// The node that serves the call.
    #[idempotent]
    async fn whoami(&self, cx: &Context) -> String;
    /// The node that serves the call, after so many milliseconds. Such calls overlap.
    #[idempotent]
    async fn pause(&self, cx: &Context, millis: u64) -> String;
    /// The sum of all that this endpoint was told to add, after so many milliseconds in which nothing else runs.
    async fn add(&mut self, amount: u64, millis: u64) -> u64;
    /// A text of so many bytes, after so many milliseconds. Such calls overlap.
    async fn text(&self, bytes: usize, millis: u64) -> String;
}

/// Does the work.
#[derive(Debug, Default)]
pub struct Worker {
    sum: u64,
}

/// A server that does the work.
pub fn server() -> qmesh::Server<WorkContract, Worker> {
    WorkServer::new(Worker::default)
}

impl Work for Worker {
    async fn whoami(&self, cx: &Context) -> String {
        cx.node().to_owned()
    }

    async fn pause(&self, cx: &Context, millis: u64) -> String {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        cx.node().to_owned()
    }

    async fn add(&mut self, amount: u64, millis: u64) -> u64 {
        if millis > 0 {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
        self.sum += amount;
        self.sum
    }

    async fn text(&self, bytes: usize, millis: u64) -> String {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        "x".repeat(bytes)
    }
}
