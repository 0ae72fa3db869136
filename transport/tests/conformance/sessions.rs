//! What sessions promise.

use bytes::{Bytes, BytesMut};
use qmesh_transport::{CloseCode, Role, SessionClosed};
use tokio::time::{Instant, sleep};

use super::{Fixture, Pair, mesh, talk};

const CODE: CloseCode = CloseCode(99);

pub(crate) async fn both_sides_know_whom_they_talk_to(fixture: &impl Fixture) {
    let mesh = mesh();
    let (ours, theirs) = (mesh.credentials("a").unwrap(), mesh.credentials("b").unwrap());
    let (a, b) = (fixture.bind("a", ours.clone()), fixture.bind("b", theirs.clone()));
    let (dialed, accepted) = b.meet(&a, None).await;
    let (dialed, accepted) = (dialed.unwrap(), accepted.unwrap());
    assert_eq!(dialed.peer(), &theirs.peer_identity());
    assert_eq!(accepted.peer(), &ours.peer_identity());
    assert_eq!(
        (accepted.peer().name(), accepted.peer().mesh(), accepted.peer().role()),
        ("a", "test", Role::Node)
    );
    assert_eq!((dialed.local_address(), dialed.remote_address()), (a.address(), b.address()));
    assert_eq!((accepted.local_address(), accepted.remote_address()), (b.address(), a.address()));
    assert!(accepted.peer().verify_signature(b"record", &ours.sign(b"record")));
}

pub(crate) async fn a_close_tells_the_peer_its_code_and_reason(fixture: &impl Fixture) {
    let pair = Pair::new(fixture).await;
    let reason = format!("{}é", "x".repeat(255));
    pair.dialed.close(CODE, &reason);
    let reason = "x".repeat(255);
    assert_eq!(pair.dialed.closed().await, SessionClosed::Local { code: CODE, reason: reason.clone() });
    let told = SessionClosed::Peer { code: CODE, reason };
    assert_eq!(pair.accepted.closed().await, told, "a reason is cut to 256 bytes, at a character");
}

pub(crate) async fn the_reason_of_an_end_never_changes(fixture: &impl Fixture) {
    let pair = Pair::new(fixture).await;
    pair.dialed.close(CODE, "first");
    pair.dialed.close(CloseCode::SHUTDOWN, "second");
    let told = pair.accepted.closed().await;
    assert_eq!(told, SessionClosed::Peer { code: CODE, reason: "first".to_owned() });
    pair.accepted.close(CloseCode::SHUTDOWN, "too late");
    assert_eq!(pair.accepted.closed().await, told);
    assert_eq!(pair.accepted.open().await.unwrap_err(), told);
    let reason = "first".to_owned();
    assert_eq!(pair.dialed.closed().await, SessionClosed::Local { code: CODE, reason });
}

pub(crate) async fn dropping_the_last_handle_closes(fixture: &impl Fixture) {
    let pair = Pair::new(fixture).await;
    let (mut ours, _theirs) = pair.channel().await;
    drop(pair.dialed);
    let told = SessionClosed::Peer { code: CloseCode::DROPPED, reason: String::new() };
    assert_eq!(pair.accepted.closed().await, told);
    let written = ours.writer.write_all(Bytes::from_static(b"x")).await;
    assert_eq!(
        written,
        Err(SessionClosed::Local { code: CloseCode::DROPPED, reason: String::new() }.into()),
        "a channel holds no session"
    );
}

pub(crate) async fn what_waits_fails_when_the_session_ends(fixture: &impl Fixture) {
    let pair = Pair::new(fixture).await;
    let (_ours, mut theirs) = pair.channel().await;
    let mut buffer = BytesMut::new();
    let close = async {
        tokio::task::yield_now().await;
        pair.dialed.close(CODE, "");
    };
    let (accept, read, stopped, ()) = tokio::join!(
        pair.accepted.accept(),
        theirs.reader.read(&mut buffer, 1),
        theirs.writer.stopped(),
        close
    );
    let told = SessionClosed::Peer { code: CODE, reason: String::new() };
    assert_eq!(accept.unwrap_err(), told);
    assert_eq!(read, Err(told.clone().into()));
    assert_eq!(stopped, told.into());
}

pub(crate) async fn a_crashed_peer_falls_silent(fixture: &impl Fixture) {
    let pair = Pair::new(fixture).await;
    pair.b.crash();
    assert_eq!(pair.dialed.closed().await, SessionClosed::Silent);
}

pub(crate) async fn a_restarted_node_disowns_its_old_sessions<F: Fixture>(fixture: &F) {
    let mesh = mesh();
    let [a, b] = ["a", "b"].map(|name| fixture.bind(name, mesh.credentials(name).unwrap()));
    let (dialed, accepted) = b.meet(&a, None).await;
    let (dialed, accepted) = (dialed.unwrap(), accepted.unwrap());
    let address = b.address();
    b.crash();
    drop(accepted);
    let started = Instant::now();
    let _restarted = fixture.rebind(&address, mesh.credentials("b").unwrap());
    assert_eq!(dialed.closed().await, SessionClosed::Restarted);
    assert!(started.elapsed() < F::IDLE * 9 / 10, "after {:?}", started.elapsed());
}

pub(crate) async fn an_idle_session_lives_on<F: Fixture>(fixture: &F) {
    let pair = Pair::new(fixture).await;
    sleep(F::IDLE * 5 / 2).await;
    talk(&pair.accepted, &pair.dialed, "still here").await;
}

pub(crate) async fn two_nodes_dial_each_other(fixture: &impl Fixture) {
    let mesh = mesh();
    let [a, b] = ["a", "b"].map(|name| fixture.bind(name, mesh.credentials(name).unwrap()));
    let ((ab, at_b), (ba, at_a)) = tokio::join!(b.meet(&a, None), a.meet(&b, None));
    talk(&ab.unwrap(), &at_b.unwrap(), "from a").await;
    talk(&ba.unwrap(), &at_a.unwrap(), "from b").await;
}

pub(crate) async fn a_closed_listener_accepts_nobody_and_sessions_live_on(fixture: &impl Fixture) {
    let pair = Pair::new(fixture).await;
    pair.b.listener.close();
    assert!(pair.b.listener.accept().await.is_none());
    pair.a.dial(&pair.b.address(), None).await.unwrap_err();
    talk(&pair.dialed, &pair.accepted, "still here").await;
}
