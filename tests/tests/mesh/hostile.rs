//! A peer with valid credentials breaks the protocol in every way: it gets a typed answer or a closed door, soon, and
//! nobody else notices.

macro_rules! on_both_transports {
    ($($attack:ident),* $(,)?) => {
        mod in_memory {
            $(#[tokio::test(start_paused = true)]
            async fn $attack() {
                super::$attack(crate::hostile::scene::Scene::in_memory().await).await;
            })*
        }

        mod over_quic {
            $(#[tokio::test]
            async fn $attack() {
                super::$attack(crate::hostile::scene::Scene::over_quic().await).await;
            })*
        }
    };
}

mod answers;
mod floods;
mod scene;
mod streams;
mod unread;

use bytes::Bytes;
use futures_util::future::join_all;
use qmesh_tests::{
    Mesh, secs,
    stranger::{self, Stranger, frame, header, hello, kind, opening, read_frame},
    work,
};
use qmesh_transport::{Channel, Session};
use tokio::time::{Instant, timeout};

use self::scene::{Pace, REAL, Scene, config};

const WHOAMI: (&str, &str) = ("whoami", "whoami() -> String");

/// What a peer may begin a session with, instead of a hello.
fn bad_beginnings() -> Vec<(&'static str, Bytes)> {
    vec![
        ("a frame of no known kind", frame(0xff, b"what?")),
        ("a frame that has no place here", frame(kind::CALL, &[0, 0, 0])),
        ("random bytes", Bytes::from_static(&[0xa5; 64])),
        ("a frame larger than allowed", header(kind::HELLO, u32::MAX, b"short")),
        ("a hello that is no Protobuf", frame(kind::HELLO, &[0xff; 16])),
        ("half a hello", header(kind::HELLO, 64, &hello(1, "tests"))),
        ("half a header", Bytes::from_static(&[kind::HELLO, 0])),
        ("another version of the protocol", frame(kind::HELLO, &hello(99, "tests"))),
        ("another mesh", frame(kind::HELLO, &hello(1, "elsewhere"))),
    ]
}

async fn sessions_that_begin_badly_are_closed(scene: Scene) {
    let Pace { opening, slack } = scene.pace;
    let refused = scene.host.counts().refused_sessions;
    let beginnings = bad_beginnings();
    let count = beginnings.len() as u64;
    let attacks = beginnings.into_iter().map(async |(what, bytes)| {
        let (session, _channel) = scene.stranger.say(bytes).await.unwrap();
        let closed = timeout(opening + slack, session.closed()).await;
        assert!(closed.is_ok(), "{what}: the session is still open");
    });
    let silent = async {
        let session = scene.stranger.knock().await.unwrap();
        assert!(
            timeout(opening + slack, session.closed()).await.is_ok(),
            "silence: the session is still open"
        );
    };
    tokio::join!(join_all(attacks), silent);
    let refused = scene.host.counts().refused_sessions - refused;
    assert_eq!(refused, count + 1, "each was counted");
    scene.end().await;
}

/// What a peer may begin a channel with.
fn bad_openings() -> Vec<(&'static str, Bytes)> {
    vec![
        ("a frame of no known kind", frame(0xff, b"what?")),
        ("a call before the opening", frame(kind::CALL, &[0, 0, 0])),
        ("random bytes", Bytes::from_static(&[0xa5; 64])),
        ("a frame larger than allowed", header(kind::OPEN, u32::MAX, b"short")),
        ("an opening that is no Protobuf", frame(kind::OPEN, &[0xff; 16])),
        ("half an opening", header(kind::OPEN, 64, b"half")),
        ("half a header", Bytes::from_static(&[kind::OPEN])),
        (
            "gossip, then something else",
            [frame(kind::GOSSIP, b"lies"), frame(kind::CALL, b"")].concat().into(),
        ),
        (
            "gossip, then 4 GiB of it",
            [frame(kind::GOSSIP, b"lies"), header(kind::GOSSIP, u32::MAX, b"short")].concat().into(),
        ),
    ]
}

async fn channels_that_begin_badly_are_closed(scene: Scene) {
    let broken = scene.host.counts().broken_channels;
    let (session, _control) = scene.stranger.introduce("tests").await.unwrap();
    let openings = bad_openings();
    let slack = scene.pace.opening + scene.pace.slack;
    let count = openings.len() as u64;
    join_all(openings.into_iter().map(async |(what, bytes)| {
        let mut channel = stranger::open(&*session, bytes).await.unwrap();
        let stopped = timeout(slack, channel.writer.stopped()).await;
        assert!(stopped.is_ok(), "{what}: the channel is still open");
    }))
    .await;
    // Cut off in the middle, and in order.
    let mut cut = stranger::open(&*session, header(kind::OPEN, 64, b"half")).await.unwrap();
    cut.writer.finish().unwrap();
    assert_eq!(read_frame(&mut cut).await.unwrap(), None);

    // The session outlives them: a proper call goes through.
    let mut channel = opened(&*session, &[WHOAMI]).await;
    channel.writer.write_all(call(1, 0)).await.unwrap();
    let (kind, reply) = read_frame(&mut channel).await.unwrap().unwrap();
    assert_eq!((kind, &reply[..2]), (kind::REPLY, &[1, 0][..]), "{reply:?}");
    let broken = scene.host.counts().broken_channels - broken;
    assert_eq!(broken, count + 1, "each was counted");
    scene.end().await;
}

/// What a peer may say on a channel for calls, after a proper opening.
fn bad_calls() -> Vec<(&'static str, Bytes)> {
    vec![
        ("a frame of no known kind", frame(0xff, b"what?")),
        ("a hello", frame(kind::HELLO, &hello(1, "tests"))),
        ("a frame larger than allowed", header(kind::CALL, u32::MAX, b"short")),
        ("a call of a method that was not agreed", call(1, 1)),
        ("a call of a method that was refused", call(1, 7)),
        ("a call without its fields", frame(kind::CALL, &[])),
        ("a call whose number has no end", frame(kind::CALL, &[0xff; 12])),
        ("two calls of one number", [slow_call(1), slow_call(1)].concat().into()),
        ("an answer", frame(kind::REPLY, &[1, 0, 0])),
        ("an item of no stream", frame(kind::ITEM, &[1])),
        (
            "a call with streams behind another call",
            [call(1, 0), frame(kind::STREAM, &[0, 0, 0x90])].concat().into(),
        ),
        ("a call with streams without its fields", frame(kind::STREAM, &[])),
        ("a call with streams of a method that was refused", frame(kind::STREAM, &[1, 0, 0x90])),
    ]
}

/// Opens a channel for calls of these methods.
async fn opened(session: &dyn Session, methods: &[(&str, &str)]) -> Channel {
    opened_at(session, "tests.Work", methods).await
}

/// Opens a channel for calls of these methods of a service.
async fn opened_at(session: &dyn Session, service: &str, methods: &[(&str, &str)]) -> Channel {
    let request = opening(service, "msgpack", methods);
    let mut channel = stranger::open(session, frame(kind::OPEN, &request)).await.unwrap();
    let (kind, answer) = read_frame(&mut channel).await.unwrap().unwrap();
    assert_eq!(kind, kind::OPENED, "{}", String::from_utf8_lossy(&answer));
    channel
}

/// A call with that number of the method of that number, without arguments, that may take ten seconds.
fn call(number: u8, method: u8) -> Bytes {
    frame(kind::CALL, &[number, method << 1, 0x90, 0x4e, 0x90])
}

/// A call of `pause`, the third method here, for a minute.
fn slow_call(number: u8) -> Bytes {
    frame(kind::CALL, &[number, 4, 0x90, 0x4e, 0x91, 0xcd, 0xea, 0x60])
}

async fn calls_that_break_the_protocol_end_their_channel(scene: Scene) {
    let (session, _control) = scene.stranger.introduce("tests").await.unwrap();
    let methods = [WHOAMI, ("vanish", "vanish()"), ("pause", "pause(millis: u64) -> String")];
    let (attacks, broken) = (bad_calls(), scene.host.counts().broken_channels);
    let count = attacks.len() as u64;
    join_all(attacks.into_iter().map(async |(what, bytes)| {
        let mut channel = opened(&*session, &methods).await;
        channel.writer.write_all(bytes).await.unwrap();
        let stopped = timeout(scene.pace.slack, channel.writer.stopped()).await;
        assert!(stopped.is_ok(), "{what}: the channel is still open");
    }))
    .await;
    assert_eq!(scene.host.counts().broken_channels - broken, count, "each was counted");
    scene.end().await;
}

async fn what_a_service_does_not_have_is_refused_with_a_reason(scene: Scene) {
    let (session, _control) = scene.stranger.introduce("tests").await.unwrap();
    for (service, codec, told) in [
        (
            "tests.Nothing",
            "msgpack",
            "node-0 has no service tests.Nothing; it has tests.Attic, tests.Depot, tests.Taps, tests.Work",
        ),
        ("tests.Work", "morse", "tests.Work speaks msgpack and json, not `morse`"),
    ] {
        let request = opening(service, codec, &[WHOAMI]);
        let mut channel = stranger::open(&*session, frame(kind::OPEN, &request)).await.unwrap();
        let (kind, answer) = read_frame(&mut channel).await.unwrap().unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(kind == kind::REFUSED && answer.contains(told), "{answer}");
    }
    let methods = [WHOAMI, ("vanish", "vanish()"), ("add", "add(amount: i8) -> u64")];
    let request = opening("tests.Work", "msgpack", &methods);
    let mut channel = stranger::open(&*session, frame(kind::OPEN, &request)).await.unwrap();
    let (kind, answer) = read_frame(&mut channel).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert_eq!(kind, kind::OPENED, "{answer}");
    for told in [
        "tests.Work has no method `vanish`; it has whoami, pause, add, text",
        "the caller means `add(amount: i8) -> u64`, the service has `add(amount: u64, millis: u64) -> u64`",
    ] {
        assert!(answer.contains(told), "`{told}` is not in: {answer}");
    }
    // What was agreed works, arguments that cannot be read are told, and the channel lives on.
    channel
        .writer
        .write_all([frame(kind::CALL, &[1, 0, 0x90, 0x4e, 0xc1]), call(2, 0)].concat().into())
        .await
        .unwrap();
    let (_, first) = read_frame(&mut channel).await.unwrap().unwrap();
    let told = String::from_utf8_lossy(&first);
    assert!(first[..2] == [1, 2] && told.contains("the service cannot read the arguments of `"), "{told}");
    let (_, second) = read_frame(&mut channel).await.unwrap().unwrap();
    assert_eq!(second[..2], [2, 0], "{second:?}");
    scene.end().await;
}

async fn a_flood_of_silent_sessions_and_channels_keeps_nobody_out(scene: Scene) {
    let (session, _control) = scene.stranger.introduce("tests").await.unwrap();
    let start = Instant::now();
    let flood = async {
        // More than the node waits for at a time, of both.
        let sessions = join_all((0..100).map(|_| scene.stranger.knock())).await;
        let channels =
            join_all((0..200).map(|_| stranger::open(&*session, Bytes::from_static(&[kind::OPEN])))).await;
        std::future::pending::<()>().await;
        drop((sessions, channels));
    };
    let mut flood = Box::pin(flood);
    tokio::select! {
        () = &mut flood => {}
        () = scene.healthy.answers(100) => {}
    }
    let limit = secs(3) + scene.pace.slack;
    assert!(start.elapsed() < limit, "the healthy one waited: {:?}", start.elapsed());
    // A newcomer gets in while the flood goes on.
    let knock = async {
        loop {
            if let Ok(introduced) = scene.stranger.introduce("tests").await {
                return introduced;
            }
        }
    };
    tokio::select! {
        () = &mut flood => {}
        introduced = timeout(secs(10), knock) => drop(introduced.expect("a newcomer gets in")),
    }
    drop(flood);
    scene.end().await;
}

async fn garbage_on_the_control_channel_ends_the_session_alone(scene: Scene) {
    for garbage in
        [frame(0xff, b"what?"), frame(kind::CONTROL, &[0xff; 8]), header(kind::CONTROL, u32::MAX, b"")]
    {
        let (session, mut control) = scene.stranger.introduce("tests").await.unwrap();
        control.writer.write_all(garbage).await.unwrap();
        assert!(timeout(scene.pace.slack, session.closed()).await.is_ok(), "the session is still open");
    }
    scene.end().await;
}

on_both_transports!(
    sessions_that_begin_badly_are_closed,
    channels_that_begin_badly_are_closed,
    calls_that_break_the_protocol_end_their_channel,
    what_a_service_does_not_have_is_refused_with_a_reason,
    a_flood_of_silent_sessions_and_channels_keeps_nobody_out,
    garbage_on_the_control_channel_ends_the_session_alone,
);

#[tokio::test]
async fn a_command_line_that_breaks_the_protocol_loses_its_channel() {
    let mesh = Mesh::new();
    let host =
        mesh.quic_node("node-0", None).config(config(REAL)).serve(work::server()).start().await.unwrap();
    let stranger = Stranger::command_line(&mesh.identity, host.addresses().remove(0)).unwrap();
    let (session, _control) = stranger.introduce("tests").await.unwrap();
    let attacks = [
        ("a frame of no known kind", frame(0xff, b"what?")),
        ("gossip, which is for members", frame(kind::GOSSIP, b"what?")),
        ("a call on no channel", call(1, 0)),
        ("a frame larger than allowed", header(kind::OPEN, u32::MAX, b"short")),
        ("an opening that is no Protobuf", frame(kind::OPEN, &[0xff; 16])),
    ];
    let count = attacks.len();
    for (what, bytes) in attacks {
        let mut channel = stranger::open(&*session, bytes).await.unwrap();
        assert!(
            timeout(REAL.slack, channel.writer.stopped()).await.is_ok(),
            "{what}: the channel is still open"
        );
    }
    assert_eq!(host.counts().broken_channels, count as u64, "each was counted");

    // More silent ones than are served at a time: their time is over, and then it is others' turn.
    let silent =
        join_all((0..80).map(|_| stranger::open(&*session, Bytes::from_static(&[kind::OPEN])))).await;
    let request = opening("tests.Work", "json", &[("whoami", "")]);
    let mut channel = stranger::open(&*session, frame(kind::OPEN, &request)).await.unwrap();
    let (kind, _) =
        timeout(2 * (REAL.opening + REAL.slack), read_frame(&mut channel)).await.unwrap().unwrap().unwrap();
    assert_eq!(kind, kind::OPENED);
    drop(silent);
    host.shutdown().await;
}

/// Datagrams that are no QUIC, and handshakes of which only the first packet ever arrives.
#[tokio::test]
async fn handshakes_that_never_finish_keep_nobody_out() {
    let scene = Scene::over_quic().await;
    let host = scene.host.addresses()[0].socket().unwrap();
    let relay = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let identity = Mesh::new().identity;
    let through = qmesh::Address::quic(relay.local_addr().unwrap());
    let stuck = Stranger::over_quic(&identity, through).unwrap();
    for length in 1..200 {
        relay.send_to(&vec![0xa5; length * 7], host).await.unwrap();
    }
    let forward = async {
        let mut buffer = vec![0; 65_536];
        for _ in 0..16 {
            let (length, _) = relay.recv_from(&mut buffer).await.unwrap();
            relay.send_to(&buffer[..length], host).await.unwrap();
        }
    };
    let dials = join_all((0..16).map(|_| stuck.knock()));
    let (_, dialled) = tokio::join!(forward, dials);
    assert!(dialled.iter().all(Result::is_err), "nobody answered");
    let (session, _control) = scene.stranger.introduce("tests").await.unwrap();
    drop(session);
    scene.end().await;
}
