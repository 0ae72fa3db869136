//! Frames on their way out of a channel.
//!
//! Whoever has a frame appends it; one writer takes all that has gathered and writes it at once. So the busier a
//! channel is, the larger its writes, and nobody waits for anybody.

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use qmesh_transport::{ChannelWriter, WriteError};
use tokio::sync::Notify;

/// The channel has ended; nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutboxClosed;

/// The largest batch whose buffer is kept for the next one, in bytes.
const KEPT: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    /// Wakes the writer.
    filled: Notify,
    /// Wakes those who wait for room.
    emptied: Notify,
    high_water: usize,
}

#[derive(Debug, Default)]
struct State {
    buffer: BytesMut,
    /// Bytes that the writer has taken so far.
    taken: u64,
    /// How large the last batch was: the next one is likely as large, and is given that room at once.
    last: usize,
    ending: bool,
    closed: bool,
}

impl Outbox {
    /// An outbox whose patient users wait while more than `high_water` bytes are queued.
    pub(crate) fn new(high_water: usize) -> Self {
        Self { state: Mutex::default(), filled: Notify::new(), emptied: Notify::new(), high_water }
    }

    /// Appends what `write` writes, and returns where in the stream of all bytes it begins.
    #[inline]
    pub(crate) fn push(&self, write: impl FnOnce(&mut BytesMut)) -> Result<u64, OutboxClosed> {
        let mut state = self.state.lock();
        if state.closed || state.ending {
            return Err(OutboxClosed);
        }
        let first = state.buffer.is_empty();
        if first {
            let room = state.last;
            state.buffer.reserve(room);
        }
        let at = state.taken + state.buffer.len() as u64;
        write(&mut state.buffer);
        let wake = first && !state.buffer.is_empty();
        drop(state);
        if wake {
            self.filled.notify_one();
        }
        Ok(at)
    }

    /// As [`push`](Self::push), unless more than `limit` bytes are queued: then `room` is false and nothing is appended.
    #[inline]
    pub(crate) fn push_below(
        &self,
        limit: usize,
        room: &mut bool,
        write: impl FnOnce(&mut BytesMut),
    ) -> Result<u64, OutboxClosed> {
        self.push(|buffer| {
            *room = buffer.len() <= limit;
            if *room {
                write(buffer);
            }
        })
    }

    /// Whether more than the high-water mark is queued.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.state.lock().buffer.len() > self.high_water
    }

    /// Waits until no more than the high-water mark is queued, or the channel has ended.
    pub(crate) async fn room(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            {
                let state = self.state.lock();
                if state.closed || state.buffer.len() <= self.high_water {
                    return;
                }
            }
            emptied.await;
        }
    }

    /// The writer's side: all that has gathered, at least one byte; `None` once everything is taken after [`end`](Self::end).
    pub(crate) async fn take(&self) -> Option<Bytes> {
        loop {
            {
                let mut state = self.state.lock();
                if !state.buffer.is_empty() {
                    let batch = state.buffer.split().freeze();
                    state.taken += batch.len() as u64;
                    state.last = batch.len().min(self.high_water);
                    if batch.len() > KEPT {
                        // What a burst took goes with it: it would be the channel's for as long as nothing else is sent.
                        state.buffer = BytesMut::new();
                    }
                    drop(state);
                    self.emptied.notify_waiters();
                    return Some(batch);
                }
                if state.ending || state.closed {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }

    /// Writes what gathers until everything is written after [`end`](Self::end), or the channel has ended.
    pub(crate) async fn write_to(&self, writer: &mut ChannelWriter) -> Result<(), WriteError> {
        while let Some(batch) = self.take().await {
            writer.write_all(batch).await?;
        }
        Ok(())
    }

    /// The bytes above which patient users wait.
    pub(crate) const fn high_water(&self) -> usize {
        self.high_water
    }

    /// Accepts no further frame; what is queued is still written.
    pub(crate) fn end(&self) {
        self.state.lock().ending = true;
        self.filled.notify_one();
    }

    /// The channel has ended: drops what is queued and returns how many bytes had been taken by the writer.
    pub(crate) fn close(&self) -> u64 {
        let mut state = self.state.lock();
        state.closed = true;
        state.buffer = BytesMut::new();
        let taken = state.taken;
        drop(state);
        self.emptied.notify_waiters();
        self.filled.notify_one();
        taken
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;

    use super::*;

    fn put(outbox: &Outbox, bytes: &[u8]) -> Result<u64, OutboxClosed> {
        outbox.push(|buffer| buffer.put_slice(bytes))
    }

    #[tokio::test]
    async fn all_that_gathered_is_taken_at_once() {
        let outbox = Outbox::new(1024);
        assert_eq!(put(&outbox, b"one"), Ok(0));
        assert_eq!(put(&outbox, b"two"), Ok(3));
        assert_eq!(outbox.take().await.unwrap(), "onetwo");
        assert_eq!(put(&outbox, b"three"), Ok(6), "places count on");
    }

    #[tokio::test]
    async fn what_is_queued_is_still_taken_after_the_end() {
        let outbox = Outbox::new(1024);
        put(&outbox, b"last").unwrap();
        outbox.end();
        assert_eq!(put(&outbox, b"more"), Err(OutboxClosed));
        assert_eq!(outbox.take().await.unwrap(), "last");
        assert_eq!(outbox.take().await, None);
    }

    #[tokio::test]
    async fn closing_tells_how_much_was_taken() {
        let outbox = Outbox::new(1024);
        put(&outbox, b"taken").unwrap();
        outbox.take().await.unwrap();
        put(&outbox, b"lost").unwrap();
        assert_eq!(outbox.close(), 5);
        assert_eq!(outbox.take().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_room_gets_it_when_the_writer_takes() {
        let outbox = std::sync::Arc::new(Outbox::new(4));
        put(&outbox, b"12345").unwrap();
        assert!(outbox.is_full());
        let waiting = crate::task::spawn({
            let outbox = outbox.clone();
            async move { outbox.room().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "there is no room yet");
        outbox.take().await.unwrap();
        tokio::task::yield_now().await;
        assert!(waiting.is_finished(), "the writer took everything");
    }
}
