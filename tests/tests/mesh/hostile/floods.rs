//! Attacks by sheer numbers.

use bytes::Bytes;
use futures_util::future::join_all;
use qmesh_tests::{
    millis, secs,
    stranger::{frame, header, kind, read_frame},
};
use qmesh_transport::{ResetCode, WriteError};
use tokio::time::timeout;

use super::{WHOAMI, call, opened, scene::Scene, slow_call};

const METHODS: [(&str, &str); 3] =
    [WHOAMI, ("vanish", "vanish()"), ("pause", "pause(millis: u64) -> String")];

async fn a_flood_of_cancels_changes_nothing(scene: Scene) {
    let (session, _control) = scene.stranger.introduce("tests").await.unwrap();
    let mut channel = opened(&*session, &METHODS).await;
    // One that runs, ones that nobody made, and numbers that no call has.
    channel.writer.write_all(slow_call(1)).await.unwrap();
    let cancels = [
        frame(kind::CANCEL, &[1]),
        frame(kind::CANCEL, &[2]),
        frame(kind::CANCEL, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
    ];
    channel.writer.write_all(cancels.concat().repeat(20_000).into()).await.unwrap();
    // The cancelled call has its one answer, and the channel serves on.
    let (kind, cancelled) = read_frame(&mut channel).await.unwrap().unwrap();
    assert_eq!((kind, &cancelled[..2]), (kind::REPLY, &[1, 2][..]), "{cancelled:?}");
    channel.writer.write_all(call(3, 0)).await.unwrap();
    let (kind, answered) = read_frame(&mut channel).await.unwrap().unwrap();
    assert_eq!((kind, &answered[..2]), (kind::REPLY, &[3, 0][..]), "{answered:?}");
    scene.end().await;
}

async fn who_never_reads_is_read_no_further(scene: Scene) {
    let (session, _control) = scene.stranger.introduce("tests").await.unwrap();
    let mut channel = opened(&*session, &METHODS).await;
    let mut written = 0;
    // Numbers are used anew though their answers were never read: the service cannot know.
    let calls: Bytes = (0..64).flat_map(|number| call(number, 0)).collect();
    loop {
        match timeout(millis(500), channel.writer.write_all(calls.clone())).await {
            Err(_) => break,
            // A number was used before its answer had left: that ends the channel, which is a bound as well.
            Ok(Err(_)) => return scene.end().await,
            Ok(Ok(())) => written += calls.len(),
        }
        assert!(written < 32 << 20, "{written} bytes of calls were taken, and their answers are not read");
        // Let the answers leave.
        scene.healthy.answers(1).await;
    }
    scene.end().await;
}

async fn frames_that_never_end_hold_up_nobody(scene: Scene) {
    let (session, _control) = scene.stranger.introduce("tests").await.unwrap();
    let mut held = join_all((0..100).map(async |_| {
        let mut channel = opened(&*session, &METHODS).await;
        // As large as allowed, and never there.
        channel.writer.write_all(header(kind::CALL, 4 << 20, &[1; 1000])).await.unwrap();
        channel
    }))
    .await;
    scene.healthy.answers(100).await;
    let mut proper = opened(&*session, &METHODS).await;
    proper.writer.write_all(call(1, 0)).await.unwrap();
    let (_, answered) = timeout(secs(5), read_frame(&mut proper)).await.unwrap().unwrap().unwrap();
    assert_eq!(answered[..2], [1, 0], "{answered:?}");
    let stopped = join_all(held.iter_mut().map(|channel| timeout(secs(1), channel.writer.stopped()))).await;
    let crowded = stopped.iter().filter(|stopped| **stopped == Ok(WriteError::Stopped(ResetCode::CROWDED)));
    assert_eq!(crowded.count(), 100 - 16 - 32, "those that neither have room nor may wait: {stopped:?}");
    drop(held);
    scene.end().await;
}

async fn questions_are_answered_refused_or_not_understood(scene: Scene) {
    let (session, _control) = scene.stranger.introduce("tests").await.unwrap();
    let ask = async |question: &[u8]| {
        let mut channel = session.open().await.unwrap();
        channel.writer.write_all(frame(kind::QUESTION, question)).await.unwrap();
        channel
    };
    let answers = async |question: &[u8]| {
        let mut channel = ask(question).await;
        let (kind, answer) = timeout(secs(5), read_frame(&mut channel)).await.unwrap().unwrap().unwrap();
        (kind, String::from_utf8_lossy(&answer).into_owned())
    };
    let (kind, tree) = answers(br#""tree""#).await;
    assert!(kind == kind::ANSWER && tree.starts_with(r#"{"tree":[{"#), "{tree}");
    let call = br#"{"call":{"service":"tests.Host","method":"whoami","arguments":{},"timeout_ms":1000}}"#;
    let passed_on = br#"{"everywhere":{"query":"tree"}}"#;
    for strange in [&call[..], passed_on, b"{", b"\xff", br#"{"nonsense":1}"#] {
        let (kind, answer) = answers(strange).await;
        assert!(kind == kind::ANSWER && answer.starts_with(r#"{"unknown":"#), "{answer}");
    }
    // Nobody reads these answers.
    let held = join_all((0..50).map(async |_| ask(br#""tree""#).await)).await;
    scene.healthy.answers(50).await;
    drop(held);
    scene.end().await;
}

async fn channels_without_end_wait_at_the_limit(scene: Scene) {
    let (session, _control) = scene.stranger.introduce("tests").await.unwrap();
    let limit = usize::try_from(super::scene::CHANNELS_MAX).unwrap();
    let mut held = Vec::new();
    // The control channel is one of them.
    while held.len() < limit - 1 {
        let open = timeout(secs(5), opened(&*session, &METHODS)).await;
        held.push(open.unwrap_or_else(|_| panic!("only {} of {limit} channels were to be had", held.len())));
    }
    assert!(timeout(secs(1), session.open()).await.is_err(), "one more channel than allowed was to be had");
    scene.healthy.answers(50).await;
    // Whoever gives some back may open others.
    held.truncate(limit / 2);
    timeout(secs(10), opened(&*session, &METHODS)).await.expect("a channel was given back");
    scene.end().await;
}

on_both_transports!(
    a_flood_of_cancels_changes_nothing,
    who_never_reads_is_read_no_further,
    frames_that_never_end_hold_up_nobody,
    questions_are_answered_refused_or_not_understood,
);

mod over_quic_alone {
    /// A network in memory has a limit of its own, which its own tests reach.
    #[tokio::test]
    async fn channels_without_end_wait_at_the_limit() {
        super::channels_without_end_wait_at_the_limit(super::Scene::over_quic().await).await;
    }
}
