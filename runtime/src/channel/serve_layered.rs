//! The serving end of a call channel whose service has layers: each call passes them by itself.

use std::{collections::VecDeque, future::poll_fn, sync::Arc, task::Poll};

use futures_util::future::BoxFuture;
use tokio::{sync::oneshot, task::unconstrained, time::Instant};

use crate::{
    channel::serve::admit,
    codec::{BadArguments, Codec},
    failure::Failure,
    service::{
        Batch, CallScope, Conditions, Contract, Envelope, LocalEndpoint, RawReply, Replies, Responder,
        Settled,
    },
    task,
};

/// Calls that one read brought, before they come to the layers.
pub(super) struct LayeredCalls<C: Contract> {
    endpoint: Arc<LocalEndpoint<C>>,
    replies: Arc<Replies>,
    scope: Arc<CallScope>,
    arrived: VecDeque<Arrived<C>>,
}

struct Arrived<C: Contract> {
    envelope: Envelope<C>,
    /// None for a one-way send.
    answer: Option<Answer>,
}

/// A call that is answered, however its way ends.
struct Way {
    replies: Arc<Replies>,
    /// None once it has its answer.
    call: Option<u32>,
}

/// The number of a call, and what the service answers.
type Answer = (u32, oneshot::Receiver<Settled<RawReply>>);

impl<C: Contract> LayeredCalls<C> {
    /// None if the service has no layers.
    pub(super) fn new(
        endpoint: &Arc<LocalEndpoint<C>>,
        replies: &Arc<Replies>,
        scope: &Arc<CallScope>,
    ) -> Option<Self> {
        endpoint.has_layers().then(|| Self {
            endpoint: Arc::clone(endpoint),
            replies: Arc::clone(replies),
            scope: Arc::clone(scope),
            arrived: VecDeque::new(),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.arrived.len()
    }

    /// Takes in a call.
    ///
    /// # Errors
    /// Its arguments do not fit the method; it has no answer yet.
    pub(super) fn call(
        &mut self,
        (call, method): (u32, usize),
        conditions: Conditions,
        (codec, arguments): (Codec, &[u8]),
    ) -> Result<(), BadArguments> {
        let (to, answer) = oneshot::channel();
        let typed = C::decode(method, codec, arguments, || Responder::single(to))?;
        let envelope = Envelope::new(typed, method, conditions);
        self.arrived.push_back(Arrived { envelope, answer: Some((call, answer)) });
        Ok(())
    }

    /// Takes in a one-way send.
    pub(super) fn send(&mut self, envelope: Envelope<C>) {
        self.arrived.push_back(Arrived { envelope, answer: None });
    }

    /// Brings the calls to the layers in order, each when it has a slot.
    pub(super) async fn hand_over(&mut self, now: Instant) {
        while let Some(Arrived { envelope, answer }) = self.arrived.pop_front() {
            if let Err(failure) = admit(&self.endpoint.inbox, &envelope.conditions, now).await {
                self.refuse(envelope, answer, &failure);
                continue;
            }
            let Some(mut way) = self.begin(envelope, answer) else { continue };
            // It has come to the layers before the next one does.
            let first = unconstrained(poll_fn(|cx| Poll::Ready(way.as_mut().poll(cx)))).await;
            if first.is_pending() {
                task::spawn_in(&self.endpoint.core.calls, way);
            }
        }
    }

    fn refuse(&self, envelope: Envelope<C>, answer: Option<Answer>, failure: &Failure) {
        if let Some((call, _)) = answer {
            self.replies.send_failure(call, failure, 0);
        }
        Batch::new(Arc::clone(&self.scope), [envelope].into(), Instant::now()).refuse(failure);
    }

    /// The way of a call through the layers; none for a one-way send that is queued.
    fn begin(&self, envelope: Envelope<C>, answer: Option<Answer>) -> Option<BoxFuture<'static, ()>> {
        let (endpoint, now) = (&self.endpoint, Instant::now());
        let Some((call, answer)) = answer else {
            let sending = endpoint.send(&self.scope, envelope, now)?;
            // One that does not come through is counted as refused by its envelope.
            return Some(Box::pin(async { drop(sending.through().await) }));
        };
        let answer = endpoint.run(&self.scope, envelope, answer, now);
        let mut way = Way { replies: Arc::clone(&self.replies), call: Some(call) };
        let drained = endpoint.core.node.inner().drain().awaits();
        Some(Box::pin(async move {
            way.settle(answer.await);
            drop(drained);
        }))
    }
}

impl Way {
    fn settle(&mut self, (answer, spent): Settled<RawReply>) {
        let Some(call) = self.call.take() else { return };
        match answer {
            Ok(RawReply { status, body }) => self.replies.send_answer(call, (status, &body), spent),
            Err(failure) => self.replies.send_failure(call, &failure, spent),
        }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.settle((Err(Failure::without_a_word()), 0));
    }
}
