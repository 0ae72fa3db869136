//! Lies that need a genuine signature, and what the filter remembers.

use qmesh_transport::{Authority, Identity};

use super::*;
use crate::{
    Announcement, NodeState,
    record::{Order, Sealed},
};

const OWN_GENERATION: u64 = 100;

/// The filter of one node, and the identities of its mesh.
struct Fixture {
    identity: Identity,
    filter: Filter,
}

fn fixture() -> Fixture {
    let identity = Identity::issued_by(&Authority::ephemeral("test").unwrap());
    let mut filter = Filter::new(identity.credentials("me").unwrap(), 10);
    filter.begin(OWN_GENERATION);
    Fixture { identity, filter }
}

fn now() -> Now {
    Now { wall: UnixTime::now(), instant: Instant::now() }
}

fn seal(credentials: &Credentials, generation: u64, version: u64) -> Sealed {
    let announcement =
        Announcement { state: NodeState::Ready, addresses: Vec::new(), zone: None, services: Vec::new() };
    Sealed::seal(credentials, Order { incarnation: 1, generation, version }, &announcement).unwrap()
}

/// An honest delta about a record.
fn about(sealed: &Sealed) -> NodeDelta {
    let (generation, version) = sealed.record.order();
    let entry = Entry { key: KEY.into(), value: sealed.text.to_string(), version, status: Status::Set };
    NodeDelta {
        member: MemberId::new(sealed.record.id, generation),
        collected: 0,
        from: 7,
        entries: vec![entry],
        newest: None,
    }
}

fn entry(id: NodeId, generation: u64, heartbeat: u64) -> DigestEntry {
    DigestEntry { member: MemberId::new(id, generation), heartbeat, collected: 0, version: 1 }
}

fn syn(entries: Vec<DigestEntry>) -> Message {
    Message::Syn { digest: entries, mesh: "test".into() }
}

impl Fixture {
    fn credentials(&self, name: &str) -> Credentials {
        self.identity.credentials(name).unwrap()
    }

    /// What passes of a message from a stranger to all stories here.
    fn pass(&mut self, message: Message) -> Passed {
        let from = self.credentials("messenger").id();
        self.filter.pass(from, message, now())
    }

    fn ack(&mut self, delta: NodeDelta) -> Passed {
        self.pass(Message::Ack { delta: vec![delta] })
    }
}

fn is_empty(passed: &Passed) -> bool {
    match passed.message.as_ref() {
        Some(Message::Syn { digest, .. }) => digest.is_empty(),
        Some(Message::Ack { delta }) => delta.is_empty(),
        Some(Message::SynAck { digest, delta }) => digest.is_empty() && delta.is_empty(),
        Some(Message::BadCluster) | None => true,
    }
}

#[track_caller]
fn check_rejected(passed: &Passed, rejection: Rejection) {
    assert_eq!(passed.rejected, [rejection]);
    assert!(is_empty(passed) && passed.records.is_empty(), "{passed:?}");
}

#[test]
fn an_honest_record_passes_and_applies_to_whatever_is_known() {
    let mut fixture = fixture();
    let sealed = seal(&fixture.credentials("peer"), 5, 3);
    let passed = fixture.ack(about(&sealed));
    assert_eq!(passed.records, [Arc::clone(&sealed.record)]);
    assert_eq!(passed.message, Some(Message::Ack { delta: vec![NodeDelta { from: 0, ..about(&sealed) }] }));
}

#[test]
fn a_genuine_record_under_another_version_or_generation_is_rejected() {
    let mut fixture = fixture();
    let sealed = seal(&fixture.credentials("peer"), 5, 3);
    let mut later = about(&sealed);
    later.entries[0].version = 1_000;
    check_rejected(&fixture.ack(later), Rejection::Version);
    let mut newer = about(&sealed);
    newer.member.generation = 6;
    check_rejected(&fixture.ack(newer), Rejection::Version);
}

#[test]
fn a_known_text_under_another_version_is_rejected_too() {
    let mut fixture = fixture();
    let sealed = seal(&fixture.credentials("peer"), 5, 3);
    fixture.ack(about(&sealed));
    let mut later = about(&sealed);
    later.entries[0].version = 1_000;
    check_rejected(&fixture.ack(later), Rejection::Version);
}

#[test]
fn a_genuine_record_under_another_nodes_id_is_rejected() {
    let mut fixture = fixture();
    let sealed = seal(&fixture.credentials("liar"), 5, 3);
    let victim = fixture.credentials("victim").id();
    let lie = NodeDelta { member: MemberId::new(victim, 5), ..about(&sealed) };
    check_rejected(&fixture.ack(lie), Rejection::Unverified);
}

#[test]
fn a_record_by_another_authority_is_rejected() {
    let mut fixture = fixture();
    let stranger = Identity::issued_by(&Authority::ephemeral("test").unwrap()).credentials("peer").unwrap();
    check_rejected(&fixture.ack(about(&seal(&stranger, 5, 3))), Rejection::Unverified);
}

#[test]
fn the_past_told_again_changes_nothing_and_is_no_lie() {
    let mut fixture = fixture();
    let peer = fixture.credentials("peer");
    fixture.ack(about(&seal(&peer, 5, 3)));
    for (generation, version) in [(5, 2), (4, 9)] {
        let passed = fixture.ack(about(&seal(&peer, generation, version)));
        assert!(is_empty(&passed) && passed.rejected.is_empty() && passed.records.is_empty(), "{passed:?}");
    }
}

#[test]
fn the_same_record_is_verified_once() {
    let mut fixture = fixture();
    let delta = about(&seal(&fixture.credentials("peer"), 5, 3));
    fixture.ack(delta.clone());
    // By then its certificate has expired, so verifying would fail.
    let century = Duration::from_hours(24 * 365 * 100);
    let later = Now { wall: UnixTime::since_unix_epoch(century), ..now() };
    let from = fixture.credentials("messenger").id();
    let passed = fixture.filter.pass(from, Message::Ack { delta: vec![delta.clone()] }, later);
    assert!(!is_empty(&passed) && passed.records.is_empty());

    let mut fresh = Filter::new(fixture.credentials("me"), 10);
    let passed = fresh.pass(from, Message::Ack { delta: vec![delta] }, later);
    assert_eq!(passed.rejected, [Rejection::Unverified]);
}

#[test]
fn a_flood_of_bad_records_is_cut_short() {
    let mut fixture = fixture();
    let sealed = seal(&fixture.credentials("liar"), 5, 3);
    let lie = |number: u8| NodeDelta {
        member: MemberId::new(NodeId::from_bytes([number; 16]), 5),
        ..about(&sealed)
    };
    let passed = fixture.pass(Message::Ack { delta: (0..200).map(lie).collect() });
    assert_eq!(passed.rejected.len(), FAILURES_PER_MESSAGE_MAX + 1);
}

#[test]
fn a_digest_tells_only_of_nodes_that_are_proven_or_speak_for_themselves() {
    let mut fixture = fixture();
    let peer = fixture.credentials("peer");
    let told = || syn(vec![entry(peer.id(), 5, 9)]);
    let passed = fixture.pass(told());
    assert!(is_empty(&passed));
    assert_eq!((passed.unproven, passed.rejected), (1, vec![]));

    let passed = fixture.filter.pass(peer.id(), told(), now());
    assert!(!is_empty(&passed), "it speaks for itself");
    assert!(!is_empty(&fixture.pass(told())), "and is known from then on");
}

#[test]
fn a_record_proves_the_node_in_the_same_message() {
    let mut fixture = fixture();
    let sealed = seal(&fixture.credentials("peer"), 5, 3);
    let digest = vec![entry(sealed.record.id, 5, 9)];
    let passed = fixture.pass(Message::SynAck { digest: digest.clone(), delta: vec![about(&sealed)] });
    let Some(Message::SynAck { digest: kept, .. }) = passed.message else { panic!("{passed:?}") };
    assert_eq!(kept, digest);
}

#[test]
fn a_former_run_is_not_taken_up_again() {
    let mut fixture = fixture();
    let peer = fixture.credentials("peer");
    fixture.ack(about(&seal(&peer, 5, 3)));
    let passed = fixture.filter.pass(peer.id(), syn(vec![entry(peer.id(), 4, 9)]), now());
    assert!(is_empty(&passed) && passed.rejected.is_empty(), "{passed:?}");
}

#[test]
fn a_run_of_ours_is_believed_only_with_our_signature() {
    let mut fixture = fixture();
    let me = fixture.credentials("me");
    let told = fixture.pass(syn(vec![entry(me.id(), 900, 9)]));
    assert!(is_empty(&told));
    let stranger = seal(&fixture.credentials("liar"), 900, 1);
    let lie = NodeDelta { member: MemberId::new(me.id(), 900), ..about(&stranger) };
    check_rejected(&fixture.ack(lie), Rejection::Unverified);
    assert_eq!(fixture.filter.newest_own_generation(), 0);

    let passed = fixture.ack(about(&seal(&me, 900, 1)));
    assert!(is_empty(&passed) && passed.records.is_empty(), "chitchat is told nothing about us");
    assert_eq!(fixture.filter.newest_own_generation(), 900);
    fixture.ack(about(&seal(&me, 50, 1)));
    assert_eq!(fixture.filter.newest_own_generation(), 900);
}

#[test]
fn what_others_tell_of_our_heartbeat_is_passed_on_and_noted() {
    let mut fixture = fixture();
    let me = fixture.credentials("me").id();
    let passed = fixture.pass(syn(vec![entry(me, OWN_GENERATION, 77)]));
    assert_eq!(passed.own_heartbeat, Some(77));
    assert!(!is_empty(&passed), "chitchat learns from it what the peer has of us");
}

#[test]
fn a_heartbeat_is_judged_by_the_age_of_its_run() {
    let wall = UnixTime::since_unix_epoch(Duration::from_hours(24 * 365 * 50));
    let now = wall.as_secs() * 1_000;
    let day = 24 * 3_600 * 1_000;
    // One a millisecond is beyond any real node, yet within bounds; a hundred are not.
    for age in [0, day, 365 * day] {
        assert!(heartbeat_max(now - age, CLOCK_ERROR_MAX, wall) > age);
        assert!(heartbeat_max(now - age, CLOCK_ERROR_MAX, wall) < (age + 31 * day) * 100);
    }
    // A run from the future, since a clock went back, is judged as a young one.
    assert!(heartbeat_max(now + 365 * day, CLOCK_ERROR_MAX, wall) > day);
}

#[test]
fn only_growth_is_a_sign_of_life() {
    let mut fixture = fixture();
    let sealed = seal(&fixture.credentials("peer"), 5, 3);
    let peer = sealed.record.id;
    fixture.ack(about(&sealed));
    let mut hear = |heartbeat| {
        fixture.pass(syn(vec![entry(peer, 5, heartbeat)]));
        fixture.filter.spoke_at().contains_key(&peer)
    };
    assert_eq!([9, 9, 9, 8].map(&mut hear), [false; 4]);
    assert!(hear(10));
    assert!(fixture.filter.spoke_itself_at().is_empty(), "it was told by another");
}

#[test]
fn what_a_node_says_of_itself_is_a_sign_of_life_the_first_time_too() {
    let mut fixture = fixture();
    let peer = fixture.credentials("peer").id();
    let mut hear = |heartbeat| {
        let now = now();
        fixture.filter.pass(peer, syn(vec![entry(peer, 5, heartbeat)]), now);
        [fixture.filter.spoke_at(), fixture.filter.spoke_itself_at()]
            .map(|spoke| spoke.get(&peer) == Some(&now.instant))
    };
    assert_eq!([7, 7, 6, 8].map(&mut hear), [[true; 2], [false; 2], [false; 2], [true; 2]]);
}

#[test]
fn a_peer_shows_which_of_our_records_it_has() {
    let mut fixture = fixture();
    let [me, peer] = ["me", "peer"].map(|name| fixture.credentials(name).id());
    let ours = |generation, version| DigestEntry { version, ..entry(me, generation, 1) };
    let mut says = |entries| {
        fixture.filter.pass(peer, syn(entries), now());
        fixture.filter.own_version_at(peer)
    };
    assert_eq!(says(vec![ours(OWN_GENERATION, 4)]), 0, "it is not known");
    assert_eq!(says(vec![ours(OWN_GENERATION, 4), entry(peer, 5, 1)]), 4, "by the same message it is");
    assert_eq!(says(vec![ours(OWN_GENERATION - 1, 9)]), 4, "of a former run of ours");
    assert_eq!(says(vec![ours(OWN_GENERATION, 3)]), 4, "an older one comes late");
    assert_eq!(says(vec![ours(OWN_GENERATION, 6)]), 6);
}

#[test]
fn what_chitchat_forgets_is_forgotten_at_the_second_look() {
    let mut fixture = fixture();
    let sealed = seal(&fixture.credentials("peer"), 5, 3);
    let id = sealed.record.id;
    fixture.ack(about(&sealed));
    assert_eq!(fixture.filter.digest_nodes(), 2);
    let kept = BTreeSet::from([(id, 5)]);
    assert_eq!(fixture.filter.forget_all_but(&kept), []);
    assert_eq!(fixture.filter.forget_all_but(&BTreeSet::new()), []);
    assert_eq!(fixture.filter.digest_nodes(), 2);
    assert_eq!(fixture.filter.forget_all_but(&BTreeSet::new()), [id]);
    assert_eq!(fixture.filter.digest_nodes(), 1);
}

#[test]
fn a_forgotten_node_may_come_back_with_a_lower_generation() {
    let mut fixture = fixture();
    let peer = fixture.credentials("peer");
    fixture.ack(about(&seal(&peer, 9, 1)));
    fixture.filter.forget_all_but(&BTreeSet::new());
    fixture.filter.forget_all_but(&BTreeSet::new());
    assert!(!is_empty(&fixture.ack(about(&seal(&peer, 5, 1)))));
}

#[test]
fn the_mesh_has_room_for_so_many_and_no_more() {
    let mut fixture = fixture();
    for number in 0..9 {
        let peer = fixture.credentials(&format!("peer-{number}"));
        assert!(!is_empty(&fixture.ack(about(&seal(&peer, 5, 1)))));
    }
    assert_eq!(fixture.filter.digest_nodes(), 10);
    let late = seal(&fixture.credentials("late"), 5, 1);
    check_rejected(&fixture.ack(about(&late)), Rejection::Full);
}
