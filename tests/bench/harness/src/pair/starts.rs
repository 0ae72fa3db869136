//! Service actors that start and stop in this process.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::{Instant, sleep};

use super::megabytes;
use crate::{
    load::Lifetimes,
    sample::{Figures, Sample},
    system::System,
    usage::Process,
};

/// What actors lived in may take this long to end after them.
const REST: Duration = Duration::from_millis(1);

pub(super) async fn measure<S: System>(length: Duration) -> Result<Sample> {
    let end = Instant::now() + length;
    let (mut actors, mut elapsed) = (0, Duration::ZERO);
    while Instant::now() < end {
        let lifetimes = Lifetimes::default();
        S::start_and_stop(lifetimes.clone()).await?;
        lifetimes.all_ended().await;
        let (more, took) = lifetimes.took();
        actors += more;
        elapsed += took;
        sleep(REST).await;
    }
    ensure!(actors > 0 && !elapsed.is_zero(), "nothing has started");
    let figures = Figures {
        ops_per_s: Some(actors as f64 / elapsed.as_secs_f64()),
        rss_mb: Some(megabytes(Process::this()?.peak_resident_bytes()?)),
        ..Figures::default()
    };
    Ok(Sample { figures, delivery: None })
}
