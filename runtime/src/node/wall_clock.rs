//! What a node believes the date to be. It numbers the node's lives, and says when a certificate is old.
//!
//! Everything that waits goes by tokio's clock instead.

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::duration::millis;

/// A clock that tells milliseconds since 1970.
#[derive(Clone)]
pub(crate) struct WallClock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl WallClock {
    #[cfg(feature = "testing")]
    pub(crate) fn of(now_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now_ms))
    }

    pub(crate) fn now_ms(&self) -> u64 {
        (self.0)()
    }
}

/// A date in seconds since 1970.
pub(crate) fn unix_secs(date: SystemTime) -> u64 {
    date.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

// === impl WallClock ===

impl Default for WallClock {
    /// The system's.
    fn default() -> Self {
        Self(Arc::new(|| millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())))
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WallClock").field(&self.now_ms()).finish()
    }
}
