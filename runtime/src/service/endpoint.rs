//! A service on this node, as callers reach it.

use std::{any::Any, fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{sync::oneshot, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    channel::serve::{self, ServedChannel},
    codec::Codec,
    failure::{Failure, Reason},
    service::{Context, Contract, Envelope, Method, RawReply, Responder, context::ServiceCore, inbox::Inbox},
};

/// A service on this node, whatever its contract.
pub(crate) trait Endpoint: fmt::Debug + Send + Sync + 'static {
    fn name(&self) -> &'static str;
    fn methods(&self) -> &'static [Method];
    /// How many one-way sends, and how many calls, a channel may have under way.
    fn capacity(&self) -> usize;
    /// Calls that hold a slot, and how long the oldest waits.
    fn depth(&self, now: Instant) -> (usize, Duration);
    /// Serves one channel until it ends.
    fn serve(self: Arc<Self>, channel: ServedChannel) -> BoxFuture<'static, ()>;
    /// One call without a channel.
    fn call_single<'a>(
        &'a self,
        codec: Codec,
        method: usize,
        arguments: &'a [u8],
        deadline: Instant,
    ) -> BoxFuture<'a, Result<RawReply, Failure>>;
    /// Refuses what waits and all that comes.
    fn close(&self, why: &str);
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

#[derive(Debug)]
pub(crate) struct LocalEndpoint<C: Contract> {
    pub(crate) inbox: Arc<Inbox<C>>,
    pub(crate) core: Arc<ServiceCore>,
}

// === impl LocalEndpoint ===

impl<C: Contract> Endpoint for LocalEndpoint<C> {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn methods(&self) -> &'static [Method] {
        C::METHODS
    }

    fn capacity(&self) -> usize {
        self.inbox.capacity()
    }

    fn depth(&self, now: Instant) -> (usize, Duration) {
        (self.inbox.occupied(), self.inbox.oldest(now))
    }

    fn serve(self: Arc<Self>, channel: ServedChannel) -> BoxFuture<'static, ()> {
        Box::pin(serve::run(self, channel))
    }

    fn close(&self, why: &str) {
        self.inbox.close(Failure::not_executed(Reason::Unavailable, why));
        self.core.tasks.renew();
    }

    fn call_single<'a>(
        &'a self,
        codec: Codec,
        method: usize,
        arguments: &'a [u8],
        deadline: Instant,
    ) -> BoxFuture<'a, Result<RawReply, Failure>> {
        Box::pin(async move {
            self.inbox.admit(deadline).await?;
            let (to, answer) = oneshot::channel();
            let call = C::decode(method, codec, arguments, || Responder::single(to)).map_err(|error| {
                self.inbox.release(1);
                Failure::not_executed(Reason::BadArguments, format!("the service cannot read the arguments: {error}"))
            })?;
            let cancelled = CancellationToken::new();
            let scope = self.core.node.inner().local_scope(&self.core);
            let context = Context::new(scope, Some(deadline), Some(cancelled.clone()));
            let cancel = cancelled.drop_guard();
            self.inbox.push(&mut vec![Envelope { call, method, context, queued_at: Instant::now() }]);
            let answer = answer.await;
            // There is nothing left to cancel.
            drop(cancel.disarm());
            answer.unwrap_or_else(|_| Err(Failure::unknown(Reason::Unavailable, "the service ended without a word")))
        })
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
