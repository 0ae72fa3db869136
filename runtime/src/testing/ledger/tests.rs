//! The rules of the books, one by one.

use super::*;
use crate::failure::Reason;

const LIMIT: Duration = Duration::from_secs(1);

/// A call of that kind whose handler begins `began` times, and that ends as told.
fn books(kind: CallKind, began: u32, answer: Result<(), &Failure>) -> Vec<String> {
    let ledger = Ledger::default();
    let ticket = ledger.start(kind, LIMIT);
    (0..began).for_each(|_| ledger.began(ticket.id()));
    ticket.end(answer);
    ledger.violations()
}

#[tokio::test(start_paused = true)]
async fn outcomes_and_handlers_must_agree() {
    let not_sent = Failure::not_sent(Reason::Unreachable, "");
    let not_executed = Failure::not_executed(Reason::Overloaded, "");
    let unknown = Failure::unknown(Reason::ConnectionLost, "");
    for (kind, began, answer, holds) in [
        (CallKind::Once, 1, Ok(()), true),
        (CallKind::Once, 0, Ok(()), false),
        (CallKind::Once, 2, Ok(()), false),
        (CallKind::Idempotent, 2, Ok(()), true),
        (CallKind::Idempotent, 0, Ok(()), false),
        (CallKind::OneWay, 0, Ok(()), true),
        (CallKind::OneWay, 2, Ok(()), false),
        (CallKind::Once, 0, Err(&unknown), true),
        (CallKind::Once, 1, Err(&unknown), true),
        (CallKind::Once, 2, Err(&unknown), false),
        (CallKind::Once, 0, Err(&not_sent), true),
        (CallKind::Once, 1, Err(&not_sent), false),
        (CallKind::Idempotent, 1, Err(&not_executed), false),
    ] {
        let violations = books(kind, began, answer);
        assert_eq!(violations.is_empty(), holds, "{kind:?} {began} {answer:?}: {violations:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_has_an_end_and_in_time() {
    let ledger = Ledger::default();
    let late = ledger.start(CallKind::Idempotent, LIMIT);
    let dropped = ledger.start(CallKind::Once, LIMIT);
    let open = ledger.start(CallKind::Once, LIMIT);
    drop(dropped);
    ledger.began(late.id());
    assert_eq!(ledger.sums().unaccounted, 2);
    tokio::time::sleep(LIMIT * 2).await;
    late.end(Ok(()));
    let told = ledger.violations();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("after 2s") && told[1].contains("no end"), "{told:?}");
    drop(open);
    let sums = ledger.sums();
    assert_eq!((sums.calls, sums.answered, sums.cancelled, sums.unaccounted), (3, 1, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_in_order_is_handled_in_order() {
    let ledger = Ledger::default();
    for number in [1, 2, 4] {
        ledger.in_order("one", number);
        ledger.in_order("other", number);
    }
    assert_eq!(ledger.violations(), Vec::<String>::new());
    ledger.in_order("one", 3);
    assert_eq!(ledger.violations(), ["one: 3 was handled after 4"]);
    ledger.began(99);
    assert_eq!(ledger.violations().len(), 2, "nobody started it");
}
