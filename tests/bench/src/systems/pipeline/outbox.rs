//! Frames on their way out: whoever has one appends it, and one writer takes all that has gathered at once.

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Writer, frames};

/// A sender of one-way messages waits while more than this is queued.
const QUEUED_BYTES_MAX: usize = 256 * 1024;

/// What waits to be written. The busier the connection, the larger the writes.
#[derive(Default)]
pub(super) struct Outbox {
    queued: Mutex<BytesMut>,
    filled: Notify,
    emptied: Notify,
}

/// Takes what is in a buffer and leaves it with room for as much again.
pub(super) fn take(buffer: &mut BytesMut) -> Bytes {
    let room = BytesMut::with_capacity(buffer.len());
    std::mem::replace(buffer, room).freeze()
}

// === impl Outbox ===

impl Outbox {
    /// Appends one frame; returns how many bytes are queued.
    #[inline]
    pub(super) fn push(&self, id: u32, payload: &[u8]) -> usize {
        let mut queued = self.queued.lock();
        let was_empty = queued.is_empty();
        frames::put(&mut queued, id, payload);
        let length = queued.len();
        drop(queued);
        if was_empty {
            self.filled.notify_one();
        }
        length
    }

    /// Appends one frame, then waits while too much is queued. For one sender.
    #[inline]
    pub(super) async fn push_and_wait(&self, id: u32, payload: &[u8]) {
        if self.push(id, payload) > QUEUED_BYTES_MAX {
            self.emptied.notified().await;
        }
    }

    /// Writes what gathers, until the stream fails.
    pub(super) async fn write_to(&self, mut writer: impl Writer) -> Result<()> {
        loop {
            self.filled.notified().await;
            let batch = take(&mut self.queued.lock());
            self.emptied.notify_one();
            writer.write(batch).await?;
        }
    }
}
