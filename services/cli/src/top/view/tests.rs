//! The screen, as a terminal shows it.

use qmesh::Deadlock;
use ratatui::{Terminal, backend::TestBackend};
use serde_json::json;

use super::*;
use crate::top::look::tests::shop;

/// The screen as text, line by line.
fn screen(look: &Look, snapshot: &Snapshot, (width, height): (u16, u16)) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, look, snapshot)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y: u16| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(line).collect()
}

/// The first line that holds a text.
fn line<'a>(screen: &'a [String], text: &str) -> &'a str {
    screen.iter().find(|line| line.contains(text)).unwrap_or_else(|| panic!("no {text} in {screen:#?}"))
}

fn holds(screen: &[String], text: &str) -> bool {
    screen.iter().any(|line| line.contains(text))
}

/// Whether words stand in a line in that order.
fn has(line: &str, words: &[&str]) -> bool {
    let mut rest = line;
    words.iter().all(|word| match rest.split_once(word) {
        Some((_, behind)) => {
            rest = behind;
            true
        }
        None => false,
    })
}

#[test]
fn a_wide_screen_shows_all_at_once() {
    let mut look = Look::new();
    look.saw(&shop());
    let seen = screen(&look, &shop(), (140, 40));
    assert!(
        has(&seen[0], &["qmesh top", "2 nodes", "3 services", "1600 calls/s", "25% errors", "through a"]),
        "{}",
        seen[0]
    );
    assert!(has(line(&seen, "shop.Stock"), &["1200", "33%", "900", "1s", "b"]), "{seen:#?}");
    assert!(has(
        line(&seen, "SERVICE"),
        &["CALLS/S▼", "ERRORS", "P50", "P99", "OPEN", "OLDEST", "ENDPOINTS", "TREND"]
    ));
    assert!(has(line(&seen, "(program)"), &["a", "→ shop.Cart", "b", "400"]), "{seen:#?}");
    assert!(has(line(&seen, "SERVES/S"), &["MAKES/S"]));
    assert!(holds(&seen, "▁") || holds(&seen, "█"), "the trend is drawn");
}

#[test]
fn a_small_screen_shows_one_table_and_what_matters_most_of_it() {
    let mut look = Look::new();
    let seen = screen(&look, &shop(), (44, 14));
    assert!(has(line(&seen, "SERVICE"), &["CALLS/S", "ERRORS", "P99"]), "{seen:#?}");
    assert!(!holds(&seen, "ENDPOINTS") && !holds(&seen, "who calls whom"), "{seen:#?}");
    look.pane = Pane::Edges;
    let seen = screen(&look, &shop(), (44, 14));
    assert!(holds(&seen, "who calls whom") && !holds(&seen, "SERVICE"), "{seen:#?}");
    for size in [(1, 1), (10, 3), (20, 5), (300, 100)] {
        look.shows_help = true;
        screen(&look, &shop(), size);
        for inside in [Inside::Node("b".to_owned()), Inside::Service("shop.Stock".to_owned())] {
            screen(&Look { inside: Some(inside), ..Look::new() }, &shop(), size);
        }
    }
}

#[test]
fn a_service_shows_its_methods_and_callers() {
    let mut look = Look::new();
    look.inside = Some(Inside::Service("shop.Stock".to_owned()));
    let seen = screen(&look, &shop(), (100, 30));
    assert!(has(line(&seen, "900/1024"), &["b", "1s"]), "{seen:#?}");
    assert!(has(line(&seen, "take"), &["1200", "33%", "refused 400.0/s"]), "{seen:#?}");
    assert!(has(line(&seen, "shop.Cart"), &["b", "1200"]), "{seen:#?}");
    look.inside = Some(Inside::Service("gone.Gone".to_owned()));
    assert!(holds(&screen(&look, &shop(), (100, 30)), "gone.Gone is served nowhere"));
}

#[test]
fn a_node_shows_what_it_serves_and_its_sessions() {
    let mut look = Look::new();
    look.inside = Some(Inside::Node("b".to_owned()));
    let seen = screen(&look, &shop(), (100, 30));
    assert!(holds(&seen, "shop.Cart") && holds(&seen, "idle.Idle"), "{seen:#?}");
    assert!(has(line(&seen, "quic"), &["a", "quic", "340µs", "2", "1m 0s", "this node"]), "{seen:#?}");
}

#[test]
fn a_deadlock_is_told_on_top() {
    let mut snapshot = shop();
    let wait = |from: &str, service: &str| {
        json!({
            "from": from, "handler": "work", "handler_id": 1, "exclusive": true, "service": service, "method": "work",
            "node": "b", "for_ms": 4200, "trace": null,
        })
    };
    let circle = json!([["b", wait("shop.Cart", "shop.Stock")], ["b", wait("shop.Stock", "shop.Cart")]]);
    let deadlock = json!({ "circle": circle, "held_up": 7, "for_ms": 4200 });
    snapshot.deadlocks = vec![serde_json::from_value::<Deadlock>(deadlock).unwrap()];
    let seen = screen(&Look::new(), &snapshot, (120, 30));
    let words =
        ["DEADLOCK", "shop.Cart/work on b → shop.Stock/work on b → shop.Cart", "for 4s", "7 more calls wait"];
    assert!(has(&seen[1], &words), "{}", seen[1]);
}

#[test]
fn a_trend_ends_with_the_newest_and_is_as_high_as_the_highest() {
    assert_eq!(trend(&[0.0, 1.0, 4.0, 8.0]), "▁▂▅█");
    assert_eq!(trend(&[0.0, 0.0]), "▁▁");
    assert_eq!(trend(&[]), "");
}

#[test]
fn trouble_and_a_pause_are_told_on_top() {
    let mut look = Look::new();
    look.missed("a gave no answer".to_owned());
    look.is_paused = true;
    let seen = screen(&look, &shop(), (100, 30));
    assert!(has(&seen[0], &["paused", "a gave no answer"]), "{}", seen[0]);
}
