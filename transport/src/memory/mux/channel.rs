//! One channel of a side's: what the peer writes, and what we write.

use std::{collections::VecDeque, task::Waker};

use bytes::{Buf, Bytes, BytesMut};

use crate::ResetCode;

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing,
}

/// What the peer writes.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    pub(super) unread: VecDeque<Bytes>,
    pub(super) unread_bytes: usize,
    /// Read, but not yet granted anew to the peer.
    pub(super) ungranted: u32,
    pub(super) end: Option<InEnd>,
    pub(super) stopped: bool,
    pub(super) dropped: bool,
    pub(super) reader: Option<Waker>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum InEnd {
    Finished,
    Reset(ResetCode),
}

/// What we write.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Bytes that the peer has room for.
    pub(super) credit: u32,
    pub(super) ended: bool,
    pub(super) stopped: Option<ResetCode>,
    pub(super) dropped: bool,
    pub(super) writer: Option<Waker>,
    pub(super) stop_watcher: Option<Waker>,
}

// === impl Channel ===

impl Channel {
    pub(super) fn new(window: u32) -> Self {
        let outgoing = Outgoing {
            credit: window,
            ended: false,
            stopped: None,
            dropped: false,
            writer: None,
            stop_watcher: None,
        };
        Self { incoming: Incoming::default(), outgoing }
    }

    pub(super) fn is_over(&self) -> bool {
        self.incoming.end.is_some() && self.outgoing.ended
    }

    /// Somebody has a handle of it, or will have one.
    pub(super) fn is_held(&self) -> bool {
        !(self.incoming.dropped && self.outgoing.dropped)
    }

    pub(super) fn wake(&mut self) {
        self.incoming.wake();
        self.outgoing.wake();
    }
}

impl Incoming {
    /// Moves up to `limit` bytes into `buffer`.
    pub(super) fn take(&mut self, buffer: &mut BytesMut, limit: usize) -> usize {
        let mut read = 0;
        while let Some(front) = self.unread.front_mut().filter(|_| read < limit) {
            let length = front.len().min(limit - read);
            buffer.extend_from_slice(&front[..length]);
            front.advance(length);
            read += length;
            if front.is_empty() {
                self.unread.pop_front();
            }
        }
        self.unread_bytes -= read;
        read
    }

    pub(super) fn clear(&mut self) {
        self.unread.clear();
        self.unread_bytes = 0;
    }

    pub(super) fn wake(&mut self) {
        self.reader.take().into_iter().for_each(Waker::wake);
    }
}

impl Outgoing {
    pub(super) fn wake(&mut self) {
        self.writer.take().into_iter().chain(self.stop_watcher.take()).for_each(Waker::wake);
    }
}
