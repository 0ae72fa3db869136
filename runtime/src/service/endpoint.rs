//! A service on this node, as callers reach it.

use std::{
    any::Any,
    fmt,
    sync::{Arc, atomic::Ordering::Acquire},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use crate::{
    channel::serve::{self, ServedChannel},
    client::no_further_sends,
    codec::{BadArguments, Codec},
    failure::{Failure, Reason},
    service::{
        CallScope, Caller, CancelOnDrop, Conditions, Contract, Envelope, Method, RawReply, Responder,
        context::ServiceCore, contract, inbox::Inbox,
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
    /// How many calls can hold a slot.
    #[cfg(feature = "testing")]
    fn capacity(&self) -> usize;
    /// Serves one channel until it ends; an error if its caller broke the protocol.
    fn serve(self: Arc<Self>, channel: ServedChannel) -> BoxFuture<'static, Result<(), FrameError>>;
    /// Whether the policies let `caller` call the method of that number.
    fn admits(&self, caller: &Caller, method: usize) -> bool;
    /// One call without a channel, of a command line or of this node. A one-way send is answered when it is queued.
    fn call_single<'a>(
        &'a self,
        guest: Option<&'a Caller>,
        method: usize,
        arguments: (Codec, &'a [u8]),
        conditions: Conditions,
    ) -> BoxFuture<'a, Result<RawReply, Failure>>;
    /// Refuses what waits and all that comes; what runs goes on.
    fn close(&self, why: &str);
    /// As [`close`](Self::close), and drops what runs.
    fn end(&self, why: &str);
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

#[derive(Debug)]
pub(crate) struct LocalEndpoint<C: Contract> {
    pub(crate) inbox: Arc<Inbox<C>>,
    pub(crate) core: Arc<ServiceCore>,
    /// What calls from this very node share.
    pub(crate) own: Arc<CallScope>,
    /// For each method, whether this very node may call it.
    pub(crate) own_allowed: Vec<bool>,
}

impl<C: Contract> LocalEndpoint<C> {
    pub(crate) fn new(inbox: Arc<Inbox<C>>, core: Arc<ServiceCore>, caller: Caller) -> Self {
        let own_allowed =
            C::METHODS.iter().map(|method| core.guard.admits(&caller, C::NAME, method.name)).collect();
        let own = Arc::new(CallScope { caller, guest: None, core: Arc::clone(&core), replies: None });
        Self { inbox, core, own, own_allowed }
    }

    /// Queues a call of this node whose slot is taken, or refuses it. It is cancelled when the guard is dropped.
    pub(crate) fn enqueue(
        &self,
        call: C::Call,
        method: usize,
        conditions: Conditions,
        now: Instant,
    ) -> CancelOnDrop {
        if let Err(failure) = self.check_own(method) {
            self.inbox.release(1);
            C::refuse(call, failure);
            return CancelOnDrop(None);
        }
        let cancel = conditions.cancel.clone();
        self.inbox.push_one(&self.own, Envelope::new(call, method, conditions), now);
        CancelOnDrop(cancel)
    }

    /// Queues a one-way send of this node whose slot is taken.
    ///
    /// # Errors
    /// This node may not send it.
    pub(crate) fn enqueue_one_way(
        &self,
        call: C::Call,
        method: usize,
        conditions: Conditions,
        now: Instant,
    ) -> Result<(), Failure> {
        self.check_own(method).inspect_err(|_refused| self.inbox.release(1))?;
        self.inbox.push_one(&self.own, Envelope::new(call, method, conditions), now);
        Ok(())
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

    #[cfg(feature = "testing")]
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
        &'a self,
        guest: Option<&'a Caller>,
        method: usize,
        (codec, arguments): (Codec, &'a [u8]),
        conditions: Conditions,
    ) -> BoxFuture<'a, Result<RawReply, Failure>> {
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
                self.inbox.push_one(&scope, envelope, Instant::now());
                return RawReply::of(codec, &());
            }
            let (to, answer) = oneshot::channel();
            let call = C::decode(method, codec, arguments, || Responder::single(to)).map_err(unreadable)?;
            self.inbox.admit(deadline, since).await?;
            let cancel = CancelOnDrop(conditions.cancel.clone());
            self.inbox.push_one(&scope, Envelope::new(call, method, conditions), Instant::now());
            let answer = answer.await;
            cancel.done();
            answer.unwrap_or_else(|_| Err(Failure::without_a_word()))
        })
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
