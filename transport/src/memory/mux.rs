//! One side of a memory session: frames in, frames out. It knows no clock, link or peer.

mod channel;

use std::{
    collections::{BTreeMap, VecDeque},
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};

use self::channel::{Channel, InEnd};
use super::frame::Frame;
use crate::{CloseCode, ReadError, ResetCode, SessionClosed, WriteError};

/// Which side of a session: the dialer's channels have even numbers, the acceptor's odd ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Dialer = 0,
    Acceptor = 1,
}

#[derive(Debug)]
pub(super) struct Mux {
    role: Role,
    window: u32,
    channels_max: u32,
    channels: BTreeMap<u64, Channel>,
    /// The number of the next channel of ours, and of the peer's.
    next: u64,
    next_peer: u64,
    /// Channels that are not over: those that we opened, and those that the peer did.
    open: [u32; 2],
    /// Channels of the peer's that nobody has accepted.
    unaccepted: VecDeque<u64>,
    out: Vec<Bytes>,
    ended: Option<SessionClosed>,
    /// Who waits to open, to accept, or for the end.
    waiting: Vec<Waker>,
}

// === impl Mux: the session ===

impl Mux {
    pub(super) fn new(role: Role, window: u32, channels_max: u32) -> Self {
        let (next, next_peer) = match role {
            Role::Dialer => (0, 1),
            Role::Acceptor => (1, 0),
        };
        Self {
            role,
            window,
            channels_max,
            channels: BTreeMap::new(),
            next,
            next_peer,
            open: [0, 0],
            unaccepted: VecDeque::new(),
            out: Vec::new(),
            ended: None,
            waiting: Vec::new(),
        }
    }

    pub(super) fn ended(&self) -> Option<&SessionClosed> {
        self.ended.as_ref()
    }

    /// The frames to send, in order.
    pub(super) fn take_out(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.out)
    }

    pub(super) fn poll_open(&mut self, cx: &Context<'_>) -> Poll<Result<u64, SessionClosed>> {
        if let Some(ended) = &self.ended {
            return Poll::Ready(Err(ended.clone()));
        }
        if self.open[self.role as usize] >= self.channels_max {
            return self.wait(cx);
        }
        let id = self.next;
        self.next += 2;
        self.open[self.role as usize] += 1;
        self.channels.insert(id, Channel::new(self.window));
        Poll::Ready(Ok(id))
    }

    pub(super) fn poll_accept(&mut self, cx: &Context<'_>) -> Poll<Result<u64, SessionClosed>> {
        match (self.unaccepted.pop_front(), &self.ended) {
            (Some(id), _) => Poll::Ready(Ok(id)),
            (None, Some(ended)) => Poll::Ready(Err(ended.clone())),
            (None, None) => self.wait(cx),
        }
    }

    pub(super) fn poll_ended(&mut self, cx: &Context<'_>) -> Poll<SessionClosed> {
        match &self.ended {
            Some(ended) => Poll::Ready(ended.clone()),
            None => self.wait(cx),
        }
    }

    pub(super) fn close(&mut self, code: CloseCode, reason: &str) {
        if self.ended.is_none() {
            self.send(&Frame::Close { code, reason: reason.to_owned() });
            self.end(SessionClosed::Local { code, reason: reason.to_owned() });
        }
    }

    /// Ends the session without a word. A second end changes nothing.
    pub(super) fn end(&mut self, reason: SessionClosed) {
        if self.ended.is_none() {
            self.ended = Some(reason);
            self.wake_waiting();
            for channel in self.channels.values_mut() {
                channel.wake();
            }
        }
    }

    fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        if !self.waiting.iter().any(|waiting| waiting.will_wake(cx.waker())) {
            self.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn wake_waiting(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }

    fn send(&mut self, frame: &Frame) {
        self.out.push(frame.encode());
    }

    fn session_over<T, E: From<SessionClosed>>(&self) -> Poll<Result<T, E>> {
        let ended = self.ended.clone();
        Poll::Ready(Err(ended
            .unwrap_or_else(|| SessionClosed::Transport("the channel is gone".to_owned()))
            .into()))
    }
}

// === impl Mux: reading ===

impl Mux {
    pub(super) fn poll_read(
        &mut self,
        id: u64,
        cx: &Context<'_>,
        buffer: &mut BytesMut,
        limit: usize,
    ) -> Poll<Result<usize, ReadError>> {
        let Some(channel) = self.channels.get_mut(&id) else { return self.session_over() };
        let incoming = &mut channel.incoming;
        if incoming.stopped {
            return Poll::Ready(Err(ReadError::Stopped));
        }
        let read = incoming.take(buffer, limit);
        if read > 0 {
            self.grant(id, read);
            return Poll::Ready(Ok(read));
        }
        match (incoming.end, &self.ended) {
            (Some(InEnd::Finished), _) => Poll::Ready(Ok(0)),
            (Some(InEnd::Reset(code)), _) => Poll::Ready(Err(ReadError::Reset(code))),
            (None, Some(ended)) => Poll::Ready(Err(ended.clone().into())),
            (None, None) => {
                incoming.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(super) fn stop(&mut self, id: u64, code: ResetCode) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let incoming = &mut channel.incoming;
        if incoming.stopped {
            return;
        }
        incoming.stopped = true;
        incoming.clear();
        if incoming.end.is_none() && self.ended.is_none() {
            self.send(&Frame::Stop { channel: id, code });
        }
    }

    pub(super) fn drop_reader(&mut self, id: u64) {
        self.stop(id, ResetCode::DROPPED);
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.incoming.dropped = true;
        }
        self.forget_if_unused(id);
    }

    /// Grants the peer what was read, in steps of half a window.
    fn grant(&mut self, id: u64, read: usize) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let incoming = &mut channel.incoming;
        incoming.ungranted += u32::try_from(read).expect("no more than a window was unread");
        if incoming.end.is_none() && incoming.ungranted >= self.window.div_ceil(2) && self.ended.is_none() {
            let bytes = std::mem::take(&mut incoming.ungranted);
            self.send(&Frame::Window { channel: id, bytes });
        }
    }
}

// === impl Mux: writing ===

impl Mux {
    pub(super) fn poll_write(
        &mut self,
        id: u64,
        cx: &Context<'_>,
        bytes: &mut Bytes,
    ) -> Poll<Result<(), WriteError>> {
        let Some(channel) = self.channels.get_mut(&id).filter(|_| self.ended.is_none()) else {
            return self.session_over();
        };
        let outgoing = &mut channel.outgoing;
        if outgoing.ended {
            return Poll::Ready(Err(WriteError::Ended));
        }
        if let Some(code) = outgoing.stopped {
            return Poll::Ready(Err(WriteError::Stopped(code)));
        }
        let length = bytes.len().min(usize::try_from(outgoing.credit).unwrap_or(usize::MAX));
        if length == 0 && !bytes.is_empty() {
            outgoing.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        outgoing.credit -= u32::try_from(length).expect("no more than the credit");
        let bytes = bytes.split_to(length);
        self.send(&Frame::Data { channel: id, bytes });
        Poll::Ready(Ok(()))
    }

    pub(super) fn finish(&mut self, id: u64) -> Result<(), WriteError> {
        if let Some(ended) = &self.ended {
            return Err(ended.clone().into());
        }
        self.end_writing(id, &Frame::Finish { channel: id })
    }

    pub(super) fn reset(&mut self, id: u64, code: ResetCode) {
        // It fails only where the stream has ended already, and then there is nothing left to abandon.
        drop(self.end_writing(id, &Frame::Reset { channel: id, code }));
    }

    fn end_writing(&mut self, id: u64, last: &Frame) -> Result<(), WriteError> {
        let channel =
            self.channels.get_mut(&id).filter(|channel| !channel.outgoing.ended).ok_or(WriteError::Ended)?;
        channel.outgoing.ended = true;
        if self.ended.is_none() {
            self.send(last);
        }
        self.direction_ended(id);
        Ok(())
    }

    pub(super) fn poll_stopped(&mut self, id: u64, cx: &Context<'_>) -> Poll<WriteError> {
        let Some(channel) = self.channels.get_mut(&id) else { return Poll::Ready(WriteError::Ended) };
        let outgoing = &mut channel.outgoing;
        match (outgoing.stopped, &self.ended) {
            (Some(code), _) => Poll::Ready(WriteError::Stopped(code)),
            (None, _) if outgoing.ended => Poll::Ready(WriteError::Ended),
            (None, Some(ended)) => Poll::Ready(ended.clone().into()),
            (None, None) => {
                outgoing.stop_watcher = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(super) fn drop_writer(&mut self, id: u64) {
        self.reset(id, ResetCode::DROPPED);
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.outgoing.dropped = true;
        }
        self.forget_if_unused(id);
    }

    /// One direction of a channel has ended. Once both have, its opener may open another.
    fn direction_ended(&mut self, id: u64) {
        if self.channels.get(&id).is_some_and(Channel::is_over) {
            self.open[opener(id)] -= 1;
            self.wake_waiting();
            self.forget_if_unused(id);
        }
    }

    fn forget_if_unused(&mut self, id: u64) {
        let over = |channel: &Channel| channel.is_over() || self.ended.is_some();
        if self.channels.get(&id).is_some_and(|channel| over(channel) && !channel.is_held()) {
            self.channels.remove(&id);
        }
    }
}

// === impl Mux: what the peer says ===

impl Mux {
    /// Takes a frame of the peer's. One that breaks the protocol ends the session.
    pub(super) fn handle(&mut self, bytes: Bytes) {
        if self.ended.is_some() {
            return;
        }
        let handled = Frame::decode(bytes)
            .map_err(|error| error.to_string())
            .and_then(|frame| self.handle_frame(frame));
        if let Err(problem) = handled {
            self.close(CloseCode::PROTOCOL, &problem);
        }
    }

    fn handle_frame(&mut self, frame: Frame) -> Result<(), String> {
        match frame {
            Frame::Data { channel, bytes } => self.handle_data(channel, bytes),
            Frame::Finish { channel } => self.handle_end(channel, InEnd::Finished),
            Frame::Reset { channel, code } => self.handle_end(channel, InEnd::Reset(code)),
            Frame::Window { channel, bytes } => self.handle_window(channel, bytes),
            Frame::Stop { channel, code } => self.handle_stop(channel, code),
            Frame::Close { code, reason } => {
                self.end(SessionClosed::Peer { code, reason });
                Ok(())
            }
            Frame::Hello { .. } | Frame::Accept | Frame::Refuse { .. } => {
                Err("a handshake's frame in a session".to_owned())
            }
        }
    }

    fn handle_data(&mut self, id: u64, bytes: Bytes) -> Result<(), String> {
        let room = usize::try_from(self.window).unwrap_or(usize::MAX);
        let Some(channel) = self.channel_of(id)? else { return Ok(()) };
        let incoming = &mut channel.incoming;
        if incoming.end.is_some() {
            return Err(format!("data after the end of channel {id}"));
        }
        if incoming.unread_bytes + bytes.len() > room {
            return Err(format!("more data than the window of channel {id}"));
        }
        if !incoming.stopped && !bytes.is_empty() {
            incoming.unread_bytes += bytes.len();
            incoming.unread.push_back(bytes);
            incoming.wake();
        }
        Ok(())
    }

    fn handle_end(&mut self, id: u64, end: InEnd) -> Result<(), String> {
        let Some(channel) = self.channel_of(id)? else { return Ok(()) };
        let incoming = &mut channel.incoming;
        if incoming.end.is_none() {
            incoming.end = Some(end);
            if matches!(end, InEnd::Reset(_)) {
                incoming.clear();
            }
            incoming.wake();
            self.direction_ended(id);
        }
        Ok(())
    }

    fn handle_window(&mut self, id: u64, bytes: u32) -> Result<(), String> {
        let Some(channel) = self.channel_of(id)? else { return Ok(()) };
        let outgoing = &mut channel.outgoing;
        outgoing.credit = outgoing
            .credit
            .checked_add(bytes)
            .ok_or_else(|| format!("too large a window of channel {id}"))?;
        outgoing.wake();
        Ok(())
    }

    fn handle_stop(&mut self, id: u64, code: ResetCode) -> Result<(), String> {
        let Some(channel) = self.channel_of(id)? else { return Ok(()) };
        channel.outgoing.stopped.get_or_insert(code);
        channel.outgoing.wake();
        Ok(())
    }

    /// The channel that a frame speaks of, opened with all before it if it is a new one of the peer's, or `None` if it is
    /// over.
    fn channel_of(&mut self, id: u64) -> Result<Option<&mut Channel>, String> {
        let peers = id % 2 != self.role as u64;
        if !peers && id >= self.next {
            return Err(format!("channel {id} was never opened"));
        }
        while peers && id >= self.next_peer {
            if self.open[opener(id)] >= self.channels_max {
                return Err(format!("channel {id} is beyond the limit"));
            }
            self.channels.insert(self.next_peer, Channel::new(self.window));
            self.open[opener(id)] += 1;
            self.unaccepted.push_back(self.next_peer);
            self.next_peer += 2;
            self.wake_waiting();
        }
        Ok(self.channels.get_mut(&id))
    }
}

/// The role of the side that opened a channel.
fn opener(channel: u64) -> usize {
    usize::from(channel % 2 == 1)
}

#[cfg(test)]
mod tests;
