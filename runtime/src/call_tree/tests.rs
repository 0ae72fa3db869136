//! Who spends what, and what comes back.

use std::time::Duration;

use super::*;

fn begin(options: &CallOptions) -> Result<Terms, Failure> {
    Terms::begin(&Config::local(), options, Instant::now())
}

fn handler(retries: u32) -> Inherited {
    let deadline = Instant::now() + Duration::from_secs(1);
    Inherited::new(Some(deadline), Allowance { hops: 3, retries })
}

#[tokio::test(start_paused = true)]
async fn a_first_attempt_by_default_is_the_usual_one() {
    let mut terms = begin(&CallOptions::NONE).unwrap();
    assert_eq!(terms.grant(), Allowance::USUAL);
}

#[tokio::test(start_paused = true)]
async fn what_an_attempt_did_not_spend_comes_back() {
    let mut terms = begin(&CallOptions { retries: Some(8), ..CallOptions::NONE }).unwrap();
    assert_eq!(terms.grant().retries, 4);
    terms.settle(Some(1));
    assert_eq!(terms.left(), 7);
    assert_eq!(terms.grant().retries, 3);
    terms.settle(None);
    assert!(terms.withdraw());
    assert_eq!(terms.left(), 3);
    for _ in 0..3 {
        assert!(terms.withdraw());
    }
    assert!(!terms.withdraw());
}

#[tokio::test(start_paused = true)]
async fn calls_of_a_handler_share_what_it_was_given() {
    let mut handler = handler(8);
    let mut calls = handler.enter(|| {
        let (mut one, mut other) = (begin(&CallOptions::NONE).unwrap(), begin(&CallOptions::NONE).unwrap());
        assert_eq!(
            (one.grant(), other.grant()),
            (Allowance { hops: 2, retries: 4 }, Allowance { hops: 2, retries: 2 })
        );
        assert_eq!(spent(), 6);
        (one, other)
    });
    assert_eq!(spent(), 0, "nobody is polled");
    handler.enter(|| {
        calls.0.settle(Some(0));
        assert!(calls.1.withdraw());
        assert_eq!(spent(), 3, "two are not back, one was taken");
        let mut few = begin(&CallOptions { retries: Some(1), ..CallOptions::NONE }).unwrap();
        assert!(few.withdraw());
        assert!(!few.withdraw(), "a call may be given less than there is");
    });
}

#[tokio::test(start_paused = true)]
async fn time_and_hops_run_out() {
    let mut handler = handler(0);
    let long = CallOptions { timeout: Some(Duration::from_secs(60)), ..CallOptions::NONE };
    let inherited = handler.enter(|| begin(&long).unwrap().deadline);
    assert_eq!(inherited, Instant::now() + Duration::from_secs(1));

    tokio::time::advance(Duration::from_secs(1)).await;
    let late = handler.enter(|| begin(&long).unwrap_err());
    assert_eq!(late.reason(), Reason::DeadlineExceeded);

    let mut deep = Inherited::new(None, Allowance { hops: 0, retries: 8 });
    let (call, send) = deep.enter(|| (begin(&long).unwrap_err(), hops(&Config::local()).unwrap_err()));
    assert_eq!((call.reason(), send.reason()), (Reason::TooManyHops, Reason::TooManyHops));
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_panics_leaves_nothing_behind() {
    let mut handler = handler(8);
    let panicked =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| handler.enter(|| panic!("on purpose"))));
    assert!(panicked.is_err());
    assert!(CURRENT.get().is_none());
}

/// Every call fails without a reply as often as it is repeated, in a chain of five.
#[tokio::test(start_paused = true)]
async fn repeats_are_not_multiplied() {
    fn call(depth: u32, handler: &mut Inherited, executions: &mut u32) {
        let mut terms = handler.enter(|| begin(&CallOptions::NONE).unwrap());
        loop {
            let allowance = handler.enter(|| terms.grant());
            let mut below = Inherited::new(handler.current.deadline, Allowance { hops: 9, ..allowance });
            match depth {
                1 => *executions += 1,
                _ => call(depth - 1, &mut below, executions),
            }
            if !handler.enter(|| terms.withdraw()) {
                return;
            }
        }
    }
    let mut executions = 0;
    call(5, &mut handler(16), &mut executions);
    assert!((2..=17).contains(&executions), "{executions} executions of the last service");
}
