//! A one-way send: a builder until it is awaited, then a future that resolves when the service has a place for it.

use std::{
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use serde::Serialize;
use tokio::{
    task::unconstrained,
    time::{Instant, timeout_at},
};

use crate::{
    channel::{
        caller::{ChannelCaller, TrySend},
        head::Head,
    },
    client::{
        Client,
        call::downcast,
        engine::{Journey, no_further_sends},
        options::CallOptions,
        pinning::{Pinning, Place},
    },
    failure::{Failure, Reason},
    service::{Conditions, Contract, LocalEndpoint, Sending},
    telemetry::Recorded,
};

/// A one-way send: set its options, then await it. Nothing happens before that.
///
/// It resolves when the service has a place for it, not when it has been handled.
///
/// # Cancel safety
/// Dropping it before it resolves sends nothing, unless layers have forwarded it by then.
#[must_use = "a send does nothing until it is awaited"]
pub struct OneWay<C: Contract, A> {
    client: Client<C>,
    method: usize,
    options: CallOptions,
    make: fn(A) -> C::Call,
    state: SendState<A>,
    /// Where the send is recorded, until it has ended.
    recorded: Option<Box<Recorded>>,
    /// When it began to wait for a place or an endpoint.
    since: Option<Instant>,
    /// It comes from layers: whoever is above them tells of it.
    is_below: bool,
}

enum SendState<A> {
    New(A),
    Patient(BoxFuture<'static, Result<(), Failure>>),
    Done,
}

impl<C: Contract, A> OneWay<C, A> {
    pub(crate) const fn new(client: Client<C>, method: usize, arguments: A, make: fn(A) -> C::Call) -> Self {
        let state = SendState::New(arguments);
        let options = CallOptions::NONE;
        Self { client, method, options, make, state, recorded: None, since: None, is_below: false }
    }

    /// How long the send may wait for a place (default: the node's
    /// [`call_timeout`](crate::Config::call_timeout), 10 s).
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Sends a text along, for the handler's [`Context::metadata`](crate::Context::metadata). See
    /// [`Metadata`](crate::Metadata) for what it may be.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.set_metadata(key, value);
        self
    }
}

/// What came of an attempt that does not wait.
enum Now {
    Sent,
    NoRoom,
    /// No endpoint has an open channel, or it is others' turn.
    NotReady,
    /// The endpoint that was picked does not take it; another one may.
    Failed(Failure),
}

impl<C: Contract, A> OneWay<C, A>
where
    A: Serialize + Send + 'static,
{
    /// Sends if the service has a place for it now, and never waits: neither for a place, nor for an endpoint to be found
    /// or reached.
    ///
    /// # Errors
    /// It was *not sent*: [`Reason::Overloaded`] where there is no place, [`Reason::Unreachable`] where no endpoint has
    /// been reached yet (awaiting a first send reaches one), or why it can never be sent.
    pub fn try_send(mut self) -> Result<(), Failure> {
        self.record();
        let sent = self.try_send_now();
        self.over(sent)
    }

    fn try_send_now(&mut self) -> Result<(), Failure> {
        let SendState::New(arguments) = std::mem::replace(&mut self.state, SendState::Done) else {
            return Err(Failure::not_sent(Reason::Cancelled, "the send has begun already"));
        };
        if self.client.has_layers() {
            // What became of it below is known at once, however long the layers take with the answer.
            let below = Arc::new(OnceLock::new());
            let told = Arc::clone(&below);
            let way = self.through_layers(arguments, move |send| {
                let sent = send.try_send();
                // It is forwarded once.
                drop(told.set(sent.clone()));
                std::future::ready(sent)
            });
            let held_up = || Err(Failure::not_sent(Reason::Overloaded, "a layer of the client is not ready"));
            return way.now_or_never().unwrap_or_else(|| below.get().cloned().unwrap_or_else(held_up));
        }
        match self.send_now(&arguments) {
            Ok(Now::Sent) => Ok(()),
            Ok(Now::NoRoom) => Err(no_place_now()),
            Ok(Now::Failed(failure)) if failure.reason() != Reason::ConnectionLost => Err(failure),
            Ok(Now::NotReady | Now::Failed(_)) => self.send_here_now(arguments),
            Err(failure) => Err(failure),
        }
    }

    /// Decides what its trace is, before anything else is done.
    #[inline]
    fn record(&mut self) {
        if !self.is_below
            && let SendState::New(arguments) = &self.state
        {
            self.recorded = self.client.record(self.method, &mut self.options, arguments);
        }
    }

    /// What became of it.
    fn over(&mut self, sent: Result<(), Failure>) -> Result<(), Failure> {
        let recorded = self.recorded.take();
        if let Err(failure) = &sent
            && !self.is_below
        {
            self.client.failed((self.method, self.since), recorded.as_deref(), failure);
        }
        if let Some(recorded) = recorded {
            recorded.end(&sent.as_ref().map(|()| Ok::<_, ()>(())).map_err(Failure::clone));
        }
        sent.map_err(|failure| {
            failure.of(C::NAME, C::METHODS.get(self.method).map_or("", |method| method.name))
        })
    }

    fn through_layers<F>(
        &self,
        arguments: A,
        send: impl FnOnce(Self) -> F + Send + 'static,
    ) -> BoxFuture<'static, Result<(), Failure>>
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let below = self.client.below_layers();
        let sealed = self.client.seal(self.method, &self.options);
        let (method, options, make) = (self.method, self.options.clone(), self.make);
        Box::pin(async move {
            let ((layers, client), sealed) = below.zip(Some(sealed?)).ok_or_else(no_layers)?;
            let deadline = sealed.deadline;
            let send = move |metadata| {
                let options = options.after_layers(deadline, metadata);
                send(Self { options, is_below: true, ..Self::new(client, method, arguments, make) })
            };
            layers.bring(sealed, send).await
        })
    }

    /// To the endpoint on this node.
    fn send_here_now(&self, arguments: A) -> Result<(), Failure> {
        let not_ready = || Failure::not_sent(Reason::Unreachable, "no endpoint has been reached yet");
        let head = self.options.one_way_head(self.client.node().config())?;
        // In its turn, where there are turns.
        let pinned = self.client.pin().map(|pin| pin.now());
        let local = match pinned.as_ref().map(Option::as_deref) {
            None => self.client.route().table(self.client.node()).local.clone(),
            Some(Some(Place::Here(local))) => Some(Arc::clone(local)),
            Some(_) => None,
        };
        let local = downcast::<C>(local.ok_or_else(not_ready)?)?;
        self.options.goes_to(self.client.node().name());
        if !local.inbox.try_admit(1) {
            return Err(no_place_now());
        }
        let call = ((self.make)(arguments), self.method);
        match local.send_own(call, Conditions::one_way(head), Instant::now())? {
            None => Ok(()),
            Some(sending) => sending.now(),
        }
    }

    /// On an open channel, if there is room; the arguments stay where they are.
    #[inline]
    fn send_now(&self, arguments: &A) -> Result<Now, Failure> {
        if let Some(pin) = self.client.pin() {
            let turn = pin.now();
            let Some(Place::There(remote, channel)) = turn.as_deref() else { return Ok(Now::NotReady) };
            self.options.goes_to(remote.name());
            return self.send_on(channel, arguments);
        }
        let table = self.client.route().table(self.client.node());
        if table.local.is_some() {
            return Ok(Now::NotReady);
        }
        let Some(target) = table.pick(&[]) else { return Ok(Now::NotReady) };
        let Some(channel) = target.channel() else { return Ok(Now::NotReady) };
        self.options.goes_to(target.remote.name());
        self.send_on(channel, arguments)
    }

    #[inline]
    fn send_on(&self, channel: &ChannelCaller, arguments: &A) -> Result<Now, Failure> {
        let head = self.options.one_way_head(self.client.node().config())?;
        let send = |encoded: &[u8]| channel.try_send(self.method, &head, encoded);
        Ok(match self.client.route().spec.codec.encode_in_scratch(arguments, send)? {
            TrySend::Sent => Now::Sent,
            TrySend::Full => Now::NoRoom,
            // It went out, to be counted.
            TrySend::Failed(refused) if refused.reason() == Reason::Refused => return Err(refused),
            TrySend::Failed(failure) => Now::Failed(failure),
        })
    }

    /// The patient way, for what does not go at once.
    fn start(&mut self, arguments: A) -> Result<Option<BoxFuture<'static, Result<(), Failure>>>, Failure> {
        let now = Instant::now();
        self.since = Some(now);
        let client = &self.client;
        let node = client.node();
        let ticket = self.options.ticket(self.method, node.config(), now)?;
        let head = self.options.one_way_head(node.config())?;
        let deadline = ticket.terms.deadline;
        let mut journey = Journey::new(Arc::clone(node), Arc::clone(client.route()), ticket);
        if let Some(pin) = client.pin() {
            return Ok(Some(self.start_pinned(Arc::clone(pin), arguments, journey, head)));
        }
        if let Some(local) = &client.route().table(node).local {
            return self.start_local(downcast::<C>(Arc::clone(local))?, arguments, deadline, head);
        }
        let encoded = client.route().spec.codec.encode(&arguments)?;
        Ok(Some(Box::pin(async move { journey.send(&head, &encoded).await })))
    }

    /// In its turn, at the endpoint to which the client is pinned.
    fn start_pinned(
        &self,
        pin: Arc<Pinning>,
        arguments: A,
        mut journey: Journey,
        head: Head,
    ) -> BoxFuture<'static, Result<(), Failure>> {
        let (method, make) = (self.method, self.make);
        Box::pin(async move {
            let (turn, place) = pin.next(&mut journey).await?;
            match place {
                Place::Here(local) => {
                    let local = downcast::<C>(local)?;
                    journey.ticket.goes_to(journey.node.name());
                    admit(&local, journey.deadline()).await?;
                    let call = (make(arguments), method);
                    let sent = send_here(&local, call, Conditions::one_way(head), journey.deadline());
                    let mut sent = pin!(sent);
                    // Where the service has layers, it has come to them then.
                    let first = unconstrained(poll_fn(|cx| Poll::Ready(sent.as_mut().poll(cx)))).await;
                    drop(turn);
                    match first {
                        Poll::Ready(sent) => sent,
                        Poll::Pending => sent.await,
                    }
                }
                Place::There(remote, channel) => {
                    let encoded = journey.route.spec.codec.encode(&arguments)?;
                    journey.ticket.goes_to(remote.name());
                    let sent = journey.send_on(&channel, &head, &encoded).await;
                    sent.map_err(|failure| failure.at(remote.name()))
                }
            }
        })
    }

    fn start_local(
        &self,
        local: Arc<LocalEndpoint<C>>,
        arguments: A,
        deadline: Instant,
        head: Head,
    ) -> Result<Option<BoxFuture<'static, Result<(), Failure>>>, Failure> {
        let (method, make) = (self.method, self.make);
        let conditions = Conditions::one_way(head);
        self.options.goes_to(self.client.node().name());
        if local.inbox.try_admit(1) {
            let sending = local.send_own((make(arguments), method), conditions, Instant::now())?;
            let until = |sending: Sending| -> BoxFuture<'static, _> { Box::pin(sending.until(deadline)) };
            return Ok(sending.map(until));
        }
        Ok(Some(Box::pin(async move {
            admit(&local, deadline).await?;
            send_here(&local, (make(arguments), method), conditions, deadline).await
        })))
    }
}

#[cold]
fn no_layers() -> Failure {
    Failure::not_sent(Reason::Unavailable, "the client has no layers")
}

/// What never waits found no place.
fn no_place_now() -> Failure {
    Failure::not_sent(Reason::Overloaded, "the service has no place for a one-way send now")
}

/// Waits for a slot.
async fn admit<C: Contract>(local: &LocalEndpoint<C>, deadline: Instant) -> Result<(), Failure> {
    timeout_at(deadline, local.inbox.admit_patiently()).await.map_err(|_late| no_further_sends())?
}

/// Sends to an endpoint of this node, whose slot is taken.
async fn send_here<C: Contract>(
    local: &Arc<LocalEndpoint<C>>,
    call: (C::Call, usize),
    conditions: Conditions,
    deadline: Instant,
) -> Result<(), Failure> {
    match local.send_own(call, conditions, Instant::now())? {
        None => Ok(()),
        Some(sending) => sending.until(deadline).await,
    }
}

impl<C: Contract, A> Future for OneWay<C, A>
where
    A: Serialize + Send + Unpin + 'static,
{
    type Output = Result<(), Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.record();
        if this.client.has_layers()
            && let SendState::New(_) = this.state
            && let SendState::New(arguments) = std::mem::replace(&mut this.state, SendState::Done)
        {
            this.state = SendState::Patient(this.through_layers(arguments, |below| below));
        }
        if let SendState::New(arguments) = &this.state {
            match this.send_now(arguments) {
                Ok(Now::NoRoom | Now::NotReady | Now::Failed(_)) => {}
                sent => {
                    this.state = SendState::Done;
                    return Poll::Ready(this.over(sent.map(drop)));
                }
            }
        }
        if let SendState::New(_) = this.state
            && let SendState::New(arguments) = std::mem::replace(&mut this.state, SendState::Done)
        {
            match this.start(arguments) {
                Ok(None) => return Poll::Ready(this.over(Ok(()))),
                Ok(Some(patient)) => this.state = SendState::Patient(patient),
                Err(failure) => return Poll::Ready(this.over(Err(failure))),
            }
        }
        let SendState::Patient(patient) = &mut this.state else {
            panic!("a send was polled after it had resolved")
        };
        let sent = ready!(patient.as_mut().poll(cx));
        this.state = SendState::Done;
        Poll::Ready(this.over(sent))
    }
}

impl<C: Contract, A> fmt::Debug for OneWay<C, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneWay")
            .field("service", &C::NAME)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}
