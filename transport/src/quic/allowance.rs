//! How many channels a peer may have open: few at first, and twice as many whenever it has half of them open.
//!
//! quinn keeps a place for each stream that the peer may open, whether it does or not: about 100 bytes, which for thousands of
//! channels would be most of what a session costs.

use std::sync::Arc;

use parking_lot::Mutex;
use quinn::{Connection, VarInt};

/// Channels that a peer may have open when a session begins.
const CHANNELS_FIRST: u32 = 64;

/// The channels of one session that its peer opens.
#[derive(Debug)]
pub(super) struct Allowance {
    open: Mutex<Open>,
    channels_max: u32,
}

#[derive(Debug)]
struct Open {
    channels: u32,
    allowed: u32,
}

/// A channel that the peer has opened, until both of its halves are dropped.
#[derive(Debug)]
pub(super) struct Accepted(Arc<Allowance>);

/// How many channels a peer may have open at first.
pub(super) fn first(channels_max: u32) -> u32 {
    channels_max.min(CHANNELS_FIRST)
}

impl Allowance {
    /// That of a session which begins.
    pub(super) fn new(channels_max: u32) -> Self {
        Self { open: Mutex::new(Open { channels: 0, allowed: first(channels_max) }), channels_max }
    }

    /// A further channel is open. More may be from now on, if that is half of what was allowed.
    pub(super) fn accept(self: &Arc<Self>, connection: &Connection) -> Arc<Accepted> {
        if let Some(more) = self.raised() {
            connection.set_max_concurrent_bi_streams(VarInt::from_u32(more));
        }
        Arc::new(Accepted(Arc::clone(self)))
    }

    fn raised(&self) -> Option<u32> {
        let mut open = self.open.lock();
        open.channels += 1;
        let raise = open.allowed < self.channels_max && open.channels >= open.allowed.div_ceil(2);
        raise.then(|| {
            open.allowed = open.allowed.saturating_mul(2).min(self.channels_max);
            open.allowed
        })
    }
}

// === impl Accepted ===

impl Drop for Accepted {
    fn drop(&mut self) {
        self.0.open.lock().channels -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_what_is_allowed_doubles_it_up_to_the_limit() {
        let allowance = Arc::new(Allowance::new(100));
        let raised: Vec<_> = (1..=100).filter_map(|open| Some((open, allowance.raised()?))).collect();
        assert_eq!(raised, [(32, 100)]);
        let allowance = Arc::new(Allowance::new(4096));
        let raised: Vec<_> = (1..=300).filter_map(|open| Some((open, allowance.raised()?))).collect();
        assert_eq!(raised, [(32, 128), (64, 256), (128, 512), (256, 1024)]);
        assert_eq!(Allowance::new(3).raised(), None, "the limit is the first");
    }

    #[test]
    fn channels_that_have_ended_do_not_count() {
        let allowance = Arc::new(Allowance::new(4096));
        for _ in 0..1000 {
            assert_eq!(allowance.raised(), None);
            drop(Accepted(Arc::clone(&allowance)));
        }
    }
}
