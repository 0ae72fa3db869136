//! A point in time, as spans have it: the time of day, and the one by which durations are measured.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// A point in time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) wall: SystemTime,
    at: Instant,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self { wall: opentelemetry::time::now(), at: Instant::now() }
    }

    /// One that has passed.
    pub(crate) fn of(past: Instant) -> Self {
        let now = Self::now();
        let wall = now.wall.checked_sub(now.at.saturating_duration_since(past)).unwrap_or(now.wall);
        Self { wall, at: past }
    }

    pub(crate) fn earlier(self, other: Self) -> Self {
        if other.at < self.at { other } else { self }
    }

    pub(crate) fn since(self, before: Self) -> Duration {
        self.at.saturating_duration_since(before.at)
    }
}
