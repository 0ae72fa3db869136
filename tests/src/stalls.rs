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

/// A task that sleeps for short times and notes by how much it wakes too late.
#[derive(Debug)]
pub struct Stalls {
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

/// In microseconds.
#[derive(Debug, Default)]
struct Seen {
    lost: AtomicU64,
    longest: AtomicU64,
}

impl Stalls {
    /// Watches until it is dropped.
    #[must_use]
    pub fn watch() -> Self {
        let seen = Arc::<Seen>::default();
        let noted = Arc::clone(&seen);
        let task = spawn(async move {
            loop {
                let start = Instant::now();
                sleep(STEP).await;
                let late = start.elapsed().saturating_sub(STEP);
                if late > LATE {
                    let micros = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
                    noted.lost.fetch_add(micros, Relaxed);
                    noted.longest.fetch_max(micros, Relaxed);
                }
            }
        });
        Self { seen, task }
    }

    /// What was lost so far.
    #[must_use]
    pub fn lost(&self) -> Duration {
        Duration::from_micros(self.seen.lost.load(Relaxed))
    }

    /// The most that was lost at once.
    #[must_use]
    pub fn longest(&self) -> Duration {
        Duration::from_micros(self.seen.longest.load(Relaxed))
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.task.abort();
    }
}
