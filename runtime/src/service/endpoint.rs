//! A service on this node, as callers reach it.

use std::{any::Any, fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{sync::oneshot, time::Instant};

use crate::{
    channel::serve::{self, ServedChannel},
    codec::{BadArguments, Codec},
    failure::{Failure, Reason},
    service::{
        CallScope, CancelOnDrop, Conditions, Contract, Envelope, Method, RawReply, Responder,
        context::ServiceCore, contract, inbox::Inbox,
    },
    wire::frame::FrameError,
};

/// A service on this node, whatever its contract.
pub(crate) trait Endpoint: fmt::Debug + Send + Sync + 'static {
    fn name(&self) -> &'static str;
    fn methods(&self) -> &'static [Method];
    /// Calls that hold a slot, and how long the oldest waits.
    fn depth(&self, now: Instant) -> (usize, Duration);
    /// Serves one channel until it ends; an error if its caller broke the protocol.
    fn serve(self: Arc<Self>, channel: ServedChannel) -> BoxFuture<'static, Result<(), FrameError>>;
    /// One call without a channel. A one-way send is answered when it is queued.
    fn call_single<'a>(
        &'a self,
        codec: Codec,
        method: usize,
        arguments: &'a [u8],
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
}

impl<C: Contract> LocalEndpoint<C> {
    /// Queues a call of this node whose slot is taken. It is cancelled when the guard is dropped, unless it is a one-way
    /// send.
    pub(crate) fn enqueue(
        &self,
        call: C::Call,
        method: usize,
        conditions: Conditions,
        now: Instant,
    ) -> CancelOnDrop {
        let cancel = conditions.cancel.clone();
        self.inbox.push_one(&self.own, Envelope::new(call, method, conditions), now);
        CancelOnDrop(cancel)
    }
}

// === impl LocalEndpoint ===

impl<C: Contract> Endpoint for LocalEndpoint<C> {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn methods(&self) -> &'static [Method] {
        C::METHODS
    }

    fn depth(&self, now: Instant) -> (usize, Duration) {
        (self.inbox.occupied(), self.inbox.oldest(now))
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

    fn call_single<'a>(
        &'a self,
        codec: Codec,
        method: usize,
        arguments: &'a [u8],
        conditions: Conditions,
    ) -> BoxFuture<'a, Result<RawReply, Failure>> {
        Box::pin(async move {
            let since = Instant::now();
            let deadline = conditions.deadline.unwrap_or(since);
            let unreadable = |error: BadArguments| contract::unreadable::<C>(method, &error);
            if C::METHODS.get(method).is_some_and(|method| method.one_way) {
                let call = C::decode_one_way(method, codec, arguments).map_err(unreadable)?;
                self.inbox.admit(deadline, since).await?;
                drop(self.enqueue(call, method, Conditions::one_way(conditions.head), Instant::now()));
                return RawReply::of(codec, &());
            }
            let (to, answer) = oneshot::channel();
            let call = C::decode(method, codec, arguments, || Responder::single(to)).map_err(unreadable)?;
            self.inbox.admit(deadline, since).await?;
            let cancel = self.enqueue(call, method, conditions, Instant::now());
            let answer = answer.await;
            cancel.done();
            answer.unwrap_or_else(|_| {
                Err(Failure::unknown(Reason::Unavailable, "the service ended without a word"))
            })
        })
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
