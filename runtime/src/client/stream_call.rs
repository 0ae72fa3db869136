//! A call with streams: a builder until it is awaited, then a future that resolves when the service has answered.
//!
//! The streams go on after that. Such a call is never repeated once it was sent.

use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep_until, timeout_at},
};

use crate::{
    channel::{
        caller::Answer,
        items::{self, Incoming, Outgoing},
        open::{self, OpenChannel},
        stream_caller::{self, StreamCaller},
    },
    client::{
        CallResult, Choice, Client, Returns,
        call::{downcast, unreadable},
        engine::{Journey, Own, OwnChannel},
        idle::{Idle, IdleClock},
        options::CallOptions,
        pinning::Place,
    },
    codec::{BadArguments, Codec, EncodeError},
    config::deadline_after,
    failure::{CallError, Failure},
    service::{Conditions, Contract, RawReply, StreamReply},
    stream::Receiver,
    telemetry::{Recorded, Status},
    wire::frame::status,
};

/// What a method with streams answers, and what its client gets.
pub trait Answers: Sized + 'static {
    /// A value, or the stream that the service sends.
    type Value: Send + 'static;
    /// The service's own error.
    type Error: Serialize + DeserializeOwned + Send + 'static;
    /// What the client gets.
    type Output;
    /// What the client keeps until the answer has come.
    type Coming: Send + 'static;

    /// Makes the one of the other.
    fn output(answer: StreamResult<Self>) -> Self::Output;

    /// The bytes of the answer, and the stream that follows.
    ///
    /// # Errors
    /// The codec has no form for the value.
    fn encode(
        value: Self::Value,
        codec: Codec,
        item_bytes_max: usize,
    ) -> Result<(Vec<u8>, Option<OutgoingItems>), EncodeError>;

    /// Prepares for the stream that is to come, if one is.
    fn expect(codec: Codec) -> (Option<IncomingItems>, Self::Coming);

    /// The value, as the caller gets it whose call has an idle limit.
    fn watched(value: Self::Value, idle: &Idle) -> Self::Value;

    /// The value, now that its bytes have come.
    ///
    /// # Errors
    /// They cannot be read.
    fn arrived(coming: Self::Coming, codec: Codec, body: &[u8]) -> Result<Self::Value, BadArguments>;
}

/// A method that returns `Receiver<T>`: its client gets `Result<Receiver<T>, Failure>`.
#[derive(Debug)]
pub struct Streaming<T>(PhantomData<fn() -> T>);

/// A method that returns `Result<Receiver<T>, E>`: its client gets `Result<Receiver<T>, CallError<E>>`.
#[derive(Debug)]
pub struct FallibleStreaming<T, E>(PhantomData<fn() -> (T, E)>);

/// The items of a stream, as bytes that leave.
pub struct OutgoingItems(pub(crate) Box<dyn Outgoing>);

/// The items of a stream, as bytes that come.
pub struct IncomingItems(pub(crate) Box<dyn Incoming>);

/// What the caller sends beside the arguments: nothing, or a stream.
pub trait Upload: Send + 'static {
    /// Who is to be told when the stream has ended; `false` if there is none.
    fn tell_end(&mut self, told: &Arc<Notify>) -> bool;

    /// The stream of a call that has an idle limit.
    #[must_use]
    fn watched(self, idle: &Idle) -> Self;

    /// The items, encoded.
    fn outgoing(self, codec: Codec, item_bytes_max: usize) -> Option<OutgoingItems>;
}

/// A call with streams: set its options, then await it. Nothing happens before that.
///
/// It resolves when the service has answered; streams go on after that.
///
/// # Cancel safety
/// Dropping it cancels the call, and cuts its streams.
#[must_use = "a call does nothing until it is awaited"]
pub struct StreamCall<C: Contract, A, U, R: Answers> {
    client: Client<C>,
    method: usize,
    options: CallOptions,
    idle: Option<Duration>,
    make: fn(A, U, StreamReply<R>) -> C::Call,
    state: State<A, U, R>,
    /// Where the call is recorded, until it has its answer.
    recorded: Option<Box<Recorded>>,
    /// When it began.
    since: Option<Instant>,
}

enum State<A, U, R: Answers> {
    New(A, U),
    Started(Started<R>),
    Done,
}

impl<C: Contract, A, U, R: Answers> StreamCall<C, A, U, R> {
    pub(crate) const fn new(
        client: Client<C>,
        method: usize,
        arguments: A,
        upload: U,
        make: fn(A, U, StreamReply<R>) -> C::Call,
    ) -> Self {
        let state = State::New(arguments, upload);
        let options = CallOptions::NONE;
        Self { client, method, options, idle: None, make, state, recorded: None, since: None }
    }

    /// How long the service may take to answer, from the first poll; where the caller sends a stream, from its end
    /// (default: the node's [`call_timeout`](crate::Config::call_timeout), 10 s). Streams take as long as they take. Within
    /// a handler, the answer is never later than the end of the call that the handler serves.
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

    /// How long its streams may be still (default: without limit). When no item has come or gone for so long, the call
    /// ends with [`Reason::Idle`](crate::Reason::Idle), *unknown*: what is received next is that failure, so is what is sent next, and the
    /// service's streams are cut.
    ///
    /// It counts from the answer; where the caller sends a stream, from the call until that stream's end, too. While
    /// an item waits for the caller to receive it, it does not count: a slow caller is not idle.
    pub const fn idle_timeout(mut self, limit: Duration) -> Self {
        self.idle = Some(limit);
        self
    }
}

impl<C, A, U, R> StreamCall<C, A, U, R>
where
    C: Contract,
    A: Serialize + Send + 'static,
    U: Upload,
    R: Answers,
{
    fn start(&self, arguments: A, upload: U) -> Started<R> {
        let Some((layers, client)) = self.client.below_layers() else { return self.begin(arguments, upload) };
        let sealed = self.client.seal(self.method, &self.options);
        let (method, options, idle, make) = (self.method, self.options.clone(), self.idle, self.make);
        Box::pin(async move {
            let sealed = sealed?;
            let deadline = sealed.deadline;
            let call = move |metadata| {
                let options = options.after_layers(deadline, metadata);
                let (state, recorded, since) = (State::Done, None, None);
                let below = Self { client, method, options, idle, make, state, recorded, since };
                below.begin(arguments, upload)
            };
            layers.bring(sealed, call).await
        })
    }

    fn begin(&self, arguments: A, mut upload: U) -> Started<R> {
        let (client, method, make) = (self.client.clone(), self.method, self.make);
        let config = client.node().config();
        let timeout = self.options.timeout.unwrap_or(config.call_timeout);
        let ticket = self.options.ticket(method, config, Instant::now());
        let idle = self.idle.map(|limit| Idle::new(limit, Arc::clone(client.node())));
        Box::pin(async move {
            let journey = Journey::new(Arc::clone(client.node()), Arc::clone(client.route()), ticket?);
            if let Some(idle) = &idle {
                upload = upload.watched(idle);
            }
            let patience = Patience::new(
                &mut upload,
                (journey.deadline(), timeout),
                idle.as_ref().map(Idle::clock).cloned(),
            );
            let patience = patience.within(journey.ticket.terms.inherited);
            let answer = call_anywhere(&client, journey, (arguments, upload), make, patience).await?;
            Ok(answer.map(|value| match idle {
                Some(idle) => {
                    idle.clock().moved();
                    R::watched(value, &idle)
                }
                None => value,
            }))
        })
    }
}

/// Calls the endpoint to which the client is pinned, else the one on this node, else one on another.
async fn call_anywhere<C: Contract, A: Serialize, U: Upload, R: Answers>(
    client: &Client<C>,
    mut journey: Journey,
    (arguments, upload): (A, U),
    make: fn(A, U, StreamReply<R>) -> C::Call,
    patience: Patience,
) -> StreamResult<R> {
    let own = match client.pin() {
        None => {
            client.route().budget.deposit();
            journey.reach_own().await?
        }
        Some(pin) => match pin.next(&mut journey).await?.1 {
            Place::Here(local) => Own::Here(local),
            Place::There(remote, _) => {
                let own = journey.open_own(&remote).await;
                Own::There(own.map_err(|failure| failure.at(remote.name()))?)
            }
        },
    };
    let local = match own {
        Own::Here(local) => local,
        Own::There(own) => return call_remote::<A, U, R>(journey, own, (arguments, upload), patience).await,
    };
    let local = downcast::<C>(local)?;
    local.inbox.admit(journey.deadline(), Instant::now()).await?;
    let (to, answer) = oneshot::channel();
    let call = make(arguments, upload, StreamReply::local(to));
    let cancel = Some(Arc::default());
    let conditions = Conditions {
        deadline: patience.handler_deadline(),
        cancel,
        head: journey.ticket.head(Choice::here(&journey.node)),
    };
    let answer = local.run_own((call, journey.ticket.method), conditions, answer, Instant::now())?;
    let (answer, spent) = match patience.wait_for(answer).await {
        Ok((answer, spent)) => (answer, Some(spent)),
        Err(late) => (Err(late), None),
    };
    journey.ticket.ended(spent, Status::of(&answer));
    answer
}

/// How long the answer may take: until the deadline, or where the caller sends a stream, so long after its end, but no longer
/// than the handler has that makes the call.
pub(crate) struct Patience {
    ended: Option<Arc<Notify>>,
    deadline: Instant,
    timeout: Duration,
    /// When it is over whatever the caller's stream does: the call that a handler serves has its own end.
    latest: Option<Instant>,
    idle: Option<IdleClock>,
}

impl Patience {
    /// For a call that begins now, and may take so long from the end of its stream, if it sends one.
    pub(crate) fn new(
        upload: &mut impl Upload,
        (deadline, timeout): (Instant, Duration),
        idle: Option<IdleClock>,
    ) -> Self {
        let ended = Arc::new(Notify::new());
        let ended = upload.tell_end(&ended).then_some(ended);
        Self { ended, deadline, timeout, latest: None, idle }
    }

    /// For a call that a handler makes, whose own call is over then.
    pub(crate) fn within(self, latest: Option<Instant>) -> Self {
        Self { latest, ..self }
    }

    /// A handler that receives a stream takes as long as the stream does, or as the handler has that sends it.
    pub(crate) fn handler_deadline(&self) -> Option<Instant> {
        if self.ended.is_none() { Some(self.deadline) } else { self.latest }
    }

    pub(crate) async fn wait_for<T>(self, answer: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::pin!(answer);
        let deadline = match self.ended {
            None => self.deadline,
            Some(ended) => tokio::select! {
                biased;
                answered = &mut answer => return Ok(answered),
                () = ended.notified() => {
                    let deadline = deadline_after(Instant::now(), self.timeout);
                    self.latest.map_or(deadline, |latest| latest.min(deadline))
                }
                () = over(self.latest) => return Err(Failure::unanswered_in_time()),
                failure = still(self.idle) => return Err(failure),
            },
        };
        timeout_at(deadline, answer).await.map_err(|_late| Failure::unanswered_in_time())
    }
}

/// Resolves when the call is over that the handler serves.
async fn over(latest: Option<Instant>) {
    match latest {
        Some(latest) => sleep_until(latest).await,
        None => std::future::pending().await,
    }
}

/// Resolves when the caller's stream, which begins now, is still for too long.
async fn still(idle: Option<IdleClock>) -> Failure {
    let Some(idle) = idle else { return std::future::pending().await };
    idle.moved();
    idle.over().await
}

/// The answer of the service, or why there is none.
pub type StreamResult<R> = Result<Result<<R as Answers>::Value, <R as Answers>::Error>, Failure>;

type Started<R> = BoxFuture<'static, StreamResult<R>>;

async fn call_remote<A: Serialize, U: Upload, R: Answers>(
    mut journey: Journey,
    own: OwnChannel,
    (arguments, upload): (A, U),
    patience: Patience,
) -> StreamResult<R> {
    let codec = journey.route.spec.codec;
    let arguments = codec.encode(&arguments)?;
    let OwnChannel { remote, open, streams } = own;
    let OpenChannel { opened, frames, writer } = open;
    let choice = Choice::at(&journey.node, &journey.route, &remote).after(&journey.failed);
    let head = journey.ticket.head(choice);
    let limit = open::check_size(&opened, &head, arguments.len())?;
    let outgoing = upload.outgoing(codec, limit).map(|items| items.0);
    let (incoming, coming) = R::expect(codec);
    let (to, answer) = oneshot::channel();
    let caller =
        StreamCaller { frames, writer, outgoing, incoming: incoming.map(|items| items.0), answer: to };
    let begin = stream_caller::begin(&head, patience.handler_deadline(), &arguments);
    let node = Arc::clone(&journey.node);
    let place = streams.place().clone();
    let work = async move {
        node.drain().watch(caller.run(begin)).await;
        drop(streams);
        Ok(())
    };
    remote.start_stream(&place, Box::pin(work)).await?;
    let answered = patience.wait_for(answer).await?;
    let answer = answered.unwrap_or_else(|_| Answer::without_a_word());
    finish::<R>(journey.ticket.settle(answer), coming, codec).map_err(|failure| failure.at(remote.name()))
}

fn finish<R: Answers>(answer: Result<RawReply, Failure>, coming: R::Coming, codec: Codec) -> StreamResult<R> {
    let raw = answer?;
    if raw.status == status::VALUE {
        return R::arrived(coming, codec, &raw.body).map(Ok).map_err(unreadable);
    }
    codec.decode(&raw.body).map(Err).map_err(unreadable)
}

impl<C, A, U, R> Future for StreamCall<C, A, U, R>
where
    C: Contract,
    A: Serialize + Send + Unpin + 'static,
    U: Upload + Unpin,
    R: Answers,
{
    type Output = R::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R::Output> {
        let this = self.get_mut();
        if let State::New(..) = this.state
            && let State::New(arguments, upload) = std::mem::replace(&mut this.state, State::Done)
        {
            this.recorded = this.client.record(this.method, &mut this.options, &arguments);
            this.since = Some(Instant::now());
            this.state = State::Started(this.start(arguments, upload));
        }
        let State::Started(started) = &mut this.state else {
            panic!("a call was polled after it had resolved")
        };
        let answer = std::task::ready!(started.as_mut().poll(cx));
        this.state = State::Done;
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

// === impl Upload ===

impl Upload for () {
    fn tell_end(&mut self, _: &Arc<Notify>) -> bool {
        false
    }

    fn watched(self, _: &Idle) -> Self {}

    fn outgoing(self, _: Codec, _: usize) -> Option<OutgoingItems> {
        None
    }
}

impl<T: Serialize + Send + 'static> Upload for Receiver<T> {
    fn tell_end(&mut self, told: &Arc<Notify>) -> bool {
        Self::tell_end(self, Arc::clone(told));
        true
    }

    fn watched(self, idle: &Idle) -> Self {
        idle.upload(self)
    }

    fn outgoing(self, codec: Codec, item_bytes_max: usize) -> Option<OutgoingItems> {
        Some(OutgoingItems(items::outgoing(self, codec, item_bytes_max)))
    }
}

// === impl Answers ===

impl<R: Returns> Answers for R {
    type Value = R::Value;
    type Error = R::Error;
    type Output = R::Output;
    type Coming = ();

    fn output(answer: CallResult<R>) -> R::Output {
        <R as Returns>::output(answer)
    }

    fn encode(
        value: R::Value,
        codec: Codec,
        _: usize,
    ) -> Result<(Vec<u8>, Option<OutgoingItems>), EncodeError> {
        Ok((codec.encode(&value)?, None))
    }

    fn expect(_: Codec) -> (Option<IncomingItems>, ()) {
        (None, ())
    }

    fn watched(value: R::Value, _: &Idle) -> R::Value {
        value
    }

    fn arrived((): (), codec: Codec, body: &[u8]) -> Result<R::Value, BadArguments> {
        codec.decode(body)
    }
}

macro_rules! answers_a_stream {
    ($error:ty, $output:ty, $make:expr) => {
        type Value = Receiver<T>;
        type Error = $error;
        type Output = $output;
        type Coming = Receiver<T>;

        fn output(answer: Result<Result<Receiver<T>, $error>, Failure>) -> $output {
            $make(answer)
        }

        fn encode(
            value: Receiver<T>,
            codec: Codec,
            item_bytes_max: usize,
        ) -> Result<(Vec<u8>, Option<OutgoingItems>), EncodeError> {
            Ok((Vec::new(), value.outgoing(codec, item_bytes_max)))
        }

        fn expect(codec: Codec) -> (Option<IncomingItems>, Receiver<T>) {
            let (incoming, receiver) = items::incoming(codec);
            (Some(IncomingItems(incoming)), receiver)
        }

        fn watched(value: Receiver<T>, idle: &Idle) -> Receiver<T> {
            idle.download(value)
        }

        fn arrived(coming: Receiver<T>, _: Codec, _: &[u8]) -> Result<Receiver<T>, BadArguments> {
            Ok(coming)
        }
    };
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Answers for Streaming<T> {
    answers_a_stream!(crate::service::Never, Result<Receiver<T>, Failure>, |answer: Result<
        Result<Receiver<T>, crate::service::Never>,
        Failure,
    >| answer.map(|never| {
        match never {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }));
}

impl<T, E> Answers for FallibleStreaming<T, E>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    E: Serialize + DeserializeOwned + Send + 'static,
{
    answers_a_stream!(E, Result<Receiver<T>, CallError<E>>, |answer: Result<
        Result<Receiver<T>, E>,
        Failure,
    >| match answer {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(CallError::Service(error)),
        Err(failure) => Err(CallError::Failed(failure)),
    });
}

impl fmt::Debug for OutgoingItems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OutgoingItems")
    }
}

impl fmt::Debug for IncomingItems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IncomingItems")
    }
}

impl<C: Contract, A, U, R: Answers> fmt::Debug for StreamCall<C, A, U, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = C::METHODS.get(self.method).map_or("", |method| method.name);
        f.debug_struct("StreamCall")
            .field("service", &C::NAME)
            .field("method", &method)
            .finish_non_exhaustive()
    }
}
