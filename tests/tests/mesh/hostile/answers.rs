//! A member that others call, and that answers what it likes.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, future::join_all};
use parking_lot::Mutex;
use qmesh::{Config, Node, Outcome, Reason, Receiver};
use qmesh_tests::{
    Background, Mesh, millis, secs,
    stranger::{frame, header, hello, kind, read_frame},
    watch,
    work::{self, WorkClient},
};
use qmesh_transport::{Channel, CloseCode, Listener, ResetCode, Session, WriteError};
use tokio::time::timeout;

use super::{
    streams::{TapsClient, taps},
    unread::{DepotClient, depot},
};

/// Opened: three methods, a one-way window of 8, 16 calls, 1000 bytes.
const OPENED: [u8; 13] = [10, 0, 10, 0, 10, 0, 16, 8, 24, 16, 32, 0xe8, 7];

/// The largest answer that the caller takes.
const ANSWER: usize = 1 << 20;

/// What a service may say to the only call, of the number 0, that is under way.
fn bad_answers() -> Vec<(&'static str, Bytes)> {
    let reply = frame(kind::REPLY, &[0, 0, 0, 0xa1, b'x']);
    vec![
        ("an answer to a call that nobody made", frame(kind::REPLY, &[9, 0, 0])),
        (
            "an answer to a call of an impossible number",
            frame(kind::REPLY, &[0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0]),
        ),
        ("two answers", [&reply[..], &reply[..]].concat().into()),
        ("an answer of no known status", frame(kind::REPLY, &[0, 9, 0])),
        ("an answer without its fields", frame(kind::REPLY, &[])),
        ("a failure that is no Protobuf", frame(kind::REPLY, &[0, 2, 0, 0xff, 0xff])),
        ("an acknowledgement of what was never sent", frame(kind::ACKNOWLEDGE, &[1, 0, 0])),
        ("an acknowledgement without end", frame(kind::ACKNOWLEDGE, &[0xff; 33])),
        ("an answer of 4 GiB", header(kind::REPLY, u32::MAX, b"short")),
        ("a frame of no known kind", frame(0xff, b"what?")),
        ("a call", frame(kind::CALL, &[0, 0, 1, 0x90])),
        ("an item", frame(kind::ITEM, &[1])),
    ]
}

/// Takes the place of a node that has just been killed: its name, its key, its address.
struct Impostor {
    listener: Arc<dyn Listener>,
    /// Channels that it does not read. Were they dropped, the caller would end the session.
    unread: Mutex<Vec<Channel>>,
}

impl Impostor {
    /// The next session, introduced as a newer life.
    async fn session(&self) -> (Arc<dyn Session>, Channel) {
        let session = self.listener.accept().await.unwrap().handshake().await.unwrap();
        let mut control = session.accept().await.unwrap();
        let (kind, _) = read_frame(&mut control).await.unwrap().unwrap();
        assert_eq!(kind, kind::HELLO);
        control.writer.write_all(frame(kind::HELLO, &hello(1, "tests"))).await.unwrap();
        (session, control)
    }

    /// The next call channel; gossip is not listened to.
    async fn call_channel(&self, session: &dyn Session) -> Channel {
        loop {
            let mut channel = session.accept().await.unwrap();
            let (kind, _) = read_frame(&mut channel).await.unwrap().unwrap();
            if kind == kind::OPEN {
                channel.writer.write_all(frame(kind::OPENED, &OPENED)).await.unwrap();
                return channel;
            }
            self.unread.lock().push(channel);
        }
    }
}

/// A node that calls, and serves others, and an impostor in the place of the node that it calls.
async fn caller_and_impostor(mesh: &Mesh) -> (Node, Impostor) {
    let mut config = Config::local();
    config.limits.message_bytes_max = ANSWER;
    // The least: one of the largest frames.
    config.limits.large_frames_bytes_max = 0;
    let caller = mesh.node("node-0").config(config).serve(taps()).start().await.unwrap();
    let victim = mesh.node("victim").serve(work::server()).serve(depot()).start().await.unwrap();
    watch::endpoints(&caller, "tests.Work", 1).await;
    caller.client::<WorkClient>().whoami().await.unwrap();
    drop(victim);
    let credentials = mesh.identity.credentials("victim").unwrap();
    let endpoint = loop {
        match mesh.network.bind("victim", credentials.clone()) {
            Ok(endpoint) => break endpoint,
            Err(_taken) => tokio::time::sleep(millis(1)).await,
        }
    };
    (caller, Impostor { listener: endpoint.listener(), unread: Mutex::default() })
}

#[tokio::test(start_paused = true)]
async fn answers_that_break_the_protocol_end_their_channel_and_no_other() {
    let mesh = Mesh::new();
    let (caller, impostor) = caller_and_impostor(&mesh).await;
    let bystander = mesh.node("bystander").start().await.unwrap();
    watch::endpoints(&bystander, "tests.Taps", 1).await;
    let tap = bystander.client::<TapsClient>();
    let healthy = Background::start(2, millis(2), move || {
        let tap = tap.clone();
        async move { tap.sum(Receiver::of([1, 2])).await.map(|sum| sum.to_string()) }
    });
    healthy.answers(10).await;
    let client = caller.client::<WorkClient>();
    let attack = async {
        let (session, _control) = impostor.session().await;
        for (what, bytes) in bad_answers() {
            let answering = async {
                let mut channel = impostor.call_channel(&*session).await;
                let (kind, _call) = read_frame(&mut channel).await.unwrap().unwrap();
                assert_eq!(kind, kind::CALL);
                channel.writer.write_all(bytes).await.unwrap();
                let stopped = timeout(secs(1), channel.writer.stopped()).await;
                assert_eq!(stopped, Ok(WriteError::Stopped(ResetCode::PROTOCOL)), "{what}");
            };
            let (called, ()) = tokio::join!(client.add(1, 0), answering);
            if what != "two answers" {
                let failure = called.expect_err(what);
                let known = (failure.outcome(), failure.reason());
                assert!(
                    matches!(
                        known,
                        (Outcome::Unknown, Reason::ConnectionLost | Reason::Protocol | Reason::BadReply)
                    ),
                    "{what}: {failure}"
                );
            }
        }
    };
    timeout(secs(60), attack).await.expect("each attack ends");
    healthy.stop().await.assert_no_failure();
    Mesh::end([bystander, caller]).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_channel_is_given_up_for_want_of_room_is_overloaded() {
    let mesh = Mesh::new();
    let (caller, impostor) = caller_and_impostor(&mesh).await;
    let client = caller.client::<WorkClient>();
    let (session, _control) = impostor.session().await;
    let giving_up = async {
        let mut channel = impostor.call_channel(&*session).await;
        let (kind, _call) = read_frame(&mut channel).await.unwrap().unwrap();
        assert_eq!(kind, kind::CALL);
        channel.reader.stop(ResetCode::CROWDED);
        channel.writer.reset(ResetCode::CROWDED);
    };
    let (called, ()) = tokio::join!(client.add(1, 0), giving_up);
    let failure = called.unwrap_err();
    assert_eq!((failure.outcome(), failure.reason()), (Outcome::Unknown, Reason::Overloaded), "{failure}");
    caller.shutdown().await;
}

/// A peer that gives its sessions up lives; but one that does it for ever is not to be dialled for ever in a row.
#[tokio::test(start_paused = true)]
async fn who_gives_up_every_session_is_not_suspected_and_dialled_with_growing_pauses() {
    let mesh = Mesh::new();
    let (caller, impostor) = caller_and_impostor(&mesh).await;
    let mut given_up = 0;
    let giving_up = async {
        loop {
            let (session, _control) = impostor.session().await;
            session.close(CloseCode::REPLACED, "there is another one");
            given_up += 1;
        }
    };
    timeout(secs(1), giving_up).await.expect_err("it is dialled for ever");
    // Pauses of 50 ms, 100, 200, 400, shortened by chance to half of that.
    assert!((3..=6).contains(&given_up), "{given_up} sessions in a second");
    let events = caller.events();
    caller.shutdown().await;
    let happened: Vec<_> = events.collect().await;
    let count = |kind| happened.iter().filter(|happened| happened.event.kind() == kind).count();
    assert_eq!(count("session_down"), 1 + given_up, "{happened:?}");
    assert_eq!(count("suspected"), 1, "of the node that was killed: {happened:?}");
}

#[tokio::test(start_paused = true)]
async fn answers_that_never_end_hold_a_share_and_no_more() {
    const CALLS: usize = 36;
    /// One has room, and 32 wait for it.
    const HELD: usize = 33;
    let mesh = Mesh::new();
    let (caller, impostor) = caller_and_impostor(&mesh).await;
    let client = caller.client::<DepotClient>();
    let calls = join_all((0..CALLS).map(async |_| {
        let failure = client.weigh(Receiver::of([1]), 1).timeout(secs(5)).await.unwrap_err();
        assert_eq!(failure.outcome(), Outcome::Unknown, "{failure}");
        failure
    }));
    let attack = async {
        let (session, _control) = impostor.session().await;
        let mut held = Vec::new();
        while held.len() < CALLS {
            let mut channel = impostor.call_channel(&*session).await;
            let (kind, _begin) = read_frame(&mut channel).await.unwrap().unwrap();
            assert_eq!(kind, kind::STREAM);
            let claim = u32::try_from(ANSWER).unwrap();
            channel.writer.write_all(header(kind::REPLY, claim, &[0; 5000])).await.unwrap();
            held.push(channel);
        }
        let stopped = join_all(held.iter_mut().map(|channel| timeout(secs(1), channel.writer.stopped())));
        stopped
            .await
            .into_iter()
            .filter(|stopped| *stopped == Ok(WriteError::Stopped(ResetCode::CROWDED)))
            .count()
    };
    let (failures, told) = tokio::join!(calls, attack);
    assert_eq!(told, CALLS - HELD, "the service hears why");
    let crowded = failures.iter().filter(|failure| failure.reason() == Reason::Overloaded).count();
    assert_eq!(crowded, CALLS - HELD, "{failures:?}");
    caller.shutdown().await;
}
