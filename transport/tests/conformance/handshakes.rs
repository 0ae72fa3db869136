//! Who is let in, who is not, and what both sides are told.

use std::time::{Duration, SystemTime};

use qmesh_transport::{Address, Authority, Credentials, DialError, HandshakeError, IssueOptions, Role};

use super::{Endpoint, Fixture, mesh, talk};

const HOUR: Duration = Duration::from_secs(60 * 60);

fn authority() -> Authority {
    Authority::ephemeral("test").unwrap()
}

fn issue(authority: &Authority, name: &str, role: Role) -> Credentials {
    authority.issue(name, role).unwrap().credentials().unwrap()
}

fn issue_for(
    authority: &Authority,
    name: &str,
    not_before: SystemTime,
    not_after: SystemTime,
) -> Credentials {
    let mut options = IssueOptions::new(name, Role::Node);
    (options.not_before, options.not_after) = (not_before, not_after);
    authority.issue_with(&options).unwrap().credentials().unwrap()
}

fn expired(authority: &Authority, name: &str) -> Credentials {
    issue_for(authority, name, SystemTime::now() - 2 * HOUR, SystemTime::now() - HOUR)
}

fn early(authority: &Authority, name: &str) -> Credentials {
    issue_for(authority, name, SystemTime::now() + HOUR, SystemTime::now() + 2 * HOUR)
}

/// Has `dialer` dial `acceptor`, both fresh endpoints, and gives the two errors.
async fn refusals(
    fixture: &impl Fixture,
    dialer: Credentials,
    acceptor: Credentials,
) -> (DialError, HandshakeError) {
    let (a, b) = (fixture.bind("a", dialer), fixture.bind("b", acceptor));
    let (dialed, accepted) = b.meet(&a, None).await;
    (dialed.unwrap_err(), accepted.unwrap_err())
}

fn we_refused(error: &DialError) -> &str {
    let DialError::RefusedPeer { reason, .. } = error else { panic!("{error}") };
    reason
}

fn they_refused(error: &DialError) -> &str {
    let DialError::RefusedByPeer { reason, .. } = error else { panic!("{error}") };
    reason
}

fn refused(error: &HandshakeError) -> &str {
    let HandshakeError::Refused { reason, .. } = error else { panic!("{error}") };
    reason
}

fn refused_us(error: &HandshakeError) -> &str {
    let HandshakeError::RefusedByPeer { reason, .. } = error else { panic!("{error}") };
    reason
}

pub(crate) async fn another_node_than_expected_is_refused(fixture: &impl Fixture) {
    let mesh = mesh();
    let [a, b] = ["a", "b"].map(|name| fixture.bind(name, mesh.credentials(name).unwrap()));
    let [b_id, expected] = ["b", "c"].map(|name| mesh.credentials(name).unwrap().id());
    let (dialed, accepted) = b.meet(&a, Some(expected)).await;
    match dialed.unwrap_err() {
        DialError::UnexpectedPeer { expected: e, found, .. } => assert_eq!((e, found), (expected, b_id)),
        other => panic!("{other}"),
    }
    assert_eq!(refused_us(&accepted.unwrap_err()), "it expected another node at this address");
}

pub(crate) async fn the_expected_node_is_not_refused(fixture: &impl Fixture) {
    let mesh = mesh();
    let [a, b] = ["a", "b"].map(|name| fixture.bind(name, mesh.credentials(name).unwrap()));
    let (dialed, accepted) = b.meet(&a, Some(mesh.credentials("b").unwrap().id())).await;
    talk(&dialed.unwrap(), &accepted.unwrap(), "hello").await;
}

pub(crate) async fn a_dialer_refuses_another_authority(fixture: &impl Fixture) {
    let (ours, theirs) = (issue(&authority(), "a", Role::Node), issue(&authority(), "b", Role::Node));
    let (dialer, acceptor) = refusals(fixture, ours, theirs).await;
    assert_eq!(we_refused(&dialer), "its certificate does not come from our authority");
    assert_eq!(refused_us(&acceptor), "it does not trust our authority");
}

pub(crate) async fn an_acceptor_refuses_another_authority(fixture: &impl Fixture) {
    let (ours, theirs) = (authority(), authority());
    let issued = ours.issue("a", Role::Node).unwrap();
    // A dialer that trusts the acceptor's authority besides its own, as while one replaces the other.
    let both = [ours.certificate_pem(), theirs.certificate_pem()].concat();
    let trusting = Credentials::from_pem(issued.certificate_pem(), &issued.key().to_pem(), &both).unwrap();
    let (dialer, acceptor) = refusals(fixture, trusting, issue(&theirs, "b", Role::Node)).await;
    assert_eq!(they_refused(&dialer), "it does not trust our authority");
    assert_eq!(refused(&acceptor), "its certificate does not come from our authority");
}

pub(crate) async fn another_mesh_is_refused(fixture: &impl Fixture) {
    let other = Authority::ephemeral("prod").unwrap();
    let (dialer, acceptor) =
        refusals(fixture, issue(&authority(), "a", Role::Node), issue(&other, "b", Role::Node)).await;
    assert_eq!(we_refused(&dialer), "it belongs to mesh `prod`, we belong to `test`");
    assert_eq!(refused_us(&acceptor), "it belongs to another mesh");
}

pub(crate) async fn an_expired_acceptor_is_refused(fixture: &impl Fixture) {
    let mesh = authority();
    let (dialer, acceptor) = refusals(fixture, issue(&mesh, "a", Role::Node), expired(&mesh, "b")).await;
    assert!(we_refused(&dialer).starts_with("its certificate expired at "), "{dialer}");
    assert_eq!(refused_us(&acceptor), "our certificate is expired or not yet valid there: check both clocks");
}

pub(crate) async fn an_expired_dialer_is_refused(fixture: &impl Fixture) {
    let mesh = authority();
    let (dialer, acceptor) = refusals(fixture, expired(&mesh, "a"), issue(&mesh, "b", Role::Node)).await;
    assert_eq!(they_refused(&dialer), "our certificate is expired or not yet valid there: check both clocks");
    assert!(refused(&acceptor).starts_with("its certificate expired at "), "{acceptor}");
}

pub(crate) async fn an_acceptor_whose_time_has_not_come_is_refused(fixture: &impl Fixture) {
    let mesh = authority();
    let (dialer, acceptor) = refusals(fixture, issue(&mesh, "a", Role::Node), early(&mesh, "b")).await;
    assert!(we_refused(&dialer).starts_with("its certificate begins at "), "{dialer}");
    assert_eq!(refused_us(&acceptor), "our certificate is expired or not yet valid there: check both clocks");
}

pub(crate) async fn a_dialer_whose_time_has_not_come_is_refused(fixture: &impl Fixture) {
    let mesh = authority();
    let (dialer, acceptor) = refusals(fixture, early(&mesh, "a"), issue(&mesh, "b", Role::Node)).await;
    assert_eq!(they_refused(&dialer), "our certificate is expired or not yet valid there: check both clocks");
    assert!(refused(&acceptor).ends_with("check both clocks"), "{acceptor}");
}

pub(crate) async fn a_client_is_not_dialled(fixture: &impl Fixture) {
    let mesh = authority();
    let (dialer, acceptor) =
        refusals(fixture, issue(&mesh, "a", Role::Node), issue(&mesh, "b", Role::Client)).await;
    assert_eq!(we_refused(&dialer), "it is a client, and only a node can be dialled");
    assert!(refused_us(&acceptor).ends_with("a client cannot be dialled"), "{acceptor}");
}

pub(crate) async fn a_client_may_dial(fixture: &impl Fixture) {
    let mesh = authority();
    let (a, b) = (issue(&mesh, "a", Role::Client), issue(&mesh, "b", Role::Node));
    let (a, b) = (fixture.bind("a", a), fixture.bind("b", b));
    let (dialed, accepted) = b.meet(&a, None).await;
    assert_eq!(accepted.as_ref().unwrap().peer().role(), Role::Client);
    talk(&dialed.unwrap(), &accepted.unwrap(), "hello").await;
}

pub(crate) async fn nobody_answers_where_nobody_is(fixture: &impl Fixture) {
    let a = fixture.bind("a", mesh().credentials("a").unwrap());
    let error = a.dial(&fixture.nowhere(), None).await.unwrap_err();
    assert!(matches!(error, DialError::Unreachable(_)), "{error}");
}

pub(crate) async fn another_scheme_is_refused(fixture: &impl Fixture) {
    let a = fixture.bind("a", mesh().credentials("a").unwrap());
    let other = match a.address() {
        Address::Memory(_) => "quic://127.0.0.1:1",
        _ => "memory://b",
    };
    let error = a.dial(&other.parse().unwrap(), None).await.unwrap_err();
    assert!(matches!(error, DialError::Scheme(_)), "{error}");
}

pub(crate) async fn a_peer_turned_away_learns_it(fixture: &impl Fixture) {
    let mesh = mesh();
    let [a, b] = ["a", "b"].map(|name| fixture.bind(name, mesh.credentials(name).unwrap()));
    let dialed = a.dial(&b.address(), None);
    drop(b.listener.accept().await.unwrap());
    assert_eq!(they_refused(&dialed.await.unwrap_err()), "it takes no sessions now");
}

pub(crate) async fn a_handshake_that_never_finishes_ends_and_holds_up_no_other(fixture: &impl Fixture) {
    let mesh = mesh();
    let [a, b]: [Endpoint; 2] = ["a", "b"].map(|name| fixture.bind(name, mesh.credentials(name).unwrap()));
    let hanging = b.accept();
    fixture.knock_and_fall_silent(&b.address()).await;
    let (dialed, accepted) = b.meet(&a, None).await;
    talk(&dialed.unwrap(), &accepted.unwrap(), "hello").await;
    let error = hanging.await.unwrap_err();
    assert!(matches!(error, HandshakeError::TimedOut { .. }), "{error}");
}
