//! How long the streams of a call may be still: each passes through a task on the caller's side, which ends them.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::{
    config::deadline_after,
    failure::{Failure, Reason},
    node::NodeInner,
    stream::{Receiver, Sender, stream},
    task,
};

/// The idle limit of one call of a node.
#[derive(Clone, Debug)]
pub struct Idle {
    clock: IdleClock,
    node: Arc<NodeInner>,
}

/// How long no item of a call has moved. Clones share one clock.
#[derive(Clone, Debug)]
pub(crate) struct IdleClock {
    limit: Duration,
    hands: Arc<Mutex<Hands>>,
}

#[derive(Debug, Default)]
struct Hands {
    /// When an item moved last; none before the first reason to wait for one.
    moved: Option<Instant>,
    /// An item waits for the caller, who has nobody else to blame.
    stands: bool,
}

/// Who is waited for when an item has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taker {
    Service,
    Caller,
}

impl IdleClock {
    /// One that stands.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, hands: Arc::default() }
    }

    /// An item has moved, or there is a reason to wait for one from now on.
    pub(crate) fn moved(&self) {
        self.hands.lock().moved = Some(Instant::now());
    }

    fn stand(&self, stands: bool) {
        self.hands.lock().stands = stands;
    }

    /// Resolves when no item has come or gone for too long.
    pub(crate) async fn over(&self) -> Failure {
        loop {
            let now = Instant::now();
            let until = match *self.hands.lock() {
                Hands { moved: Some(moved), stands: false } => deadline_after(moved, self.limit),
                _ => deadline_after(now, self.limit),
            };
            if until <= now {
                let detail = format!("no item came or went for {:?}", self.limit);
                return Failure::unknown(Reason::Idle, detail);
            }
            sleep_until(until).await;
        }
    }
}

impl Idle {
    /// Its clock stands.
    pub(crate) fn new(limit: Duration, node: Arc<NodeInner>) -> Self {
        Self { clock: IdleClock::new(limit), node }
    }

    pub(crate) const fn clock(&self) -> &IdleClock {
        &self.clock
    }

    /// The caller's stream, as the call gets it.
    pub(crate) fn upload<T: Send + 'static>(&self, items: Receiver<T>) -> Receiver<T> {
        self.watch(items, Taker::Service)
    }

    /// The service's stream, as the caller gets it.
    pub(crate) fn download<T: Send + 'static>(&self, items: Receiver<T>) -> Receiver<T> {
        self.watch(items, Taker::Caller)
    }

    fn watch<T: Send + 'static>(&self, items: Receiver<T>, taker: Taker) -> Receiver<T> {
        let (sender, receiver) = stream(1);
        let clock = self.clock.clone();
        task::spawn_in(self.node.tasks(), async move { clock.pass(items, sender, taker).await });
        receiver
    }
}

impl IdleClock {
    /// Passes a stream on until it ends, nobody receives it, or the streams of the call are still for too long.
    async fn pass<T: Send + 'static>(self, mut from: Receiver<T>, to: Sender<T>, taker: Taker) {
        let over = self.over();
        tokio::pin!(over);
        let failure = loop {
            let item = tokio::select! {
                biased;
                next = from.recv() => match next {
                    Ok(Some(item)) => item,
                    Ok(None) => return to.finish(),
                    Err(failure) => return to.fail(failure),
                },
                () = to.closed() => return from.give_up(to.gone()),
                failure = &mut over => break failure,
            };
            self.moved();
            if taker == Taker::Caller {
                self.stand(true);
            }
            let sent = tokio::select! {
                biased;
                sent = to.send(item) => sent,
                failure = &mut over => break failure,
            };
            if taker == Taker::Caller {
                // There is room for one: it waits for the caller until he has taken it.
                to.emptied().await;
                self.stand(false);
            }
            self.moved();
            if let Err(failure) = sent {
                return from.give_up(failure);
            }
        };
        to.fail(failure.clone());
        from.give_up(failure);
    }
}
