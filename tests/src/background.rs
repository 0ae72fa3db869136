//! Callers that go on while a test does its worst.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::join_all;
use qmesh::Failure;
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use crate::{Tally, spawn};

/// Callers that call, one call after the other, until they are stopped.
#[derive(Debug)]
pub struct Background {
    /// What became of their calls.
    pub tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<()>>,
    last: watch::Sender<String>,
}

impl Background {
    /// Starts so many callers. A call answers with the name of the node that served it; between two calls a caller
    /// rests for `pace`.
    pub fn start<F>(
        callers: usize,
        pace: Duration,
        call: impl Fn() -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<String, Failure>> + Send + 'static,
    {
        let (tally, stop) = (Arc::new(Tally::default()), Arc::new(AtomicBool::new(false)));
        let last = watch::Sender::new(String::new());
        let run = |_| {
            let (tally, stop, call, last) =
                (Arc::clone(&tally), Arc::clone(&stop), call.clone(), last.clone());
            spawn(async move {
                while !stop.load(Relaxed) {
                    if let Ok(served) = tally.count(call().await) {
                        last.send_replace(served);
                    }
                    sleep(pace).await;
                }
            })
        };
        let callers = (0..callers).map(run).collect();
        Self { tally, stop, callers, last }
    }

    /// Waits until a call was served by that node.
    ///
    /// # Panics
    /// If none is within thirty seconds.
    pub async fn served_by(&self, node: &str) {
        let mut last = self.last.subscribe();
        let served =
            tokio::time::timeout(Duration::from_secs(30), last.wait_for(|served| served == node)).await;
        assert!(served.is_ok(), "no call was served by {node} within thirty seconds: {}", self.tally);
    }

    /// Waits until so many more calls were answered.
    ///
    /// # Panics
    /// If they are not within thirty seconds.
    pub async fn answers(&self, more: u64) {
        let mut last = self.last.subscribe();
        let enough = self.tally.answered() + more;
        let answered = tokio::time::timeout(Duration::from_secs(30), async {
            while self.tally.answered() < enough {
                // The sender is ours.
                drop(last.changed().await);
            }
        });
        assert!(
            answered.await.is_ok(),
            "no {more} calls were answered within thirty seconds: {}",
            self.tally
        );
    }

    /// Stops the callers, once their calls have ended.
    ///
    /// # Panics
    /// If a caller panicked, or a call does not end.
    pub async fn stop(self) -> Arc<Tally> {
        self.stop.store(true, Relaxed);
        let ended = tokio::time::timeout(Duration::from_secs(60), join_all(self.callers)).await;
        for ended in ended.expect("every call has an end") {
            ended.expect("a caller does not panic");
        }
        self.tally
    }
}
