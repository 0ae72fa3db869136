//! The two halves of a QUIC stream as a channel's halves.

use std::{
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{BufMut, Bytes, BytesMut};
use quinn::{RecvStream, SendStream, StoppedError, VarInt};
use tokio_util::io::poll_read_buf;

use super::{allowance::Accepted, session::Link};
use crate::{RawReader, RawWriter, ReadError, ResetCode, SessionClosed, WriteError};

/// Room to make for a read, in bytes: little for a channel that is idle, more for each read that found too little.
const READ_ROOM: std::ops::RangeInclusive<usize> = 512..=64 * 1024;

pub(super) struct QuicReader {
    stream: RecvStream,
    link: Arc<Link>,
    /// Held while it is open.
    _accepted: Option<Arc<Accepted>>,
    /// Room for the next read.
    room: usize,
    /// How reading ended: quinn itself forgets a reset, or a stop, after it told of it once.
    end: Option<End>,
}

enum End {
    Finished,
    Failed(ReadError),
}

pub(super) struct QuicWriter {
    stream: SendStream,
    link: Arc<Link>,
    /// Held while it is open.
    _accepted: Option<Arc<Accepted>>,
    /// Neither finished nor reset by us.
    open: bool,
    stopped: Option<Stopped>,
}

type Stopped = Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>> + Send + Sync>>;

// === impl QuicReader ===

impl QuicReader {
    pub(super) fn new(stream: RecvStream, link: Arc<Link>, accepted: Option<Arc<Accepted>>) -> Self {
        Self { stream, link, _accepted: accepted, room: *READ_ROOM.start(), end: None }
    }

    fn end(&mut self, error: io::Error) -> ReadError {
        use quinn::ReadError as Quinn;
        let error = match error.downcast::<Quinn>() {
            Ok(Quinn::Reset(code)) => ReadError::Reset(reset_code(code)),
            Ok(Quinn::ConnectionLost(error)) => ReadError::Session(self.link.ended(&error)),
            Ok(Quinn::ClosedStream) => ReadError::Stopped,
            Ok(other @ (Quinn::IllegalOrderedRead | Quinn::ZeroRttRejected)) => {
                ReadError::Session(SessionClosed::Transport(other.to_string()))
            }
            Err(other) => ReadError::Session(SessionClosed::Transport(other.to_string())),
        };
        self.end = Some(End::Failed(error.clone()));
        error
    }
}

impl RawReader for QuicReader {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
        limit: usize,
    ) -> Poll<Result<usize, ReadError>> {
        match &self.end {
            None => {}
            Some(End::Finished) => return Poll::Ready(Ok(0)),
            Some(End::Failed(error)) => return Poll::Ready(Err(error.clone())),
        }
        if buffer.capacity() - buffer.len() < self.room.min(limit) {
            buffer.reserve(self.room.min(limit));
        }
        match ready!(poll_read_buf(Pin::new(&mut self.stream), cx, &mut buffer.limit(limit))) {
            Ok(0) => {
                self.end = Some(End::Finished);
                Poll::Ready(Ok(0))
            }
            Ok(read) => {
                let wanted = if read >= self.room { self.room * 2 } else { read * 2 };
                self.room = wanted.clamp(*READ_ROOM.start(), *READ_ROOM.end());
                Poll::Ready(Ok(read))
            }
            Err(error) => Poll::Ready(Err(self.end(error))),
        }
    }

    fn stop(&mut self, code: ResetCode) {
        if self.end.is_none() {
            self.end = Some(End::Failed(ReadError::Stopped));
            // It fails only where the stream has ended already, and then there is nobody left to tell.
            drop(self.stream.stop(code.0.into()));
        }
    }
}

// === impl QuicWriter ===

impl QuicWriter {
    pub(super) fn new(stream: SendStream, link: Arc<Link>, accepted: Option<Arc<Accepted>>) -> Self {
        Self { stream, link, _accepted: accepted, open: true, stopped: None }
    }
}

impl RawWriter for QuicWriter {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &mut Bytes) -> Poll<Result<(), WriteError>> {
        use quinn::WriteError as Quinn;
        // quinn takes over what it has room for, without a copy.
        let write = pin!(self.stream.write_chunks(std::slice::from_mut(bytes)));
        let error = match ready!(write.poll(cx)) {
            Ok(_written) => return Poll::Ready(Ok(())),
            Err(Quinn::Stopped(code)) => WriteError::Stopped(reset_code(code)),
            Err(Quinn::ConnectionLost(error)) => WriteError::Session(self.link.ended(&error)),
            Err(Quinn::ClosedStream | Quinn::ZeroRttRejected) => WriteError::Ended,
        };
        Poll::Ready(Err(error))
    }

    fn finish(&mut self) -> Result<(), WriteError> {
        if let Some(ended) = self.link.end() {
            return Err(ended.into());
        }
        self.open = false;
        self.stream.finish().map_err(|_ended_before| WriteError::Ended)
    }

    fn reset(&mut self, code: ResetCode) {
        // quinn would take back what was finished and has not arrived yet.
        if !std::mem::take(&mut self.open) {
            return;
        }
        // It fails only where the stream has ended already, and then there is nothing left to abandon.
        drop(self.stream.reset(code.0.into()));
    }

    fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<WriteError> {
        if !self.open {
            // quinn says nothing of a stream that was reset.
            return Poll::Ready(WriteError::Ended);
        }
        let stopped = self.stopped.get_or_insert_with(|| Box::pin(self.stream.stopped()));
        let answer = ready!(stopped.as_mut().poll(cx));
        self.stopped = None;
        Poll::Ready(match answer {
            Ok(Some(code)) => WriteError::Stopped(reset_code(code)),
            Ok(None) | Err(StoppedError::ZeroRttRejected) => WriteError::Ended,
            Err(StoppedError::ConnectionLost(error)) => WriteError::Session(self.link.ended(&error)),
        })
    }

    fn poll_delivered(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // quinn counts what the peer has acknowledged of a stream that we have finished.
        let stopped = self.stopped.get_or_insert_with(|| Box::pin(self.stream.stopped()));
        let _either_way = ready!(stopped.as_mut().poll(cx));
        self.stopped = None;
        Poll::Ready(())
    }

    fn set_priority(&mut self, priority: i32) {
        // It fails only where the stream has ended already.
        drop(self.stream.set_priority(priority));
    }
}

impl Drop for QuicWriter {
    fn drop(&mut self) {
        // quinn would finish the stream, and what was cut off would look complete.
        self.reset(ResetCode::DROPPED);
    }
}

fn reset_code(code: VarInt) -> ResetCode {
    ResetCode(u32::try_from(code.into_inner()).unwrap_or(u32::MAX))
}
