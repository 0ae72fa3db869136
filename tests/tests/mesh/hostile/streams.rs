//! Attacks by calls with streams.

use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use bytes::Bytes;
use futures_util::future::join_all;
use qmesh::{Receiver, Server};
use qmesh_tests::{
    millis, secs,
    stranger::{frame, header, kind, read_frame},
};
use qmesh_transport::{Channel, ResetCode, Session, WriteError};
use tokio::time::{sleep, timeout};

use super::{opened_at, scene::Scene};

/// Streams to be misused.
#[qmesh::service(name = "tests.Taps")]
pub(crate) trait Taps {
    async fn sum(&self, numbers: Receiver<u64>) -> u64;
    /// Takes nothing, for a minute.
    async fn full(&self, blobs: Receiver<Vec<u8>>) -> u64;
    /// Blobs of 16 KiB without end.
    async fn flow(&self) -> Receiver<Vec<u8>>;
}

/// Blobs that all taps of this process have made.
static MADE: LazyLock<Arc<AtomicU64>> = LazyLock::new(Arc::default);
const BLOB: usize = 16 << 10;

#[derive(Clone, Default)]
pub(crate) struct Basin;

pub(crate) fn taps() -> Server<TapsContract, Basin> {
    TapsServer::new(Basin::default)
}

impl Taps for Basin {
    async fn sum(&self, mut numbers: Receiver<u64>) -> u64 {
        let mut sum = 0_u64;
        while let Ok(Some(number)) = numbers.recv().await {
            sum = sum.wrapping_add(number);
        }
        sum
    }

    async fn full(&self, blobs: Receiver<Vec<u8>>) -> u64 {
        sleep(secs(60)).await;
        drop(blobs);
        0
    }

    async fn flow(&self) -> Receiver<Vec<u8>> {
        Receiver::of((0..u64::MAX).map(|_| {
            MADE.fetch_add(1, Relaxed);
            vec![7; BLOB]
        }))
    }
}

/// A channel for a call of this method, which has begun.
async fn begun(session: &dyn Session, method: (&str, &str)) -> Channel {
    let mut channel = opened_at(session, "tests.Taps", &[method]).await;
    channel.writer.write_all(frame(kind::STREAM, &[0, 0, 0x90])).await.unwrap();
    channel
}

const SUM: (&str, &str) = ("sum", "sum(numbers: Receiver<u64>) -> u64");
const FULL: (&str, &str) = ("full", "full(blobs: Receiver<Vec<u8>>) -> u64");
const FLOW: (&str, &str) = ("flow", "flow() -> Receiver<Vec<u8>>");

/// What a peer may say in a stream, and which call it is in.
fn bad_streams() -> Vec<(&'static str, (&'static str, &'static str), Bytes)> {
    let (item, end, cut) = (frame(kind::ITEM, &[7]), frame(kind::END, b""), frame(kind::CUT, &[8, 3, 16, 3]));
    let both = |one: &Bytes, other: &Bytes| Bytes::from([&one[..], &other[..]].concat());
    vec![
        ("an item on a call without a stream", FLOW, item.clone()),
        ("an end on a call without a stream", FLOW, end.clone()),
        ("the end twice", SUM, both(&end, &end)),
        ("an item after the end", SUM, both(&end, &item)),
        ("a cut after the end", SUM, both(&end, &cut)),
        ("a flood of cuts", SUM, cut.repeat(1000).into()),
        ("a cut that is no Protobuf", SUM, frame(kind::CUT, &[0xff; 9])),
        ("an item that cannot be read", SUM, frame(kind::ITEM, &[0xc1])),
        ("a frame of no known kind", SUM, frame(0xff, b"what?")),
        ("a second call", SUM, frame(kind::STREAM, &[0, 0, 0x90])),
        ("a reply", SUM, frame(kind::REPLY, &[0, 0, 0])),
        ("an item of 4 GiB", SUM, header(kind::ITEM, u32::MAX, b"short")),
        ("an item of 4 GiB, and no stream", FLOW, header(kind::ITEM, u32::MAX, b"short")),
    ]
}

async fn streams_that_break_the_protocol_end_their_channel(scene: Scene) {
    let (session, _control) = scene.stranger.introduce("tests").await.unwrap();
    let (attacks, broken) = (bad_streams(), scene.host.counts().broken_channels);
    // An item that cannot be read may be another version's: it is no broken protocol, and is told to the handler.
    let count = attacks.len() as u64 - 1;
    join_all(attacks.into_iter().map(async |(what, method, bytes)| {
        let mut channel = begun(&*session, method).await;
        channel.writer.write_all(bytes).await.unwrap();
        let stopped = timeout(scene.pace.slack, channel.writer.stopped()).await;
        assert_eq!(stopped, Ok(WriteError::Stopped(ResetCode::PROTOCOL)), "{what}");
    }))
    .await;
    assert_eq!(scene.host.counts().broken_channels - broken, count, "each was counted");
    scene.end().await;
}

async fn a_proper_stream_is_taken_after_all_that(scene: Scene) {
    let (session, _control) = scene.stranger.introduce("tests").await.unwrap();
    let mut channel = begun(&*session, SUM).await;
    let items = [frame(kind::ITEM, &[7]), frame(kind::ITEM, &[8]), frame(kind::END, b"")].concat();
    channel.writer.write_all(items.into()).await.unwrap();
    channel.writer.finish().unwrap();
    let (kind, reply) = read_frame(&mut channel).await.unwrap().unwrap();
    assert_eq!((kind, &reply[..]), (kind::REPLY, &[0, 0, 0, 15][..]));
    assert_eq!(read_frame(&mut channel).await.unwrap(), None, "and the end");
    scene.end().await;
}

async fn items_that_nobody_receives_stop_at_the_window(scene: Scene) {
    let (session, _control) = scene.stranger.introduce("tests").await.unwrap();
    let mut channel = begun(&*session, FULL).await;
    let blob = [&[0xc5, 0x40, 0x00][..], &[7; BLOB]].concat();
    let item = frame(kind::ITEM, &blob);
    let mut written = 0;
    while let Ok(sent) = timeout(millis(500), channel.writer.write_all(item.clone())).await {
        sent.unwrap();
        written += item.len();
        assert!(written < 8 << 20, "{written} bytes were taken, and nobody receives them");
    }
    scene.end().await;
}

async fn downloads_that_nobody_reads_stop_at_the_window(scene: Scene) {
    let (session, _control) = scene.stranger.introduce("tests").await.unwrap();
    let held = join_all((0..20).map(|_| begun(&*session, FLOW))).await;
    scene.healthy.answers(100).await;
    // Until they make no more.
    let stopped = timeout(secs(20), async {
        let mut made = 0;
        while made != MADE.load(Relaxed) {
            made = MADE.load(Relaxed);
            sleep(millis(500)).await;
        }
    });
    // Other tests of this process make blobs, too; each of them ends.
    assert!(stopped.await.is_ok(), "the taps run on though nobody reads");
    drop(held);
    scene.end().await;
}

on_both_transports!(
    streams_that_break_the_protocol_end_their_channel,
    a_proper_stream_is_taken_after_all_that,
    items_that_nobody_receives_stop_at_the_window,
    downloads_that_nobody_reads_stop_at_the_window,
);
