//! What one end of a session makes of frames, well-formed or not.

use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};

use super::*;

/// Two sides, with frames carried over at once.
struct Pair {
    dialer: Mux,
    acceptor: Mux,
}

fn pair() -> Pair {
    Pair { dialer: Mux::new(Role::Dialer, 8, 2), acceptor: Mux::new(Role::Acceptor, 8, 2) }
}

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

impl Pair {
    fn exchange(&mut self) {
        loop {
            let (there, back) = (self.dialer.take_out(), self.acceptor.take_out());
            if there.is_empty() && back.is_empty() {
                return;
            }
            there.into_iter().for_each(|frame| self.acceptor.handle(frame));
            back.into_iter().for_each(|frame| self.dialer.handle(frame));
        }
    }
}

fn open(mux: &mut Mux) -> Option<u64> {
    match mux.poll_open(&cx()) {
        Poll::Ready(Ok(id)) => Some(id),
        Poll::Ready(Err(_)) | Poll::Pending => None,
    }
}

fn read(mux: &mut Mux, id: u64, limit: usize) -> Poll<Result<Vec<u8>, ReadError>> {
    let mut buffer = BytesMut::new();
    mux.poll_read(id, &cx(), &mut buffer, limit).map(|result| result.map(|_| buffer.to_vec()))
}

#[test]
fn a_writer_stops_at_the_window_and_goes_on_after_half_of_it_was_read() {
    let mut pair = pair();
    let id = open(&mut pair.dialer).unwrap();
    let mut bytes = Bytes::from_static(b"0123456789");
    assert!(pair.dialer.poll_write(id, &cx(), &mut bytes).is_ready());
    assert_eq!(&bytes[..], b"89");
    assert!(pair.dialer.poll_write(id, &cx(), &mut bytes).is_pending());
    pair.exchange();
    assert_eq!(read(&mut pair.acceptor, id, 3), Poll::Ready(Ok(b"012".to_vec())));
    pair.exchange();
    assert!(
        pair.dialer.poll_write(id, &cx(), &mut bytes).is_pending(),
        "less than half of the window was read"
    );
    assert_eq!(read(&mut pair.acceptor, id, 1), Poll::Ready(Ok(b"3".to_vec())));
    pair.exchange();
    assert!(pair.dialer.poll_write(id, &cx(), &mut bytes).is_ready());
    assert!(bytes.is_empty());
}

#[test]
fn the_peers_channels_are_accepted_in_the_order_of_their_opening() {
    let mut pair = pair();
    let (first, second) = (open(&mut pair.dialer).unwrap(), open(&mut pair.dialer).unwrap());
    assert!(pair.dialer.poll_write(second, &cx(), &mut Bytes::from_static(b"x")).is_ready());
    pair.exchange();
    assert_eq!(pair.acceptor.poll_accept(&cx()), Poll::Ready(Ok(first)));
    assert_eq!(pair.acceptor.poll_accept(&cx()), Poll::Ready(Ok(second)));
    assert!(pair.acceptor.poll_accept(&cx()).is_pending());
}

#[test]
fn a_channel_that_is_over_makes_room_for_another_and_leaves_nothing() {
    let mut pair = pair();
    let (id, _other) = (open(&mut pair.dialer).unwrap(), open(&mut pair.dialer).unwrap());
    assert_eq!(open(&mut pair.dialer), None);
    pair.dialer.finish(id).unwrap();
    pair.exchange();
    assert_eq!(pair.acceptor.poll_accept(&cx()), Poll::Ready(Ok(id)));
    for mux in [&mut pair.acceptor, &mut pair.dialer] {
        mux.drop_writer(id);
        mux.drop_reader(id);
    }
    pair.exchange();
    assert!(open(&mut pair.dialer).is_some());
    assert!(!pair.acceptor.channels.contains_key(&id));
}

#[test]
fn a_frame_that_breaks_the_protocol_ends_the_session_and_says_why() {
    let data = |channel, length| Frame::Data { channel, bytes: Bytes::from(vec![0; length]) };
    for (frame, why) in [
        (data(0, 9), "more data than the window of channel 0"),
        (data(1, 1), "channel 1 was never opened"),
        (data(4, 1), "channel 4 is beyond the limit"),
        (Frame::Window { channel: 0, bytes: u32::MAX }, "too large a window of channel 0"),
        (Frame::Accept, "a handshake's frame in a session"),
    ] {
        let mut pair = pair();
        pair.acceptor.handle(frame.encode());
        let reason = why.to_owned();
        let local = SessionClosed::Local { code: CloseCode::PROTOCOL, reason: reason.clone() };
        assert_eq!(pair.acceptor.ended(), Some(&local), "{why}");
        pair.exchange();
        assert_eq!(pair.dialer.ended(), Some(&SessionClosed::Peer { code: CloseCode::PROTOCOL, reason }));
    }
}

#[test]
fn data_after_the_end_breaks_the_protocol() {
    let mut acceptor = pair().acceptor;
    acceptor.handle(Frame::Finish { channel: 0 }.encode());
    acceptor.handle(Frame::Data { channel: 0, bytes: Bytes::from_static(b"x") }.encode());
    assert!(acceptor.ended().is_some());
}

proptest::proptest! {
    /// Whatever a peer says, a side either takes it or ends the session, and holds no more than its windows.
    #[test]
    fn no_peer_breaks_a_side(frames in proptest::collection::vec((4u8..9, 0u8..3, 0u8..12), 0..64)) {
        let mut acceptor = pair().acceptor;
        for (kind, channel, length) in frames {
            let mut bytes = vec![kind, 0, 0, 0, 0, 0, 0, 0, 2 * channel];
            let length = [length, 4, 0, 4, 4][usize::from(kind - 4)];
            bytes.resize(9 + usize::from(length), 0);
            acceptor.handle(bytes.into());
            assert!(acceptor.channels.values().all(|channel| channel.incoming.unread_bytes <= 8));
            assert!(acceptor.channels.len() <= 2);
        }
    }
}
