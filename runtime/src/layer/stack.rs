//! A stack of layers, and the way of a call through it.

use std::{
    fmt,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::Poll,
};

use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until},
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
}

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
        let forwarded = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&forwarded);
        let go: Go = Box::new(move |metadata| {
            told.store(true, Relaxed);
            let calling = go(metadata);
            Box::pin(async move {
                let answer = calling.await?;
                let is_service_error = answer.is_service_error();
                Ok(Response { answer: Box::new(answer), is_service_error })
            })
        });
        let (deadline, cancel) = (sealed.deadline, sealed.cancel.clone());
        let mut answering = pin!(self.answer(Request { sealed, go }));
        let answer = tokio::select! {
            biased;
            answer = &mut answering => answer,
            // What was forwarded has a deadline of its own, and is told by itself.
            failure = self.held_up(deadline, cancel) => match forwarded.load(Relaxed) {
                true => answering.await,
                false => Err(failure),
            },
        };
        let is_held = !forwarded.load(Relaxed);
        let held = self.side.outcome_of_held();
        let answer = answer.map_err(|failure| if is_held { failure.with_outcome(held) } else { failure })?;
        let strange = |_| Failure::unknown(Reason::BadReply, "a layer answered with another call's answer");
        answer.answer.downcast().map(|answer| *answer).map_err(strange)
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

    /// Resolves when the layers have held a call for too long.
    async fn held_up(&self, deadline: Option<Instant>, cancel: Option<Arc<Cancel>>) -> Failure {
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
        let (reason, when) = tokio::select! {
            biased;
            () = given_up => (Reason::Cancelled, "until its caller gave it up"),
            () = late => (Reason::DeadlineExceeded, "until its time was over"),
        };
        let detail = format!("layers of the {} held the call {when}", self.side.name());
        Failure::new(self.side.outcome_of_held(), reason, detail)
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
