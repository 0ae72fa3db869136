//! How long the machine kept this process waiting, so that a bound in real time blames the right one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{millis, spawn};

/// How often it looks.
const STEP: Duration = millis(10);
/// Later than this is no timer's inaccuracy.
const LATE: Duration = millis(5);

/// A task that sleeps for short times and adds up by how much it wakes too late.
#[derive(Debug)]
pub struct Stalls {
    micros: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Stalls {
    /// Watches until it is dropped.
    #[must_use]
    pub fn watch() -> Self {
        let micros = Arc::new(AtomicU64::new(0));
        let lost = Arc::clone(&micros);
        let task = spawn(async move {
            loop {
                let start = Instant::now();
                sleep(STEP).await;
                let late = start.elapsed().saturating_sub(STEP);
                if late > LATE {
                    lost.fetch_add(u64::try_from(late.as_micros()).unwrap_or(u64::MAX), Relaxed);
                }
            }
        });
        Self { micros, task }
    }

    /// What was lost so far.
    #[must_use]
    pub fn lost(&self) -> Duration {
        Duration::from_micros(self.micros.load(Relaxed))
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.task.abort();
    }
}
