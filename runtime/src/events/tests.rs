//! What events look like, and what a node remembers of them.

use std::time::Duration;

use futures_util::FutureExt;
use serde_json::json;

use std::sync::Arc;

use super::{chronicle::Told, *};
use crate::node::WallClock;

fn left(peer: &str) -> MeshEvent {
    MeshEvent::Left { peer: peer.to_owned() }
}

fn of(told: &Told) -> Vec<String> {
    told.events.iter().map(|happened| happened.event.peer().unwrap_or_default().to_owned()).collect()
}

#[test]
fn an_event_is_flat_in_json_and_a_sentence_for_people() {
    let event = MeshEvent::SessionDown { peer: "attic".to_owned(), why: "the peer fell silent".to_owned() };
    let happened = Happened { seq: 7, unix_ms: 5, node: "cellar".to_owned(), left_out: 0, event };
    let value = serde_json::to_value(&happened).unwrap();
    assert_eq!(
        value,
        json!({"seq": 7, "unix_ms": 5, "node": "cellar", "event": "session_down", "peer": "attic",
            "why": "the peer fell silent"})
    );
    assert_eq!(happened.event.to_string(), "session with attic down: the peer fell silent");
    assert_eq!(serde_json::from_value::<Happened>(value).unwrap(), happened);
}

#[test]
fn an_event_of_a_newer_node_is_still_an_event() {
    let newer = json!({"seq": 8, "unix_ms": 5, "node": "cellar", "event": "moved", "to": "attic"});
    let happened: Happened = serde_json::from_value(newer).unwrap();
    assert_eq!((happened.seq, happened.event.kind()), (8, "unknown"));
}

#[test]
fn what_a_peer_says_is_kept_shortened() {
    let kept = why("ä".repeat(1000));
    assert_eq!(kept.len(), WHY_BYTES_MAX);
}

#[tokio::test(start_paused = true)]
async fn the_newest_events_are_kept_and_who_comes_late_learns_how_many_it_missed() {
    let chronicle = Chronicle::new("cellar", WallClock::default(), 3);
    assert_eq!(chronicle.after(0, 9).events, []);
    (0..3000).for_each(|number| chronicle.tell(left(&number.to_string())));
    let told = chronicle.after(0, 2);
    assert_eq!((of(&told), told.missed), (vec!["1976".to_owned(), "1977".to_owned()], 0));
    let first = told.events[0].seq;
    assert_eq!(first, 3000 + 1977);
    // Whoever has read the hundredth, the newest but one, or in a former life of the node.
    let told = chronicle.after(3000 + 100, 1);
    assert_eq!((of(&told), told.missed), (vec!["1976".to_owned()], 1876));
    let told = chronicle.after(3000 + 2999, 10);
    assert_eq!((of(&told), told.missed), (vec!["2999".to_owned()], 0));
    assert!(chronicle.after(3000 + 3000, 10).events.is_empty());
    for elsewhere in [2999, 99_999] {
        assert_eq!(chronicle.after(elsewhere, 1).events[0].seq, first);
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_told_of_the_next_event_and_of_the_end() {
    let chronicle = Arc::new(Chronicle::default());
    let patience = Duration::from_secs(1);
    assert!(chronicle.after_patiently(0, 9, patience).await.events.is_empty());
    let (told, ()) =
        tokio::join!(chronicle.after_patiently(0, 9, patience), async { chronicle.tell(left("a")) });
    assert_eq!(of(&told), ["a"]);
    let mut events = chronicle.events();
    assert_eq!(events.next().await.unwrap().event, left("a"));
    assert!(events.next().now_or_never().is_none());
    (0..1100).for_each(|_| chronicle.tell(left("b")));
    let mut read = 0;
    chronicle.end();
    while events.next().await.is_some() {
        read += 1;
    }
    assert_eq!((read, events.missed()), (1024, 76));
}
