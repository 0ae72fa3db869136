//! A call: a builder until it is awaited, then a future.
//!
//! The usual case (an endpoint with an open channel, or one on this node) starts at the first poll without a further
//! allocation; whatever has to wait or be repeated goes the patient way of [`Journey`].

use std::{
    fmt,
    future::{self, poll_fn},
    marker::PhantomData,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::future::BoxFuture;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::oneshot,
    task::unconstrained,
    time::{Instant, timeout_at},
};

use crate::{
    channel::caller::InFlight,
    client::{
        Choice, Client, Remote,
        engine::Journey,
        options::{CallOptions, Ticket},
        pinning::{Pinning, Place},
    },
    codec::{BadArguments, Codec},
    failure::{CallError, Failure, Reason},
    service::{Conditions, Contract, Endpoint, LocalEndpoint, Never, RawReply, Reply},
    telemetry::{Recorded, Status},
    wire::frame::status,
};

/// What a method returns, and what its client does.
pub trait Returns: 'static {
    /// The value.
    type Value: Serialize + DeserializeOwned + Send + 'static;
    /// The service's own error.
    type Error: Serialize + DeserializeOwned + Send + 'static;
    /// What the client gets.
    type Output;
    /// Makes the one of the other.
    fn output(answer: CallResult<Self>) -> Self::Output;
}

/// How to make the typed call for an endpoint on this node.
pub type Make<C, A, R> = fn(A, Reply<<R as Returns>::Value, <R as Returns>::Error>) -> <C as Contract>::Call;

/// The answer of the service, or why there is none.
pub type CallResult<R> = Result<Result<<R as Returns>::Value, <R as Returns>::Error>, Failure>;

/// A method that returns a plain `T`: its client gets `Result<T, Failure>`.
#[derive(Debug)]
pub struct Plain<T>(PhantomData<fn() -> T>);

/// A method that returns `Result<T, E>`: its client gets `Result<T, CallError<E>>`.
#[derive(Debug)]
pub struct Fallible<T, E>(PhantomData<fn() -> (T, E)>);

/// A call: set its options, then await it. Nothing happens before that.
///
/// # Cancel safety
/// Dropping it cancels the call: what is queued does not run, a running `&self` handler is dropped, a `&mut self` one
/// is told.
#[must_use = "a call does nothing until it is awaited"]
pub struct Call<C: Contract, A, R: Returns> {
    client: Client<C>,
    method: usize,
    options: CallOptions,
    make: Make<C, A, R>,
    state: State<A, R>,
    /// Where the call is recorded, until it has ended.
    recorded: Option<Box<Recorded>>,
    /// When it began.
    since: Option<Instant>,
}

enum State<A, R: Returns> {
    New(A),
    /// On its way to one endpoint.
    Started {
        call: InFlight,
        remote: Arc<Remote>,
        arguments: Vec<u8>,
        ticket: Ticket,
    },
    /// The patient way.
    Patient(BoxFuture<'static, CallResult<R>>),
    Done,
}

impl<C: Contract, A, R: Returns> Call<C, A, R> {
    pub(crate) const fn new(client: Client<C>, method: usize, arguments: A, make: Make<C, A, R>) -> Self {
        let state = State::New(arguments);
        Self { client, method, options: CallOptions::NONE, make, state, recorded: None, since: None }
    }

    /// How long the call may take, from its first poll to the end of its last attempt (default: the node's
    /// [`call_timeout`](crate::Config::call_timeout), 10 s).
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// How often the call, and all calls that its handler makes, may be repeated in all, where they were sent and may be
    /// repeated (default: the node's [`call_retries`](crate::Config::call_retries), 16). What a handler's call may spend
    /// is at most what is left of the call that the handler serves.
    pub const fn retries(mut self, retries: u32) -> Self {
        self.options.retries = Some(retries);
        self
    }

    /// Sends a text along, for the handler's [`Context::metadata`](crate::Context::metadata). See
    /// [`Metadata`](crate::Metadata) for what it may be.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.set_metadata(key, value);
        self
    }
}

impl<C: Contract, A, R: Returns> Call<C, A, R>
where
    A: Serialize + Send + 'static,
{
    fn start(&mut self, arguments: A) -> State<A, R> {
        self.client.route().budget.deposit();
        let now = Instant::now();
        self.since = Some(now);
        let client = &self.client;
        let node = client.node();
        let mut ticket = match self.options.ticket(self.method, node.config(), now) {
            Ok(ticket) => ticket,
            Err(failure) => return State::failed(failure),
        };
        if let Some(pin) = client.pin() {
            return self.start_pinned(pin, arguments, ticket, now);
        }
        let table = client.route().table(node);
        if let Some(local) = &table.local {
            return match downcast::<C>(Arc::clone(local)) {
                Ok(local) => State::Patient(self.start_local(local, arguments, ticket, now)),
                Err(failure) => State::failed(failure),
            };
        }
        let arguments = match client.route().spec.codec.encode(&arguments) {
            Ok(arguments) => arguments,
            Err(error) => return State::failed(error.into()),
        };
        let Some((remote, channel)) =
            table.pick(&[]).and_then(|target| Some((&target.remote, target.channel()?)))
        else {
            return State::patient(self.journey(ticket), arguments);
        };
        let choice = Choice::at(node, client.route(), remote);
        match ticket.begin(choice, channel, &arguments, now) {
            Ok(call) => State::Started { call, remote: Arc::clone(remote), arguments, ticket },
            Err(failure) => self.again(remote, failure, arguments, ticket),
        }
    }

    /// Begins the call at the endpoint to which the client is pinned, in its turn.
    fn start_pinned(
        &self,
        pin: &Arc<Pinning>,
        arguments: A,
        mut ticket: Ticket,
        now: Instant,
    ) -> State<A, R> {
        let codec = self.client.route().spec.codec;
        let make = self.make;
        if let Some(turn) = pin.now()
            && let Place::There(remote, channel) = &*turn
        {
            let arguments = match codec.encode(&arguments) {
                Ok(arguments) => arguments,
                Err(error) => return State::failed(error.into()),
            };
            let choice = Choice::at(self.client.node(), self.client.route(), remote).pinned(true);
            return match ticket.begin(choice, channel, &arguments, now) {
                Ok(call) => State::Started { call, remote: Arc::clone(remote), arguments, ticket },
                Err(failure) => self.again(remote, failure, arguments, ticket),
            };
        }
        let (pin, mut journey) = (Arc::clone(pin), self.journey(ticket));
        State::Patient(Box::pin(async move {
            let (turn, place) = pin.next(&mut journey).await?;
            match place {
                Place::Here(local) => {
                    let local = downcast::<C>(local)?;
                    local.inbox.admit(journey.deadline(), Instant::now()).await?;
                    let answer =
                        call_here::<C, A, R>(&local, (arguments, make), journey.ticket, Instant::now())?;
                    let mut answer = pin!(answer);
                    // Where the service has layers, it has come to them then.
                    let first = unconstrained(poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx)))).await;
                    drop(turn);
                    match first {
                        Poll::Ready(answer) => answer,
                        Poll::Pending => answer.await,
                    }
                }
                Place::There(remote, channel) => {
                    let arguments = codec.encode(&arguments)?;
                    let choice = Choice::at(&journey.node, &journey.route, &remote).pinned(true);
                    let begun = journey.ticket.begin(choice, &channel, &arguments, Instant::now());
                    drop(turn);
                    let answer = match begun {
                        Ok(call) => journey.ticket.settle(call.await),
                        Err(failure) => Err(failure),
                    };
                    answer
                        .map_err(|failure| failure.at(remote.name()))
                        .and_then(|raw| decode::<R>(codec, &raw))
                }
            }
        }))
    }

    /// Hands the call to an endpoint on this node: the arguments move, no codec runs. What the endpoint has no room
    /// for goes elsewhere.
    fn start_local(
        &self,
        local: Arc<LocalEndpoint<C>>,
        arguments: A,
        ticket: Ticket,
        now: Instant,
    ) -> BoxFuture<'static, CallResult<R>> {
        let (client, make) = (self.client.clone(), self.make);
        if local.inbox.admit_at_once(1) {
            return match call_here::<C, A, R>(&local, (arguments, make), ticket, now) {
                Ok(answer) => Box::pin(answer),
                Err(failure) => Box::pin(future::ready(Err(failure))),
            };
        }
        Box::pin(async move {
            if let Err(failure) = local.inbox.admit(ticket.terms.deadline, now).await {
                let node = client.node();
                if client.route().table(node).pick(&[]).is_none() {
                    return Err(failure);
                }
                let encoded = client.route().spec.codec.encode(&arguments)?;
                let journey = Journey::new(Arc::clone(node), Arc::clone(client.route()), ticket);
                return journey
                    .elsewhere()
                    .call(&encoded)
                    .await
                    .and_then(|raw| decode::<R>(client.route().spec.codec, &raw));
            }
            call_here::<C, A, R>(&local, (arguments, make), ticket, Instant::now())?.await
        })
    }
}

/// The endpoint on this node.
///
/// # Errors
/// It has another contract: *not sent*.
pub(crate) fn downcast<C: Contract>(local: Arc<dyn Endpoint>) -> Result<Arc<LocalEndpoint<C>>, Failure> {
    local.as_any().downcast().map_err(|_other| {
        Failure::not_sent(Reason::Incompatible, "this node serves another contract of the same name")
    })
}

/// Brings a call whose slot is taken to an endpoint of this node; what it returns waits for the answer.
fn call_here<C: Contract, A, R: Returns>(
    local: &Arc<LocalEndpoint<C>>,
    (arguments, make): (A, Make<C, A, R>),
    mut ticket: Ticket,
    now: Instant,
) -> Result<impl Future<Output = CallResult<R>> + use<C, A, R>, Failure> {
    let (to, answer) = oneshot::channel();
    let deadline = ticket.terms.deadline;
    let conditions = Conditions::call(deadline, ticket.head(Choice::here(local.core.node.inner())));
    let call = make(arguments, Reply::local(to));
    let answer = local.run_own((call, ticket.method), conditions, answer, now)?;
    Ok(async move {
        let answer = timeout_at(deadline, answer).await;
        let (answer, spent) = match answer {
            Ok((answer, spent)) => (answer, Some(spent)),
            Err(_late) => (Err(Failure::unanswered_in_time()), None),
        };
        ticket.ended(spent, Status::of(&answer));
        answer
    })
}

pub(crate) fn decode<R: Returns>(codec: Codec, raw: &RawReply) -> CallResult<R> {
    match raw.status {
        status::VALUE => codec.decode(&raw.body).map(Ok).map_err(unreadable),
        _ => codec.decode(&raw.body).map(Err).map_err(unreadable),
    }
}

/// The service ran, but what it answered does not fit the type.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
pub(crate) fn unreadable(error: BadArguments) -> Failure {
    let detail = format!("the service ran, but its answer cannot be read: {error}");
    Failure::unknown(Reason::BadReply, detail)
}

impl<C: Contract, A, R: Returns> Future for Call<C, A, R>
where
    A: Serialize + Send + Unpin + 'static,
{
    type Output = R::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R::Output> {
        let this = self.get_mut();
        if let State::New(arguments) = &this.state {
            this.recorded = this.client.record(this.method, &mut this.options, arguments);
        }
        let answer = ready!(this.poll_answer(cx));
        let recorded = this.recorded.take();
        if let Err(failure) = &answer {
            this.client.failed((this.method, this.since), recorded.as_deref(), failure);
        }
        if let Some(recorded) = recorded {
            recorded.end(&answer);
        }
        let method = C::METHODS.get(this.method).map_or("", |method| method.name);
        Poll::Ready(R::output(answer.map_err(|failure| failure.of(C::NAME, method))))
    }
}

impl<C: Contract, A, R: Returns> Call<C, A, R>
where
    A: Serialize + Send + Unpin + 'static,
{
    /// The answer, before it becomes what the client gets.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<CallResult<R>> {
        let this = self;
        let answer = loop {
            match &mut this.state {
                State::New(_) => {
                    let State::New(arguments) = std::mem::replace(&mut this.state, State::Done) else {
                        continue;
                    };
                    this.state = if this.client.has_layers() {
                        this.since = Some(Instant::now());
                        this.through_layers(arguments)
                    } else {
                        this.start(arguments)
                    };
                }
                State::Started { call, .. } => {
                    let answer = ready!(Pin::new(call).poll(cx));
                    let State::Started { remote, arguments, mut ticket, .. } =
                        std::mem::replace(&mut this.state, State::Done)
                    else {
                        continue;
                    };
                    match ticket.settle(answer) {
                        Ok(raw) => break decode::<R>(this.client.route().spec.codec, &raw),
                        Err(failure) => this.state = this.again(&remote, failure, arguments, ticket),
                    }
                }
                State::Patient(patient) => break ready!(patient.as_mut().poll(cx)),
                State::Done => panic!("a call was polled after it had resolved"),
            }
        };
        this.state = State::Done;
        Poll::Ready(answer)
    }

    fn through_layers(&self, arguments: A) -> State<A, R> {
        let Some((layers, client)) = self.client.below_layers() else { return State::Done };
        let sealed = match self.client.seal(self.method, &self.options) {
            Ok(sealed) => sealed,
            Err(failure) => return State::failed(failure),
        };
        let (method, options, make) = (self.method, self.options.clone(), self.make);
        let deadline = sealed.deadline;
        State::Patient(Box::pin(async move {
            let call = move |metadata| {
                let options = options.after_layers(deadline, metadata);
                let mut below = Self { options, ..Self::new(client, method, arguments, make) };
                poll_fn(move |cx| below.poll_answer(cx))
            };
            layers.bring(sealed, call).await
        }))
    }
}

impl<C: Contract, A, R: Returns> Call<C, A, R> {
    fn journey(&self, ticket: Ticket) -> Journey {
        Journey::new(Arc::clone(self.client.node()), Arc::clone(self.client.route()), ticket)
    }

    #[cold]
    fn again(&self, remote: &Remote, failure: Failure, arguments: Vec<u8>, ticket: Ticket) -> State<A, R> {
        if self.client.pin().is_some() {
            return State::failed(failure.at(remote.name()));
        }
        let mut journey = self.journey(ticket);
        match journey.failed_at(remote, failure) {
            Ok(()) => State::patient(journey, arguments),
            Err(failure) => State::failed(failure),
        }
    }
}

// === impl State ===

impl<A, R: Returns> State<A, R> {
    fn failed(failure: Failure) -> Self {
        Self::Patient(Box::pin(future::ready(Err(failure))))
    }

    fn patient(mut journey: Journey, arguments: Vec<u8>) -> Self {
        Self::Patient(Box::pin(async move {
            let raw = journey.call(&arguments).await?;
            decode::<R>(journey.route.spec.codec, &raw)
        }))
    }
}

// === impl Plain, Fallible ===

impl<T: Serialize + DeserializeOwned + Send + 'static> Returns for Plain<T> {
    type Value = T;
    type Error = Never;
    type Output = Result<T, Failure>;

    fn output(answer: CallResult<Self>) -> Self::Output {
        answer.map(|value| match value {
            Ok(value) => value,
            Err(never) => match never {},
        })
    }
}

impl<T, E> Returns for Fallible<T, E>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    E: Serialize + DeserializeOwned + Send + 'static,
{
    type Value = T;
    type Error = E;
    type Output = Result<T, CallError<E>>;

    fn output(answer: CallResult<Self>) -> Self::Output {
        answer.map_err(CallError::Failed)?.map_err(CallError::Service)
    }
}

impl<C: Contract, A, R: Returns> fmt::Debug for Call<C, A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("service", &C::NAME)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}
