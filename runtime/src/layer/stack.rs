//! A stack of layers, and the way of a call through it.

use std::{
    fmt,
    future::{poll_fn, ready},
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{
        Arc,
        atomic::{
            AtomicU8,
            Ordering::{AcqRel, Acquire},
        },
    },
    task::Poll,
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until, timeout},
};
use tower::Service;

use crate::{
    failure::{Failure, Outcome, Reason},
    layer::{CallLayer, Go, Next, Request, Response},
    metadata::Metadata,
    service::{Caller, Cancel},
};

/// The layers of a client and its clones, or of a service.
pub(crate) struct Layers {
    side: Side,
    makers: Vec<Maker>,
    /// Whoever holds it waits for the layers to be ready; the others come in the order of waiting.
    stack: Mutex<Next>,
}

type Maker = Arc<dyn Fn(Next) -> Next + Send + Sync>;

/// How long layers may take with the answer of a call for which nobody waits any more.
const GRACE: Duration = Duration::from_millis(50);

/// What the layers stand in front of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Client,
    Service,
}

/// What is known of a call before it goes through the layers.
pub(crate) struct Sealed {
    pub(crate) service: &'static str,
    pub(crate) method: &'static str,
    /// None in front of a client.
    pub(crate) caller: Option<Caller>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) metadata: Option<Arc<Metadata>>,
    /// Told when the caller gives up. None where the future is dropped then.
    pub(crate) cancel: Option<Arc<Cancel>>,
    pub(crate) passage: Arc<Passage>,
}

/// Whether a call was forwarded or given up: one of them, once, whoever comes first. So what is said of a call that was given
/// up stays true, wherever a layer has put it.
#[derive(Debug, Default)]
pub(crate) struct Passage(AtomicU8);

const HELD: u8 = 0;
const FORWARDED: u8 = 1;
const GIVEN_UP: u8 = 2;

/// Gives a call up that nobody waits for any more.
struct GiveUp<'a>(&'a Passage);

/// An answer, which may be the service's own error.
pub(crate) trait LayeredAnswer: Send + 'static {
    fn is_service_error(&self) -> bool;
}

impl Layers {
    /// These, and one more below them.
    pub(crate) fn and(above: Option<&Self>, side: Side, below: impl CallLayer) -> Self {
        let mut makers = above.map_or_else(Vec::new, |above| above.makers.clone());
        makers.push(Arc::new(move |next| below.put_before(next)));
        let stack = makers.iter().rev().fold(Next(None), |next, make| make(next));
        Self { side, makers, stack: Mutex::new(stack) }
    }

    /// Brings a call through the layers, which make it by `go`. Calls come to the layers in the order in which this is first
    /// polled.
    ///
    /// # Errors
    /// A layer, or the call itself, failed. If the call was not forwarded, it was *not sent*, or *not executed* in front of a
    /// service.
    ///
    /// # Cancel safety
    /// Cancelled, the call is not forwarded any more, and cancelled if it was.
    pub(crate) async fn bring<T: LayeredAnswer, F>(
        &self,
        sealed: Sealed,
        go: impl FnOnce(Option<Arc<Metadata>>) -> F + Send + 'static,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let passage = Arc::clone(&sealed.passage);
        let _given_up = GiveUp(&passage);
        let asked = Arc::clone(&passage);
        let go: Go = Box::new(move |metadata| {
            if !asked.forward() {
                let why =
                    Failure::not_executed(Reason::Cancelled, "the call was given up before it was forwarded");
                return Box::pin(ready(Err(why)));
            }
            let calling = go(metadata);
            Box::pin(async move {
                let answer = calling.await?;
                let is_service_error = answer.is_service_error();
                Ok(Response { answer: Box::new(answer), is_service_error })
            })
        });
        let (deadline, cancel) = (sealed.deadline, sealed.cancel.clone());
        let mut answering = pin!(self.answer_caught(Request { sealed, go }));
        let answer = tokio::select! {
            biased;
            answer = &mut answering => answer,
            why = over(deadline, cancel) => {
                if passage.give_up() {
                    Err(self.held_up(why))
                } else {
                    // It has a deadline of its own, and is told by itself; its answer may take a moment longer.
                    timeout(GRACE, answering).await.unwrap_or_else(|_late| Err(why.unanswered()))
                }
            }
        };
        let answer = match answer {
            Err(failure) if passage.give_up() => Err(failure.with_outcome(self.side.outcome_of_held())),
            answer => answer,
        };
        let strange = |_| Failure::unknown(Reason::BadReply, "a layer answered with another call's answer");
        answer?.answer.downcast().map(|answer| *answer).map_err(strange)
    }

    /// A layer of a service that panics costs its call the answer, and nobody else anything.
    async fn answer_caught(&self, request: Request) -> Result<Response, Failure> {
        match self.side {
            Side::Client => self.answer(request).await,
            Side::Service => {
                AssertUnwindSafe(self.answer(request)).catch_unwind().await.unwrap_or_else(|_panic| {
                    Err(Failure::unknown(Reason::Panicked, "a layer of the service panicked"))
                })
            }
        }
    }

    async fn answer(&self, request: Request) -> Result<Response, Failure> {
        let mut stack = self.stack.lock().await;
        poll_fn(|cx| stack.poll_ready(cx)).await?;
        let mut answering = stack.call(request);
        // Begun before it is the next one's turn.
        let first = poll_fn(|cx| Poll::Ready(answering.as_mut().poll(cx))).await;
        drop(stack);
        match first {
            Poll::Ready(answer) => answer,
            Poll::Pending => answering.await,
        }
    }

    fn held_up(&self, why: Over) -> Failure {
        let when = match why {
            Over::Late => "its time was over",
            Over::Cancelled => "its caller gave it up",
        };
        let detail = format!("layers of the {} held the call until {when}", self.side.name());
        Failure::new(self.side.outcome_of_held(), why.reason(), detail)
    }
}

/// Why nobody waits for a call any more.
#[derive(Clone, Copy, Debug)]
enum Over {
    Late,
    Cancelled,
}

impl Over {
    const fn reason(self) -> Reason {
        match self {
            Self::Late => Reason::DeadlineExceeded,
            Self::Cancelled => Reason::Cancelled,
        }
    }

    fn unanswered(self) -> Failure {
        Failure::unknown(self.reason(), "layers held the answer of a call for which nobody waits any more")
    }
}

/// Resolves when nobody waits for the call any more.
async fn over(deadline: Option<Instant>, cancel: Option<Arc<Cancel>>) -> Over {
    let late = async {
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    let given_up = async {
        match &cancel {
            Some(cancel) => cancel.cancelled().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = given_up => Over::Cancelled,
        () = late => Over::Late,
    }
}

impl Passage {
    /// Whether the call may be forwarded.
    fn forward(&self) -> bool {
        self.0.compare_exchange(HELD, FORWARDED, AcqRel, Acquire).is_ok()
    }

    /// Whether the call was not forwarded; then it will not be.
    pub(crate) fn give_up(&self) -> bool {
        self.0.compare_exchange(HELD, GIVEN_UP, AcqRel, Acquire).is_ok() || self.0.load(Acquire) == GIVEN_UP
    }
}

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

impl Side {
    const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Service => "service",
        }
    }

    /// What became of a call that was not forwarded.
    const fn outcome_of_held(self) -> Outcome {
        match self {
            Self::Client => Outcome::NotSent,
            Self::Service => Outcome::NotExecuted,
        }
    }
}

// === impl LayeredAnswer ===

impl<T: Send + 'static, E: Send + 'static> LayeredAnswer for Result<T, E> {
    fn is_service_error(&self) -> bool {
        self.is_err()
    }
}

/// That of a one-way send, which is none.
impl LayeredAnswer for () {
    fn is_service_error(&self) -> bool {
        false
    }
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layers")
            .field("side", &self.side)
            .field("count", &self.makers.len())
            .finish_non_exhaustive()
    }
}
