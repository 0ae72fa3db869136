//! The processor time of a thread.

use std::{fs, time::Duration};

use anyhow::Context as _;

/// What this thread has used so far, to the nanosecond. Linux alone tells.
pub(super) fn processor_time() -> anyhow::Result<Duration> {
    let path = "/proc/thread-self/schedstat";
    let told = fs::read_to_string(path).context(path)?;
    let nanos = told.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    nanos.map(Duration::from_nanos).with_context(|| format!("{path} begins with no number: {told}"))
}
