//! Attacks by answers that are asked for and not read, and by one-way sends: more than were granted, and large ones that wait.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use qmesh::{Receiver, Server};
use qmesh_tests::{
    millis, secs,
    stranger::{frame, kind, read_frame},
};
use qmesh_transport::{Channel, ResetCode, WriteError};
use tokio::time::{sleep, timeout};

use super::{
    opened_at,
    scene::{Scene, WINDOW},
};

/// A service whose answers are as large as they are wanted.
#[qmesh::service(name = "tests.Depot")]
pub(crate) trait Depot {
    /// A text of so many bytes, after so many milliseconds.
    async fn haul(&self, bytes: u64, millis: u64) -> String;
    /// As that, when the stream has ended.
    async fn weigh(&self, crates: Receiver<u64>, bytes: u64) -> String;
    /// Takes so many milliseconds.
    #[oneway]
    async fn leave(&mut self, millis: u64);
}

/// A service with one place in its queue.
#[qmesh::service(name = "tests.Attic")]
pub(crate) trait Attic {
    /// Takes so many milliseconds.
    #[oneway]
    async fn stow(&mut self, ballast: String, millis: u64);
}

pub(crate) struct Yard;

pub(crate) fn depot() -> Server<DepotContract, Yard> {
    DepotServer::new(|| Yard)
}

pub(crate) fn attic() -> Server<AtticContract, Yard> {
    AtticServer::new(|| Yard).queue(1)
}

impl Attic for Yard {
    async fn stow(&mut self, _ballast: String, millis: u64) {
        sleep(Duration::from_millis(millis)).await;
    }
}

fn text(bytes: u64) -> String {
    "x".repeat(usize::try_from(bytes).expect("it is below 4 MiB"))
}

impl Depot for Yard {
    async fn haul(&self, bytes: u64, millis: u64) -> String {
        if millis > 0 {
            sleep(Duration::from_millis(millis)).await;
        }
        text(bytes)
    }

    async fn weigh(&self, crates: Receiver<u64>, bytes: u64) -> String {
        drop(crates.collect().await);
        text(bytes)
    }

    async fn leave(&mut self, millis: u64) {
        sleep(Duration::from_millis(millis)).await;
    }
}

const HAUL: (&str, &str) = ("haul", "haul(bytes: u64, millis: u64) -> String");
const WEIGH: (&str, &str) = ("weigh", "weigh(crates: Receiver<u64>, bytes: u64) -> String");
const LEAVE: (&str, &str) = ("leave", "leave(millis: u64) one-way");
const STOW: (&str, &str) = ("stow", "stow(ballast: String, millis: u64) one-way");
const MIB: usize = 1 << 20;
/// Of the scene: room for two of the largest answers.
const SHARE: usize = 8 * MIB;
/// What lies in the channel's windows, over either transport.
const WINDOWS: usize = 4 * MIB;

/// Calls for 1 MiB each, which take so many milliseconds.
fn hauls(count: u8, millis: u8) -> Bytes {
    (0..count)
        .flat_map(|call| frame(kind::CALL, &[call, 0, 0x90, 0x4e, 0x92, 0xce, 0, 0x10, 0, 0, millis]))
        .collect()
}

/// What became of so many calls: bytes of answers, and the sentences of failures.
async fn replies(channel: &mut Channel, count: u8) -> (usize, Vec<String>) {
    let (mut bytes, mut failures, mut answered) = (0, Vec::new(), vec![false; count.into()]);
    for _ in 0..count {
        let (kind, reply) = timeout(secs(20), read_frame(channel)).await.unwrap().unwrap().unwrap();
        assert_eq!(kind, kind::REPLY);
        assert!(!std::mem::replace(&mut answered[usize::from(reply[0])], true), "answered twice");
        match reply[1] {
            0 => bytes += reply.len(),
            _ => failures.push(String::from_utf8_lossy(&reply[3..]).into_owned()),
        }
    }
    (bytes, failures)
}

async fn answers_that_are_not_read_fill_a_share_and_no_more(scene: Scene) {
    let (session, _control) = scene.stranger.introduce("tests").await.unwrap();
    // One after the other: those that would begin once the share is full do not begin.
    let mut channel = opened_at(&*session, "tests.Depot", &[HAUL]).await;
    channel.writer.write_all(hauls(60, 0)).await.unwrap();
    scene.healthy.answers(50).await;
    sleep(secs(1)).await;
    let (bytes, failures) = replies(&mut channel, 60).await;
    assert!(bytes < SHARE + WINDOWS, "{bytes} bytes of answers were kept");
    assert!(failures.len() > 40, "only {} were refused", failures.len());
    for failure in &failures {
        assert!(failure.contains("the call did not begin: the caller has"), "{failure}");
    }
    // All at once: what they made is not kept.
    channel.writer.write_all(hauls(60, 100)).await.unwrap();
    sleep(secs(1)).await;
    scene.healthy.answers(100).await;
    let (bytes, failures) = replies(&mut channel, 60).await;
    assert!(bytes < SHARE + WINDOWS, "{bytes} bytes of answers were kept");
    assert!(failures.iter().any(|told| told.contains("bytes is not kept: the caller has")), "{failures:?}");
    // Whoever reads is served.
    channel.writer.write_all(hauls(1, 0)).await.unwrap();
    assert_eq!(replies(&mut channel, 1).await.1, Vec::<String>::new());
    scene.end().await;
}

async fn channels_share_what_answers_may_fill(scene: Scene) {
    let (session, _control) = scene.stranger.introduce("tests").await.unwrap();
    let mut full = opened_at(&*session, "tests.Depot", &[HAUL]).await;
    full.writer.write_all(hauls(60, 0)).await.unwrap();
    sleep(secs(1)).await;
    scene.healthy.answers(100).await;
    // A call with a stream does not begin; one without waits in the caller's window until there is room.
    let mut streaming = opened_at(&*session, "tests.Depot", &[WEIGH]).await;
    let begin = frame(kind::STREAM, &[0, 0, 0x91, 0xce, 0, 0x10, 0, 0]);
    streaming.writer.write_all([begin, frame(kind::END, b"")].concat().into()).await.unwrap();
    let (_, reply) = read_frame(&mut streaming).await.unwrap().unwrap();
    let told = String::from_utf8_lossy(&reply);
    assert!(told.contains("the call did not begin: the caller has"), "{told}");
    let mut other = opened_at(&*session, "tests.Depot", &[HAUL]).await;
    for call in 0..2 {
        let small = frame(kind::CALL, &[call, 0, 0x90, 0x4e, 0x92, 1, 0]);
        other.writer.write_all(small).await.unwrap();
        sleep(millis(100)).await;
    }
    let both = async {
        let (_, first) = replies(&mut other, 2).await;
        assert_eq!(first, Vec::<String>::new());
    };
    let (_, ()) = tokio::join!(replies(&mut full, 60), both);
    scene.end().await;
}

async fn more_one_way_sends_than_were_granted_end_the_channel(scene: Scene) {
    let (session, _control) = scene.stranger.introduce("tests").await.unwrap();
    let broken = scene.host.counts().broken_channels;
    let window = usize::try_from(WINDOW).unwrap();
    let leave = frame(kind::ONE_WAY, &[0, 0x91, 1]);
    let mut channel = opened_at(&*session, "tests.Depot", &[LEAVE]).await;
    for round in 1..=3 {
        channel.writer.write_all(leave.repeat(window).into()).await.unwrap();
        let mut handled = 0;
        while handled < round * window {
            let (kind, told) = timeout(secs(5), read_frame(&mut channel)).await.unwrap().unwrap().unwrap();
            assert_eq!((kind, &told[1..]), (kind::ACKNOWLEDGE, &[0, 0][..]), "handled, and nothing else");
            handled = told[0].into();
        }
    }
    channel.writer.write_all(leave.repeat(window + 1).into()).await.unwrap();
    let stopped = timeout(scene.pace.slack, channel.writer.stopped()).await;
    assert_eq!(stopped, Ok(WriteError::Stopped(ResetCode::PROTOCOL)));
    assert_eq!(scene.host.counts().broken_channels - broken, 1, "it was counted");
    scene.end().await;
}

async fn large_sends_that_wait_for_a_place_hold_a_share_and_no_more(scene: Scene) {
    const CHANNELS: usize = 40;
    /// 4 MB each have 64 MiB together.
    const HELD: usize = 16;
    let (session, _control) = scene.stranger.introduce("tests").await.unwrap();
    let stow = |bytes: usize, millis: [u8; 3]| {
        let length = u32::try_from(bytes).unwrap().to_be_bytes();
        let ballast = vec![b'x'; bytes];
        frame(kind::ONE_WAY, &[&[0, 0x92, 0xdb][..], &length, &ballast, &millis].concat())
    };
    let open = async || opened_at(&*session, "tests.Attic", &[STOW]).await;
    let mut first = open().await;
    // The place is taken for twelve seconds.
    first.writer.write_all(stow(1, [0xcd, 0x2e, 0xe0])).await.unwrap();
    let mut channels = Vec::new();
    for _ in 0..CHANNELS {
        channels.push(open().await);
    }
    // What does not fit into a channel's window is only taken if it is read.
    let large = stow(4_000_000, [0xcd, 0, 0]);
    let taken = join_all(channels.iter_mut().map(async |channel| {
        let written = timeout(secs(8), channel.writer.write_all(large.clone())).await;
        matches!(written, Ok(Ok(())))
    }));
    let taken = taken.await.into_iter().filter(|taken| *taken).count();
    assert!((1..=HELD).contains(&taken), "{taken} of {CHANNELS} were taken, and wait for a place");
    drop(channels);
    scene.end().await;
}

on_both_transports!(
    large_sends_that_wait_for_a_place_hold_a_share_and_no_more,
    answers_that_are_not_read_fill_a_share_and_no_more,
    channels_share_what_answers_may_fill,
    more_one_way_sends_than_were_granted_end_the_channel,
);
