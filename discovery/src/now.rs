//! The time, by both clocks.

use rustls_pki_types::UnixTime;
use tokio::time::Instant;

/// When something is judged: certificates by the date, silence by the other clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) wall: UnixTime,
    pub(crate) instant: Instant,
}

impl Now {
    /// The only place where gossip reads the clocks for what it judges.
    pub(crate) fn read() -> Self {
        Self { wall: UnixTime::now(), instant: Instant::now() }
    }
}
