//! What channels promise.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, future::join_all};
use qmesh_transport::{Channel, CloseCode, ReadError, ResetCode, Session, WriteError};
use tokio::time::timeout;

use super::{Fixture, Pair, read_all, talk};

const CODE: ResetCode = ResetCode(77);

fn bytes(length: usize) -> Bytes {
    (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect()
}

/// Answers a channel with what it brings.
async fn echo(mut channel: Channel) {
    let heard = read_all(&mut channel.reader).await.unwrap();
    channel.writer.write_all(heard).await.unwrap();
    channel.writer.finish().unwrap();
}

pub(crate) async fn either_side_opens_and_the_other_accepts(fixture: &impl Fixture) {
    let pair = Pair::new(fixture).await;
    for (opener, acceptor) in [(&pair.dialed, &pair.accepted), (&pair.accepted, &pair.dialed)] {
        let mut opened = opener.open().await.unwrap();
        opened.writer.write_all(Bytes::from_static(b"hello")).await.unwrap();
        opened.writer.finish().unwrap();
        let accepted = acceptor.accept().await.unwrap();
        assert_eq!(accepted.id, opened.id);
        echo(accepted).await;
        assert_eq!(read_all(&mut opened.reader).await.unwrap(), "hello");
    }
}

pub(crate) async fn a_half_close_ends_one_direction_only(fixture: &impl Fixture) {
    let pair = Pair::new(fixture).await;
    let (mut ours, mut theirs) = pair.channel().await;
    ours.writer.finish().unwrap();
    assert_eq!(read_all(&mut theirs.reader).await.unwrap(), "");
    assert_eq!(read_all(&mut theirs.reader).await.unwrap(), "", "the end stays the end");
    theirs.writer.write_all(Bytes::from_static(b"still here")).await.unwrap();
    theirs.writer.finish().unwrap();
    assert_eq!(read_all(&mut ours.reader).await.unwrap(), "still here");
}

pub(crate) async fn a_large_transfer_arrives_whole(fixture: &impl Fixture) {
    let pair = Pair::new(fixture).await;
    let (mut ours, mut theirs) = pair.channel().await;
    let sent = bytes(10 * fixture_stall(fixture) + 1);
    let write = async {
        ours.writer.write_all(sent.clone()).await.unwrap();
        ours.writer.finish().unwrap();
    };
    let ((), received) = tokio::join!(write, read_all(&mut theirs.reader));
    assert_eq!(received.unwrap(), sent);
}

fn fixture_stall<F: Fixture>(_fixture: &F) -> usize {
    F::STALL_BYTES_MAX
}

pub(crate) async fn what_was_delivered_outlives_the_session(fixture: &impl Fixture) {
    let pair = Pair::new(fixture).await;
    let (mut ours, mut theirs) = pair.channel().await;
    let sent = bytes(fixture_stall(fixture) / 10);
    ours.writer.write_all(sent.clone()).await.unwrap();
    ours.writer.finish().unwrap();
    ours.writer.delivered().await;
    ours.writer.delivered().await;
    pair.dialed.close(CloseCode::SHUTDOWN, "");
    pair.accepted.closed().await;
    assert_eq!(read_all(&mut theirs.reader).await.unwrap(), sent);
}

pub(crate) async fn a_reset_reaches_the_reader_with_its_code(fixture: &impl Fixture) {
    let pair = Pair::new(fixture).await;
    let (mut ours, mut theirs) = pair.channel().await;
    ours.writer.reset(CODE);
    assert_eq!(read_all(&mut theirs.reader).await, Err(ReadError::Reset(CODE)));
    assert_eq!(
        read_all(&mut theirs.reader).await,
        Err(ReadError::Reset(CODE)),
        "a reset is not followed by an end"
    );
}

pub(crate) async fn a_reset_after_the_end_takes_nothing_back(fixture: &impl Fixture) {
    let pair = Pair::new(fixture).await;
    let (mut ours, mut theirs) = pair.channel().await;
    let whole = bytes(16 * 1024);
    ours.writer.write_all(whole.clone()).await.unwrap();
    ours.writer.finish().unwrap();
    ours.writer.reset(CODE);
    assert_eq!(read_all(&mut theirs.reader).await.unwrap(), whole);
}

pub(crate) async fn a_stop_reaches_the_writer_with_its_code(fixture: &impl Fixture) {
    let pair = Pair::new(fixture).await;
    let (mut ours, mut theirs) = pair.channel().await;
    assert!(ours.writer.stopped().now_or_never().is_none());
    theirs.reader.stop(CODE);
    assert_eq!(ours.writer.stopped().await, WriteError::Stopped(CODE));
    assert_eq!(ours.writer.write_all(Bytes::from_static(b"x")).await, Err(WriteError::Stopped(CODE)));
}

pub(crate) async fn a_reader_that_stopped_reads_no_more(fixture: &impl Fixture) {
    let pair = Pair::new(fixture).await;
    let (mut ours, mut theirs) = pair.channel().await;
    ours.writer.write_all(Bytes::from_static(b"unread")).await.unwrap();
    theirs.reader.stop(CODE);
    assert_eq!(read_all(&mut theirs.reader).await, Err(ReadError::Stopped));
}

pub(crate) async fn a_writer_that_ended_writes_no_more(fixture: &impl Fixture) {
    let pair = Pair::new(fixture).await;
    let (mut finished, _theirs) = pair.channel().await;
    finished.writer.finish().unwrap();
    assert_eq!(finished.writer.finish(), Err(WriteError::Ended));
    assert_eq!(finished.writer.write_all(Bytes::from_static(b"x")).await, Err(WriteError::Ended));
    let (mut reset, _theirs) = pair.channel().await;
    reset.writer.reset(CODE);
    assert_eq!(reset.writer.finish(), Err(WriteError::Ended));
    assert_eq!(reset.writer.stopped().await, WriteError::Ended);
}

pub(crate) async fn a_writer_dropped_unfinished_never_looks_complete(fixture: &impl Fixture) {
    let pair = Pair::new(fixture).await;
    let (mut ours, mut theirs) = pair.channel().await;
    ours.writer.write_all(Bytes::from_static(b"half a")).await.unwrap();
    drop(ours.writer);
    assert_eq!(read_all(&mut theirs.reader).await, Err(ReadError::Reset(ResetCode::DROPPED)));
    drop(ours.reader);
}

pub(crate) async fn a_reader_dropped_early_stops_the_writer(fixture: &impl Fixture) {
    let pair = Pair::new(fixture).await;
    let (mut ours, theirs) = pair.channel().await;
    drop(theirs.reader);
    assert_eq!(ours.writer.stopped().await, WriteError::Stopped(ResetCode::DROPPED));
    drop(theirs.writer);
}

pub(crate) async fn a_stalled_reader_stops_its_writer_and_nobody_else<F: Fixture>(fixture: &F) {
    let pair = Pair::new(fixture).await;
    let (mut ours, mut theirs) = pair.channel().await;
    let mut written = 0;
    let chunk = bytes(1024);
    // One that waits this long, in a session that answers at once, waits for its reader.
    while timeout(Duration::from_millis(200), ours.writer.write_all(chunk.clone())).await.is_ok() {
        written += chunk.len();
        assert!(written <= F::STALL_BYTES_MAX, "{written} bytes were taken and none was read");
    }
    talk(&pair.dialed, &pair.accepted, "another channel").await;
    talk(&pair.accepted, &pair.dialed, "and another direction").await;
    ours.writer.reset(CODE);
    while theirs.reader.read(&mut BytesMut::new(), 1 << 20).await.is_ok() {}
}

pub(crate) async fn a_thousand_channels_at_once_keep_their_bytes_apart(fixture: &impl Fixture) {
    const CHANNELS: u32 = 1000;
    let pair = Pair::new(fixture).await;
    let accepted = Arc::clone(&pair.accepted);
    let echoes = async {
        let mut echoes = Vec::new();
        for _ in 0..CHANNELS {
            echoes.push(echo(accepted.accept().await.unwrap()));
        }
        join_all(echoes).await;
    };
    let calls = join_all((0..CHANNELS).map(|n| call(&pair.dialed, n)));
    tokio::join!(echoes, calls);
}

/// Sends a number of its own on a channel of its own, and expects it back.
async fn call(session: &Arc<dyn Session>, number: u32) {
    let text = Bytes::from(number.to_string().repeat(100));
    let mut channel = session.open().await.unwrap();
    channel.writer.write_all(text.clone()).await.unwrap();
    channel.writer.finish().unwrap();
    assert_eq!(read_all(&mut channel.reader).await.unwrap(), text);
}

pub(crate) async fn a_channel_beyond_the_limit_waits_until_others_are_over<F: Fixture>(fixture: &F) {
    let pair = Pair::new(fixture).await;
    let mut open = Vec::new();
    for _ in 0..F::CHANNELS_MAX {
        let mut channel = pair.dialed.open().await.unwrap();
        channel.writer.write_all(Bytes::from_static(b"x")).await.unwrap();
        open.push((channel, pair.accepted.accept().await.unwrap()));
    }
    assert!(pair.dialed.open().now_or_never().is_none());
    drop(open);
    pair.dialed.open().await.unwrap();
}

pub(crate) async fn a_cancelled_accept_loses_no_channel(fixture: &impl Fixture) {
    let pair = Pair::new(fixture).await;
    for _ in 0..10 {
        assert!(pair.accepted.accept().now_or_never().is_none());
        let mut channel = pair.dialed.open().await.unwrap();
        channel.writer.write_all(Bytes::from_static(b"x")).await.unwrap();
        // Cancelled again and again, while the channel arrives.
        let accepted = loop {
            if let Ok(accepted) = timeout(Duration::from_micros(50), pair.accepted.accept()).await {
                break accepted.unwrap();
            }
        };
        assert_eq!(accepted.id, channel.id);
    }
}
