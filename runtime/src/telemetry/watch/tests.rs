//! What is measured while somebody looks, and what is not.

use std::time::Duration;

use tokio::time::{Instant, advance};

use super::*;
use crate::telemetry::{names::Status, trace::Trace};

fn watch() -> (Arc<Watch>, Tasks) {
    (Arc::new(Watch::new("here")), Tasks::default())
}

/// So many calls, evenly over a second.
async fn second_of(watch: &Arc<Watch>, calls: u32) {
    for _ in 0..calls {
        let target = Target { service: "s", method: "m", guest: None };
        let called = watch.call(target, || Trace::Undecided, || shown(&1));
        if let Some(called) = called {
            called.goes_to("there");
            called.end(Status::Ok, None);
        }
        advance(Duration::from_secs(1) / calls).await;
    }
}

#[tokio::test(start_paused = true)]
async fn up_to_a_thousand_calls_a_second_are_measured_each() {
    let (watch, tasks) = watch();
    watch.look(&tasks);
    second_of(&watch, 900).await;
    let flows = watch.read().flows;
    assert_eq!((flows.len(), flows[0].calls, flows[0].in_flight), (1, 900, 0));
}

#[tokio::test(start_paused = true)]
async fn of_more_calls_some_stand_for_all() {
    let (watch, tasks) = watch();
    watch.look(&tasks);
    for _ in 0..4 {
        second_of(&watch, 50_000).await;
        watch.look(&tasks);
    }
    let calls = watch.read().flows[0].calls;
    // One in 32 of 200,000 is drawn: a twentieth is six standard deviations.
    assert!((190_000..=210_000).contains(&calls), "{calls}");
    second_of(&watch, 5).await;
    watch.look(&tasks);
    let before = watch.read().flows[0].calls;
    second_of(&watch, 100).await;
    assert_eq!(watch.read().flows[0].calls - before, 100, "each is measured again");
}

#[tokio::test(start_paused = true)]
async fn a_load_that_repeats_itself_shows_all_its_sides() {
    let (watch, tasks) = watch();
    watch.look(&tasks);
    for call in 0..256_000_u32 {
        let service = if call % 16 == 0 { "rare" } else { "usual" };
        let target = Target { service, method: "m", guest: None };
        if let Some(called) = watch.call(target, || Trace::Undecided, || shown(&1)) {
            called.end(Status::Ok, None);
        }
        advance(Duration::from_micros(20)).await;
    }
    let rare = watch.read().flows.into_iter().find(|flow| flow.service == "rare").unwrap().calls;
    // 500 of 16,000 are drawn on average.
    assert!((11_000..=21_000).contains(&rare), "{rare}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_measured_once_nobody_looks() {
    let (watch, tasks) = watch();
    second_of(&watch, 10).await;
    assert!(!watch.is_open() && watch.read().flows.is_empty());
    watch.look(&tasks);
    let since = watch.read().since_us;
    second_of(&watch, 10).await;
    tokio::time::sleep(LEASE + Duration::from_millis(1)).await;
    assert!(!watch.is_open() && watch.read().flows.is_empty());
    watch.look(&tasks);
    assert!(watch.read().since_us > since, "rates of before and now are no difference");
}

#[tokio::test(start_paused = true)]
async fn flows_without_a_place_are_one_further_flow() {
    let (watch, tasks) = watch();
    watch.look(&tasks);
    for method in 0..1030 {
        let target = Target { service: "s", method: &method.to_string(), guest: None };
        let called = watch.call(target, || Trace::Undecided, || shown(&1)).unwrap();
        called.end(Status::Failed(crate::Reason::Refused), None);
        advance(Duration::from_millis(2)).await;
    }
    let flows = watch.read().flows;
    let rest = flows.iter().find(|flow| flow.service.is_empty()).unwrap();
    assert_eq!((flows.len(), rest.calls, rest.failed["refused"]), (1025, 6, 6));
}

#[test]
fn arguments_are_shown_up_to_a_size() {
    #[derive(serde::Serialize)]
    struct Arguments<'a> {
        text: &'a str,
    }
    assert_eq!(shown(&Arguments { text: "hello" }).unwrap(), serde_json::json!({"text": "hello"}));
    let large = shown(&Arguments { text: &"x".repeat(4096) });
    assert_eq!(large.unwrap_err(), "they are more than 2048 bytes of JSON");
    let odd = shown(&std::collections::BTreeMap::from([((1, 2), 3)]));
    assert!(odd.unwrap_err().starts_with("they have no form in JSON"));
}

async fn ask(watch: &Arc<Watch>, tasks: &Tasks, after: u64) -> Tap {
    let asked =
        TapRequest { service: "s".to_owned(), after, max: 500, wait_ms: 100, ..TapRequest::default() };
    watch.tap(&asked, tasks).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_tap_says_what_it_missed() {
    let (watch, tasks) = watch();
    let began = Instant::now();
    assert_eq!(ask(&watch, &tasks, 0).await, Tap::default());
    assert_eq!(began.elapsed(), Duration::from_millis(100), "it waited");
    second_of(&watch, 20).await;
    let first = ask(&watch, &tasks, 0).await;
    assert_eq!((first.calls.len(), first.missed, first.next), (20, 0, 20));
    assert_eq!(first.calls[19].node, "there");
    second_of(&watch, 500).await;
    let second = ask(&watch, &tasks, first.next).await;
    assert_eq!((second.calls.len() as u64 + second.missed, second.next), (500, 520));
    // The second in which they came is one of the tap's, or the end of one and the beginning of the next.
    assert!((200..=400).contains(&second.calls.len()), "{}", second.calls.len());
    assert!(watch.read().flows.is_empty(), "a tap does not measure");
    tokio::time::sleep(LEASE + Duration::from_millis(1)).await;
    ask(&watch, &tasks, second.next).await;
    second_of(&watch, 5).await;
    let anew = ask(&watch, &tasks, second.next).await;
    assert_eq!((anew.calls.len(), anew.missed, anew.next), (5, 0, 5), "it began anew");
}

#[tokio::test(start_paused = true)]
async fn so_many_services_are_tapped_at_a_time() {
    let (watch, tasks) = watch();
    let tap = async |service: usize| {
        let service = service.to_string();
        watch.tap(&TapRequest { service, max: 1, ..TapRequest::default() }, &tasks).await
    };
    for service in 0..8 {
        tap(service).await.unwrap();
    }
    assert_eq!(tap(8).await.unwrap_err().reason(), crate::Reason::Overloaded);
    tokio::time::sleep(LEASE).await;
    tap(8).await.unwrap();
}
