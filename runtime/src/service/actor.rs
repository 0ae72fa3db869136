//! The actor behind a service: it owns the state, and runs the calls in admission order.
//!
//! `&mut self` calls run alone; `&self` calls overlap: one that does not finish at its first poll goes on in a task of
//! its own, and the next `&mut self` call waits for all of them. A panic costs the call that panicked its answer
//! (*unknown*) and the service its state, which the factory makes anew; what had not begun goes back to the queue.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tokio_util::sync::ReusableBoxFuture;

use crate::{
    call_tree::Inherited,
    channel::head::Head,
    failure::{Failure, Reason},
    service::{
        CallScope, Conditions, Context, Contract, Envelope, OneWays, Serve,
        context::ServiceCore,
        inbox::{Batch, Inbox},
        warm_up::{Hook, WarmUp},
    },
    task,
    wire::unread::Unread,
};

/// What the actor is told.
#[derive(Debug)]
pub(crate) enum ServiceMessage {
    /// The inbox is no longer empty.
    Work,
    /// A `&self` call panicked in its own task.
    Panicked,
    /// The warm-up is over.
    Warmed(Result<(), String>),
}

pub(crate) struct ServiceActor<C, S>(PhantomData<fn(S) -> C>);

pub(crate) struct ServiceArguments<C: Contract, S> {
    pub(crate) inbox: Arc<Inbox<C>>,
    pub(crate) core: Arc<ServiceCore>,
    pub(crate) factory: Arc<dyn Fn() -> S + Send + Sync>,
    pub(crate) warm_up: Option<Hook>,
}

pub(crate) struct ServiceState<C: Contract, S> {
    /// Shared with the running `&self` calls alone; whole again when none runs.
    service: Arc<S>,
    life: Arc<Life>,
    inbox: Arc<Inbox<C>>,
    core: Arc<ServiceCore>,
    warm_up: Option<Hook>,
    /// The room of the last `&self` call that was finished at once.
    room: Option<ReusableBoxFuture<'static, bool>>,
}

/// What the tasks of one life of the service share.
#[derive(Debug)]
struct Life {
    /// A `&self` call has ended.
    ended: Notify,
    panicked: AtomicBool,
    actor: ActorRef<ServiceMessage>,
}

/// A running `&self` call's hold on the service.
struct Held<S> {
    service: Option<Arc<S>>,
    life: Arc<Life>,
}

impl<C: Serve<S>, S: Send + Sync + 'static> ServiceActor<C, S> {
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<C: Serve<S>, S: Send + Sync + 'static> Actor for ServiceActor<C, S> {
    type Msg = ServiceMessage;
    type State = ServiceState<C, S>;
    type Arguments = ServiceArguments<C, S>;

    async fn pre_start(
        &self,
        actor: ActorRef<ServiceMessage>,
        arguments: ServiceArguments<C, S>,
    ) -> Result<Self::State, ActorProcessingErr> {
        let ServiceArguments { inbox, core, factory, warm_up } = arguments;
        core.tasks.renew();
        let service = Arc::new(factory());
        let life =
            Arc::new(Life { ended: Notify::new(), panicked: AtomicBool::new(false), actor: actor.clone() });
        Ok(ServiceState { service, life, inbox, core, warm_up, room: None })
    }

    async fn post_start(
        &self,
        actor: ActorRef<ServiceMessage>,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match state.warm_up.take() {
            None => state.inbox.attach(actor),
            Some(warm_up) => warm_up_in_a_task(&state.core, warm_up, actor),
        }
        Ok(())
    }

    async fn handle(
        &self,
        actor: ActorRef<ServiceMessage>,
        message: ServiceMessage,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ServiceMessage::Work => {}
            ServiceMessage::Panicked => return Err(panicked()),
            ServiceMessage::Warmed(warmed) => {
                warmed.map_err(|why| format!("its warm-up failed: {why}"))?;
                state.inbox.attach(actor);
                return Ok(state.core.node.inner().set_ready(&state.core, true)?);
            }
        }
        let Some(batch) = state.inbox.take(Instant::now()) else { return Ok(()) };
        let buffer = state.run(batch).await?;
        if state.inbox.done(buffer, Instant::now()) {
            // Other messages have their turn before the next batch.
            actor.cast(ServiceMessage::Work)?;
        }
        Ok(())
    }
}

/// Takes the service out of the directory until it is warm. The actor has its turn meanwhile, so that it can be stopped.
fn warm_up_in_a_task(core: &Arc<ServiceCore>, warm_up: Hook, actor: ActorRef<ServiceMessage>) {
    if let Err(why) = core.node.inner().set_ready(core, false) {
        tracing::warn!(target: "qmesh::service", service = core.name, why, "warms up, and stays in the directory");
    }
    let with = WarmUp { node: core.node.clone() };
    task::spawn_in(&core.tasks, async move {
        let warmed = warm_up.run(with).await;
        // The actor may have been stopped.
        drop(actor.cast(ServiceMessage::Warmed(warmed)));
    });
}

fn panicked() -> ActorProcessingErr {
    "a handler panicked".into()
}

// === impl ServiceState ===

impl<C: Serve<S>, S: Send + Sync + 'static> ServiceState<C, S> {
    /// Runs the calls in order, and returns their empty buffer. When one panics, those that have not begun go back to the queue.
    async fn run(&mut self, batch: Batch<C>) -> Result<VecDeque<Envelope<C>>, ActorProcessingErr> {
        let mut turn = Turn { inbox: Arc::clone(&self.inbox), batch, ended: 0 };
        self.run_each(&mut turn).await?;
        Ok(std::mem::take(&mut turn.batch.calls))
    }

    async fn run_each(&mut self, turn: &mut Turn<C>) -> Result<(), ActorProcessingErr> {
        while let Some(next) = turn.batch.calls.front() {
            if next.is_exclusive() {
                let method = next.method_name();
                self.run_exclusive(turn, method).await?;
                continue;
            }
            let Some(envelope) = turn.batch.calls.pop_front() else { break };
            turn.ended += 1;
            if let Some(failure) = unwanted(&turn.batch.scope, &envelope) {
                turn.batch.refuse_one(envelope, failure);
                continue;
            }
            let inherited = turn.batch.begins(&envelope);
            if !self.start_shared(&turn.batch.scope, envelope, inherited).await? {
                // The slot is its task's now.
                turn.ended -= 1;
            }
        }
        Ok(())
    }

    /// Runs the `&mut self` calls at the front, each alone. A panic ends this life of the service.
    async fn run_exclusive(
        &mut self,
        turn: &mut Turn<C>,
        next: &'static str,
    ) -> Result<(), ActorProcessingErr> {
        while Arc::get_mut(&mut self.service).is_none() && !self.life.panicked.load(Ordering::Acquire) {
            turn.pause();
            let _held_up = turn.batch.scope.core.holds(next, false);
            self.life.ended.notified().await;
        }
        if self.life.panicked.load(Ordering::Acquire) {
            return Err(panicked());
        }
        let service = Arc::get_mut(&mut self.service).expect("no `&self` call runs");
        let scope = Arc::clone(&turn.batch.scope);
        let mut context = Context::new(Arc::clone(&scope), Conditions::one_way(Head::USUAL));
        let mut one_way = Begun::new(&scope);
        while let Some(envelope) = turn.batch.calls.pop_front_if(|next| next.is_exclusive()) {
            turn.ended += 1;
            if let Some(failure) = unwanted(&scope, &envelope) {
                turn.batch.refuse_one(envelope, failure);
                continue;
            }
            let counts = u64::from(envelope.is_one_way());
            one_way.begun += counts;
            let mut inherited = turn.batch.begins(&envelope);
            let (method, mut holds) = (envelope.method_name(), None);
            context.renew(envelope.conditions);
            let mut handler = pin!(C::exclusive(service, &context, envelope.call));
            poll_fn(|cx| {
                let polled = inherited.poll(|| poll_caught(handler.as_mut(), cx));
                if polled.is_pending() {
                    // Neither those before it nor those behind it are held by it.
                    turn.ended -= 1;
                    turn.pause();
                    turn.ended = 1;
                    one_way.tell();
                    holds.get_or_insert_with(|| scope.core.holds(method, true));
                }
                polled
            })
            .await?;
            one_way.handled += counts;
            if context.is_cancelled() {
                scope.core.node.inner().counters().ran_cancelled();
            }
        }
        Ok(())
    }

    /// Polls a `&self` call once; what is not finished then goes on in a task. Whether it is finished.
    async fn start_shared(
        &mut self,
        scope: &Arc<CallScope>,
        envelope: Envelope<C>,
        mut inherited: Inherited,
    ) -> Result<bool, ActorProcessingErr> {
        let held = Held { service: Some(Arc::clone(&self.service)), life: Arc::clone(&self.life) };
        let conditions = envelope.conditions.clone();
        let scope = Arc::clone(scope);
        let running = async move {
            let Some(service) = held.service.as_deref() else { return true };
            let mut one_way = Begun::new(&scope);
            one_way.begun = u64::from(envelope.is_one_way());
            let context = Context::new(Arc::clone(&scope), envelope.conditions);
            let mut handler = pin!(C::shared(service, &context, envelope.call));
            let whole = poll_fn(|cx| inherited.poll(|| poll_caught(handler.as_mut(), cx))).await.is_ok();
            if whole {
                one_way.handled = one_way.begun;
                if context.is_cancelled() {
                    scope.core.node.inner().counters().ran_cancelled();
                }
            } else {
                // Known before the state is let go: nobody works on it any more.
                held.life.panicked.store(true, Ordering::Release);
            }
            whole
        };
        let mut running = match self.room.take() {
            Some(mut room) => {
                room.set(running);
                room
            }
            None => ReusableBoxFuture::new(running),
        };
        match poll_fn(|cx| Poll::Ready(running.poll(cx))).await {
            Poll::Ready(true) => {
                self.room = Some(running);
                return Ok(true);
            }
            Poll::Ready(false) => return Err(panicked()),
            Poll::Pending => {}
        }
        let (slot, life) = (Slot(Arc::clone(&self.inbox)), Arc::clone(&self.life));
        task::spawn_in(&self.core.calls, async move {
            let whole = tokio::select! {
                biased;
                whole = &mut running => whole,
                // Nobody waits for the answer any more.
                () = abandoned(&conditions) => true,
            };
            drop(running);
            drop(slot);
            if !whole {
                // The actor may have ended by itself.
                drop(life.actor.cast(ServiceMessage::Panicked));
            }
        });
        Ok(false)
    }
}

/// The caller looks at its deadlines now and then; until it has, it is not to hear from us that nobody waited.
const GRACE: Duration = Duration::from_millis(50);

/// Resolves when the caller gives a call up, or must have by now.
async fn abandoned(conditions: &Conditions) {
    let late = async {
        match conditions.deadline {
            Some(deadline) => sleep_until(deadline + GRACE).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = late => {}
        () = conditions.cancelled() => {}
    }
}

/// Polls a handler; a panic is an error.
fn poll_caught(
    handler: Pin<&mut impl Future<Output = ()>>,
    cx: &mut TaskContext<'_>,
) -> Poll<Result<(), ActorProcessingErr>> {
    match catch_unwind(AssertUnwindSafe(|| handler.poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(_panic) => Poll::Ready(Err(panicked())),
    }
}

/// Why a call is not to begin, if it is not.
fn unwanted<C: Contract>(scope: &CallScope, envelope: &Envelope<C>) -> Option<Failure> {
    let conditions = &envelope.conditions;
    if conditions.is_cancelled() {
        return Some(Failure::not_executed(
            Reason::Cancelled,
            "the caller gave the call up while it was queued",
        ));
    }
    if conditions.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
        return Some(Failure::not_executed(
            Reason::DeadlineExceeded,
            "its time was over while it was queued",
        ));
    }
    let unread = scope.unread().filter(|unread| unread.is_full() && !envelope.is_one_way());
    unread.map(Unread::not_begun)
}

/// A batch in the actor's hand. However the turn ends, what has not begun goes back to the queue.
struct Turn<C: Contract> {
    inbox: Arc<Inbox<C>>,
    batch: Batch<C>,
    /// Calls that have begun or were refused, and whose slots are not given back yet.
    ended: usize,
}

impl<C: Contract> Turn<C> {
    /// Gives back the slots of what has ended, and to the queue what has not begun.
    fn pause(&mut self) {
        self.inbox.release(std::mem::take(&mut self.ended));
        if !self.batch.calls.is_empty() {
            self.inbox.put_back(self.batch.split_off());
        }
    }
}

impl<C: Contract> Drop for Turn<C> {
    fn drop(&mut self) {
        self.pause();
    }
}

/// One-way sends whose handlers have begun: those that do not end well are *unknown*.
struct Begun<'a> {
    scope: &'a CallScope,
    begun: u64,
    handled: u64,
}

impl<'a> Begun<'a> {
    const fn new(scope: &'a CallScope) -> Self {
        Self { scope, begun: 0, handled: 0 }
    }

    /// Counts what was handled so far.
    fn tell(&mut self) {
        let handled = std::mem::take(&mut self.handled);
        self.begun -= handled;
        self.scope.finish_one_way(OneWays { handled, ..OneWays::default() });
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let unknown = self.begun - self.handled;
        self.scope.finish_one_way(OneWays { handled: self.handled, refused: 0, unknown });
    }
}

/// The slot of a call that runs in its own task.
struct Slot<C: Contract>(Arc<Inbox<C>>);

impl<C: Contract> Drop for Slot<C> {
    fn drop(&mut self) {
        self.0.release(1);
    }
}

impl<S> Drop for Held<S> {
    fn drop(&mut self) {
        self.service = None;
        self.life.ended.notify_one();
    }
}

impl<C, S> fmt::Debug for ServiceActor<C, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceActor")
    }
}
