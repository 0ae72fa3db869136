//! A service on this node, as callers reach it.

use std::{
    any::Any,
    fmt,
    sync::{Arc, atomic::Ordering::Acquire},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Either},
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use crate::{
    channel::serve::{self, ServedChannel},
    client::no_further_sends,
    codec::{BadArguments, Codec},
    failure::{Failure, Reason},
    layer::{LayeredAnswer, Layers, Passage},
    service::{
        CallScope, Caller, CancelOnDrop, Conditions, Contract, Envelope, Method, RawReply, Responder,
        Settled,
        context::{AtWork, ServiceCore},
        contract,
        inbox::Inbox,
        layered,
    },
    wire::frame::FrameError,
};

/// A service on this node, whatever its contract.
pub(crate) trait Endpoint: fmt::Debug + Send + Sync + 'static {
    fn name(&self) -> &'static str;
    fn methods(&self) -> &'static [Method];
    /// Whether it takes calls: not before its warm-up is over.
    fn is_ready(&self) -> bool;
    /// Whether it takes no call any more: it was given up, or its node stops.
    fn is_closed(&self) -> bool;
    /// Calls that hold a slot, and how long the oldest waits.
    fn depth(&self, now: Instant) -> (usize, Duration);
    /// The `&mut self` call that holds up all others, if one does.
    fn at_work(&self) -> Option<AtWork>;
    /// How many calls can hold a slot.
    fn capacity(&self) -> usize;
    /// Serves one channel until it ends; an error if its caller broke the protocol.
    fn serve(self: Arc<Self>, channel: ServedChannel) -> BoxFuture<'static, Result<(), FrameError>>;
    /// Whether the policies let `caller` call the method of that number.
    fn admits(&self, caller: &Caller, method: usize) -> bool;
    /// One call without a channel, of a command line or of this node. A one-way send is answered when it is queued. The outer
    /// failure is that of a call that was not queued.
    fn call_single<'a>(
        self: Arc<Self>,
        guest: Option<&'a Caller>,
        method: usize,
        arguments: (Codec, &'a [u8]),
        conditions: Conditions,
    ) -> BoxFuture<'a, Result<Settled<RawReply>, Failure>>;
    /// Refuses what waits and all that comes; what runs goes on.
    fn close(&self, why: &str);
    /// As [`close`](Self::close), and drops what runs.
    fn end(&self, why: &str);
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// A one-way send on its way through layers.
pub(crate) struct Sending {
    way: BoxFuture<'static, Result<(), Failure>>,
    passage: Arc<Passage>,
}

impl Sending {
    /// Waits until it is through the layers, or the time is over: it was sent if it was forwarded by then.
    pub(crate) async fn until(self, deadline: Instant) -> Result<(), Failure> {
        let sent = timeout_at(deadline, self.way).await;
        sent.unwrap_or_else(|_late| Self::sent(&self.passage, || held(Reason::DeadlineExceeded)))
    }

    /// Waits until it is through the layers, as long as it takes.
    pub(crate) async fn through(self) -> Result<(), Failure> {
        self.way.await
    }

    /// Whether it was forwarded at once; it is given up otherwise.
    pub(crate) fn now(self) -> Result<(), Failure> {
        let sent = self.way.now_or_never();
        sent.unwrap_or_else(|| Self::sent(&self.passage, || held(Reason::Overloaded)))
    }

    fn sent(passage: &Passage, held: impl FnOnce() -> Failure) -> Result<(), Failure> {
        if passage.give_up() { Err(held()) } else { Ok(()) }
    }
}

#[cold]
fn held(reason: Reason) -> Failure {
    Failure::not_sent(reason, "layers of the service hold the send")
}

#[derive(Debug)]
pub(crate) struct LocalEndpoint<C: Contract> {
    pub(crate) inbox: Arc<Inbox<C>>,
    pub(crate) core: Arc<ServiceCore>,
    /// What calls from this very node share.
    pub(crate) own: Arc<CallScope>,
    /// For each method, whether this very node may call it.
    own_allowed: Vec<bool>,
    /// What stands in front of the queue.
    layers: Option<Arc<Layers>>,
}

impl<C: Contract> LocalEndpoint<C> {
    pub(crate) fn new(
        inbox: Arc<Inbox<C>>,
        core: Arc<ServiceCore>,
        layers: Option<Layers>,
        caller: Caller,
    ) -> Self {
        let own_allowed =
            C::METHODS.iter().map(|method| core.guard.admits(&caller, C::NAME, method.name)).collect();
        let own = Arc::new(CallScope { caller, guest: None, core: Arc::clone(&core), replies: None });
        Self { inbox, core, own, own_allowed, layers: layers.map(Arc::new) }
    }

    pub(crate) const fn has_layers(&self) -> bool {
        self.layers.is_some()
    }

    /// Queues a call whose slot is taken, or brings it to the layers; what it returns waits for the answer. The call is
    /// cancelled when that is dropped.
    pub(crate) fn run<T: LayeredAnswer>(
        self: &Arc<Self>,
        scope: &Arc<CallScope>,
        envelope: Envelope<C>,
        answer: oneshot::Receiver<Settled<T>>,
        now: Instant,
    ) -> impl Future<Output = Settled<T>> + Send + use<C, T> {
        let cancel = envelope.conditions.cancel.clone();
        let answer = async { answer.await.unwrap_or_else(|_| (Err(Failure::without_a_word()), 0)) };
        match self.bring(scope, envelope, answer, now) {
            Either::Left((_, layered)) => Either::Left(layered),
            Either::Right(answer) => {
                let cancel = CancelOnDrop(cancel);
                Either::Right(answer.inspect(|_| cancel.done()))
            }
        }
    }

    /// As [`run`](Self::run), for a call of this node.
    ///
    /// # Errors
    /// This node may not call it.
    pub(crate) fn run_own<T: LayeredAnswer>(
        self: &Arc<Self>,
        (call, method): (C::Call, usize),
        conditions: Conditions,
        answer: oneshot::Receiver<Settled<T>>,
        now: Instant,
    ) -> Result<impl Future<Output = Settled<T>> + Send + use<C, T>, Failure> {
        self.check_own(method).inspect_err(|_refused| self.inbox.release(1))?;
        Ok(self.run(&self.own, Envelope::new(call, method, conditions), answer, now))
    }

    /// Queues a one-way send whose slot is taken, or brings it to the layers; nothing to wait for if it is queued.
    pub(crate) fn send(
        self: &Arc<Self>,
        scope: &Arc<CallScope>,
        envelope: Envelope<C>,
        now: Instant,
    ) -> Option<Sending> {
        let sent = std::future::ready((Ok(()), 0));
        match self.bring(scope, envelope, sent, now) {
            Either::Left((passage, layered)) => {
                Some(Sending { way: Box::pin(async move { layered.await.0 }), passage })
            }
            Either::Right(_queued) => None,
        }
    }

    /// As [`send`](Self::send), for one of this node.
    ///
    /// # Errors
    /// This node may not send it.
    pub(crate) fn send_own(
        self: &Arc<Self>,
        (call, method): (C::Call, usize),
        conditions: Conditions,
        now: Instant,
    ) -> Result<Option<Sending>, Failure> {
        self.check_own(method).inspect_err(|_refused| self.inbox.release(1))?;
        Ok(self.send(&self.own, Envelope::new(call, method, conditions), now))
    }

    /// Brings a call to the layers, or queues it. The way through layers is apart: what waits for usual calls is moved about, and
    /// would be as large.
    fn bring<T: LayeredAnswer, F>(
        self: &Arc<Self>,
        scope: &Arc<CallScope>,
        envelope: Envelope<C>,
        answer: F,
        now: Instant,
    ) -> Either<(Arc<Passage>, BoxFuture<'static, Settled<T>>), F>
    where
        F: Future<Output = Settled<T>> + Send + 'static,
    {
        let Some(layers) = &self.layers else {
            self.inbox.push_one(scope, envelope, now);
            return Either::Right(answer);
        };
        let call = (Arc::clone(scope), envelope);
        let (passage, layered) = layered::bring(Arc::clone(layers), Arc::clone(&self.inbox), call, answer);
        Either::Left((passage, Box::pin(layered)))
    }

    /// Whether this very node may call.
    #[inline]
    fn check_own(&self, method: usize) -> Result<(), Failure> {
        if self.own_allowed.get(method).is_some_and(|allowed| *allowed) {
            return Ok(());
        }
        Err(self.own.refuse(method_name::<C>(method)))
    }
}

pub(crate) fn method_name<C: Contract>(method: usize) -> &'static str {
    C::METHODS.get(method).map_or("", |method| method.name)
}

// === impl LocalEndpoint ===

impl<C: Contract> Endpoint for LocalEndpoint<C> {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn methods(&self) -> &'static [Method] {
        C::METHODS
    }

    fn is_ready(&self) -> bool {
        self.core.ready.load(Acquire)
    }

    fn is_closed(&self) -> bool {
        self.inbox.is_closed()
    }

    fn depth(&self, now: Instant) -> (usize, Duration) {
        (self.inbox.occupied(), self.inbox.oldest(now))
    }

    fn at_work(&self) -> Option<AtWork> {
        *self.core.at_work.lock()
    }

    fn capacity(&self) -> usize {
        self.inbox.capacity()
    }

    fn serve(self: Arc<Self>, channel: ServedChannel) -> BoxFuture<'static, Result<(), FrameError>> {
        Box::pin(serve::run(self, channel))
    }

    fn close(&self, why: &str) {
        self.inbox.close(Failure::not_executed(Reason::Unavailable, why));
        self.core.tasks.renew();
    }

    fn end(&self, why: &str) {
        self.close(why);
        self.core.calls.end();
        self.core.tasks.end();
    }

    fn admits(&self, caller: &Caller, method: usize) -> bool {
        C::METHODS.get(method).is_some_and(|method| self.core.guard.admits(caller, C::NAME, method.name))
    }

    fn call_single<'a>(
        self: Arc<Self>,
        guest: Option<&'a Caller>,
        method: usize,
        (codec, arguments): (Codec, &'a [u8]),
        conditions: Conditions,
    ) -> BoxFuture<'a, Result<Settled<RawReply>, Failure>> {
        Box::pin(async move {
            let scope = match guest {
                None => {
                    self.check_own(method)?;
                    Arc::clone(&self.own)
                }
                Some(guest) => {
                    let core = Arc::clone(&self.core);
                    let scope = CallScope { caller: guest.clone(), guest: None, core, replies: None };
                    if !self.admits(guest, method) {
                        return Err(scope.refuse(method_name::<C>(method)));
                    }
                    Arc::new(scope)
                }
            };
            let since = Instant::now();
            let deadline = conditions.deadline.unwrap_or(since);
            let unreadable = |error: BadArguments| contract::unreadable::<C>(method, &error);
            if C::METHODS.get(method).is_some_and(|method| method.one_way) {
                let call = C::decode_one_way(method, codec, arguments).map_err(unreadable)?;
                // As any other send, it waits for a place until its time is over.
                let place = timeout_at(deadline, self.inbox.admit_patiently()).await;
                place.map_err(|_late| no_further_sends())??;
                let envelope = Envelope::new(call, method, Conditions::one_way(conditions.head));
                if let Some(sending) = self.send(&scope, envelope, Instant::now()) {
                    sending.until(deadline).await?;
                }
                return Ok((RawReply::of(codec, &()), 0));
            }
            let (to, answer) = oneshot::channel();
            let call = C::decode(method, codec, arguments, || Responder::single(to)).map_err(unreadable)?;
            self.inbox.admit(deadline, since).await?;
            let envelope = Envelope::new(call, method, conditions);
            Ok(self.run(&scope, envelope, answer, Instant::now()).await)
        })
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
