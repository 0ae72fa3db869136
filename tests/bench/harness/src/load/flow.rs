//! Numbered messages, as many as fit in a time or as were asked for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::time::Instant;

/// How many messages a flow makes between two looks at the clock, if they are small.
const MESSAGES_PER_LOOK: u64 = 64;
/// From this size on it looks at the clock for each of them.
const LARGE_BYTES: usize = 16 << 10;

/// Messages that carry their number.
#[derive(Debug)]
pub struct Flow {
    end: End,
    next: u64,
    message: Vec<u8>,
    messages_per_look: u64,
    made: Arc<AtomicU64>,
}

/// When a flow ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    At(Instant),
    After(u64),
}

/// What a driver orders of a server: items of this size, for so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The size of an item.
    pub item_bytes: u32,
    /// For how long, in milliseconds.
    pub length_ms: u32,
}

/// The number that [`Flow`] put into a message.
#[inline]
pub(crate) fn sequence(payload: &[u8]) -> Option<u64> {
    payload.first_chunk().copied().map(u64::from_le_bytes)
}

// === impl Flow ===

impl Flow {
    /// A flow of messages of this size, and the count of those it has made.
    pub(crate) fn new(payload_bytes: usize, end: End) -> Result<(Self, Arc<AtomicU64>)> {
        ensure!(payload_bytes >= size_of::<u64>(), "no room for a sequence number");
        let made = Arc::<AtomicU64>::default();
        let messages_per_look = if payload_bytes < LARGE_BYTES { MESSAGES_PER_LOOK } else { 1 };
        let message = vec![0x5a; payload_bytes];
        Ok((Self { end, next: 0, message, messages_per_look, made: made.clone() }, made))
    }

    /// The next message, unless that is all.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "an item borrows from the flow")]
    pub fn next(&mut self) -> Option<&[u8]> {
        let over = match self.end {
            End::At(end) => self.next.is_multiple_of(self.messages_per_look) && Instant::now() >= end,
            End::After(count) => self.next == count,
        };
        if over {
            return None;
        }
        *self.message.first_chunk_mut()? = self.next.to_le_bytes();
        self.next += 1;
        self.made.store(self.next, Relaxed);
        Some(&self.message)
    }

    /// The messages as values, for systems that take them so.
    pub fn into_messages(mut self) -> impl Iterator<Item = Bytes> + Send + 'static {
        std::iter::from_fn(move || self.next().map(Bytes::copy_from_slice))
    }
}

// === impl Order ===

impl Order {
    pub(crate) fn new(item_bytes: usize, length: Duration) -> Result<Self> {
        Ok(Self { item_bytes: item_bytes.try_into()?, length_ms: length.as_millis().try_into()? })
    }

    /// The items, from now on.
    ///
    /// # Errors
    /// They are too small for their number.
    pub fn flow(self) -> Result<Flow> {
        let end = Instant::now() + Duration::from_millis(self.length_ms.into());
        Ok(Flow::new(self.item_bytes as usize, End::At(end))?.0)
    }

    /// The order as bytes, for systems without types.
    #[must_use]
    pub fn encode(self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(8);
        bytes.put_u32(self.item_bytes);
        bytes.put_u32(self.length_ms);
        bytes.freeze()
    }

    /// The reverse of [`encode`](Self::encode).
    ///
    /// # Errors
    /// They are no order.
    pub fn decode(mut bytes: &[u8]) -> Result<Self> {
        let fields = || -> Result<_, bytes::TryGetError> { Ok((bytes.try_get_u32()?, bytes.try_get_u32()?)) };
        let (item_bytes, length_ms) = { fields }().context("no order")?;
        Ok(Self { item_bytes, length_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_numbers_its_messages_and_ends_in_time() {
        let end = End::At(Instant::now() + Duration::from_millis(5));
        let (mut flow, made) = Flow::new(64, end).unwrap();
        assert_eq!(flow.next().map(sequence), Some(Some(0)));
        let messages: Vec<_> = flow.into_messages().collect();
        assert!(messages.iter().zip(1..).all(|(message, number)| sequence(message) == Some(number)));
        assert_eq!(made.load(Relaxed), messages.len() as u64 + 1);
    }

    #[test]
    fn a_flow_ends_after_its_count() {
        let (flow, made) = Flow::new(8, End::After(130)).unwrap();
        assert_eq!(flow.into_messages().count(), 130);
        assert_eq!(made.load(Relaxed), 130);
    }

    #[test]
    fn an_order_is_read_as_it_was_written() {
        let order = Order::new(100, Duration::from_secs(3)).unwrap();
        assert_eq!(Order::decode(&order.encode()).unwrap(), order);
        assert!(Order::decode(&order.encode()[..7]).is_err());
    }
}
