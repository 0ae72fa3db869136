//! Fuzz targets: what a peer says on a session in memory. See [`crate::fuzzing`].

#![expect(clippy::missing_panics_doc, reason = "a fuzz target panics where something is wrong")]

use std::task::{Context, Waker};

use bytes::{Bytes, BytesMut};

use super::{
    frame::Frame,
    mux::{Mux, Role},
};

/// A frame.
pub fn transport_memory_frame(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    if let Ok(frame) = Frame::decode(bytes.clone()) {
        assert_eq!(frame.encode(), bytes, "{frame:?}");
    }
}

/// All frames that a peer sends, each behind its length (u8), to a side that reads a little and writes a little.
pub fn transport_memory_session(mut bytes: &[u8]) {
    let mut side = Mux::new(Role::Acceptor, 64, 4);
    let cx = Context::from_waker(Waker::noop());
    let mut buffer = BytesMut::new();
    while let Some((length, rest)) = bytes.split_first() {
        let (frame, rest) = rest.split_at(rest.len().min((*length).into()));
        side.handle(Bytes::copy_from_slice(frame));
        bytes = rest;
        drop(side.poll_accept(&cx));
        for channel in 0..4 {
            buffer.clear();
            drop(side.poll_read(channel, &cx, &mut buffer, 16));
            drop(side.poll_write(channel, &cx, &mut Bytes::from_static(b"word")));
        }
        drop(side.take_out());
    }
}
