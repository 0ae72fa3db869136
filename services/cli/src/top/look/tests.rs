//! What keys do to what is looked at.

use serde_json::json;

use super::*;
use crate::top::model::{
    Answers,
    tests::{answers, flow, load, traffic},
};

/// Two nodes: `a` calls `shop.Cart` on `b`, which calls `shop.Stock` there, in vain now and then.
pub(crate) fn shop() -> Snapshot {
    let caller = |clock, calls| traffic("a", clock, &[flow(("", "b"), "shop.Cart/add", (calls, 0), 88)], &[]);
    let shop = |clock: u64, calls: u64| {
        let mut told = traffic(
            "b",
            clock,
            &[flow(("shop.Cart", "b"), "shop.Stock/take", (calls * 3, calls), 60)],
            &[
                flow(("", "a"), "shop.Cart/add", (calls, 0), 80),
                flow(("", "b"), "shop.Stock/take", (calls * 3, calls), 56),
            ],
        );
        told["services"] =
            json!([load("shop.Cart", 3, 7), load("shop.Stock", 900, 1400), load("idle.Idle", 0, 0)]);
        told["sessions"] = json!([{
            "peer": "a", "path": "quic", "round_trip_us": 340, "dialled": true, "up_ms": 60_000, "channels": 2,
        }]);
        told
    };
    let before = answers(&[caller(5_000_000, 0), shop(9_000_000, 0)]);
    let after = answers(&[caller(6_000_000, 400), shop(10_000_000, 400)]);
    Snapshot::between(&before, &after)
}

fn press(look: &mut Look, keys: &str, snapshot: &Snapshot) -> Wish {
    let mut wish = Wish::Stay;
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            '↓' => KeyCode::Down,
            '↑' => KeyCode::Up,
            '⎋' => KeyCode::Esc,
            key => KeyCode::Char(key),
        };
        wish = look.press(KeyEvent::from(code), snapshot);
    }
    wish
}

fn services(look: &Look, snapshot: &Snapshot) -> Vec<String> {
    look.rows(Pane::Services, &snapshot.services).iter().map(|row| row.service.clone()).collect()
}

#[test]
fn services_come_by_their_rate_and_otherwise_where_that_is_wanted() {
    let (mut look, shop) = (Look::new(), shop());
    assert_eq!(services(&look, &shop), ["shop.Stock", "shop.Cart", "idle.Idle"]);
    press(&mut look, "r", &shop);
    assert_eq!(services(&look, &shop), ["idle.Idle", "shop.Cart", "shop.Stock"]);
    press(&mut look, "ssss", &shop);
    assert_eq!(look.table(Pane::Services).sort, 5, "by what is open");
    assert_eq!(services(&look, &shop), ["shop.Stock", "shop.Cart", "idle.Idle"]);
}

#[test]
fn a_filter_is_typed_and_forgotten() {
    let (mut look, shop) = (Look::new(), shop());
    press(&mut look, "/STOCKq", &shop);
    assert_eq!(look.filter, "STOCKq", "letters are no commands meanwhile");
    assert_eq!(services(&look, &shop), [""; 0]);
    look.press(KeyEvent::from(KeyCode::Backspace), &shop);
    press(&mut look, "\n", &shop);
    assert_eq!(services(&look, &shop), ["shop.Stock"]);
    press(&mut look, "⎋", &shop);
    assert_eq!(services(&look, &shop).len(), 3);
}

#[test]
fn a_row_is_looked_into_and_left() {
    let (mut look, shop) = (Look::new(), shop());
    press(&mut look, "↓\n", &shop);
    assert_eq!(look.inside, Some(Inside::Service("shop.Cart".to_owned())));
    press(&mut look, "⎋\t↓↓↓\n", &shop);
    assert_eq!(look.inside, Some(Inside::Node("b".to_owned())), "the last row is the last");
    press(&mut look, "⎋3\n", &shop);
    assert_eq!(look.inside, Some(Inside::Service("shop.Stock".to_owned())), "of an edge, who is called");
}

#[test]
fn what_is_selected_stays_so_when_rows_move() {
    let (mut look, shop) = (Look::new(), shop());
    press(&mut look, "↓r\n", &shop);
    assert_eq!(look.inside, Some(Inside::Service("shop.Cart".to_owned())));
}

#[test]
fn it_ends_by_two_keys_and_shows_its_keys() {
    let (mut look, shop) = (Look::new(), shop());
    assert_eq!(press(&mut look, "?", &shop), Wish::Stay);
    assert!(look.shows_help);
    assert_eq!(press(&mut look, "q", &shop), Wish::Stay, "any key ends the help");
    assert_eq!(press(&mut look, "q", &shop), Wish::Quit);
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    press(&mut look, "/", &shop);
    assert_eq!(look.press(interrupt, &shop), Wish::Quit, "also while a filter is typed");
}

#[test]
fn nothing_to_look_at_is_no_reason_to_panic() {
    let (mut look, none) = (Look::new(), Snapshot::between(&Answers::default(), &Answers::default()));
    press(&mut look, "↓↑\n\t\n3\nsr G", &none);
    assert_eq!(look.inside, None);
}

#[test]
fn the_trend_has_the_last_rates_of_services_that_are_there() {
    let (mut look, shop) = (Look::new(), shop());
    for _ in 0..30 {
        look.saw(&shop);
    }
    assert_eq!(look.history["shop.Stock"].len(), HISTORY_MAX);
    look.saw(&Snapshot::default());
    assert!(look.history.is_empty());
}
