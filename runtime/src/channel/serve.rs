//! The serving end of a call channel: all the calls that one read brought go to the service together.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use qmesh_transport::ChannelWriter;
use tokio::time::Instant;

use crate::{
    call_tree::Allowance,
    channel::{head::Head, open::AgreedMethod, serve_layered::LayeredCalls, serve_stream},
    codec::Codec,
    config::{Limits, deadline_after},
    failure::Failure,
    node::Served,
    service::{
        BATCH, Batch, CallScope, Caller, Conditions, Contract, Envelope, Inbox, LocalEndpoint, OneWays,
        Replies, Responder, method_name, unreadable,
    },
    telemetry::Trace,
    wire::frame::{self, Chunk, FrameError, Frames, kind},
};

/// A channel that both sides agree on, from the service's side.
#[derive(Debug)]
pub(crate) struct ServedChannel {
    /// The session, which counts the channel while it lives.
    pub(crate) link: Served,
    pub(crate) frames: Frames,
    pub(crate) writer: ChannelWriter,
    pub(crate) caller: Caller,
    /// The command line for which the caller calls.
    pub(crate) guest: Option<Caller>,
    pub(crate) agreed: Agreed,
}

/// What both sides agreed on when the channel was opened.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) codec: Codec,
    /// For each of the caller's methods, ours.
    pub(crate) methods: Vec<Option<AgreedMethod>>,
    pub(crate) limits: Limits,
    /// The most that a call may bring.
    pub(crate) allowance: Allowance,
}

struct Serving<C: Contract> {
    endpoint: Arc<LocalEndpoint<C>>,
    replies: Arc<Replies>,
    scope: Arc<CallScope>,
    agreed: Agreed,
    /// In their place where the service has layers.
    layered: Option<LayeredCalls<C>>,
    batch: VecDeque<Envelope<C>>,
    batch_max: usize,
    /// One-way sends in the batch.
    one_way: u64,
    /// Answers that were given since, without the service.
    refused: usize,
    /// How many more one-way sends the caller may make, as far as is known here.
    credit: u64,
}

/// Serves the channel until it ends; then everything that its caller asked for is cancelled. An error if the caller
/// broke the protocol.
pub(crate) async fn run<C: Contract>(
    endpoint: Arc<LocalEndpoint<C>>,
    channel: ServedChannel,
) -> Result<(), FrameError> {
    let mut channel = channel;
    let first = match channel.frames.next().await {
        Ok(Some(chunk)) if chunk.kind() == Some(kind::STREAM) => {
            // Apart: channels of plain calls, of which there are more, would be as large as it.
            return Box::pin(serve_stream::run(endpoint, channel, chunk)).await;
        }
        first => first,
    };
    let ServedChannel { link, mut frames, mut writer, caller, guest, agreed } = channel;
    let age = Arc::clone(&endpoint.inbox.age);
    let unread = link.unread(&agreed.limits);
    let replies = Arc::new(Replies::new(age, agreed.limits.message_bytes_max, unread));
    let scope = Arc::new(CallScope {
        caller,
        guest,
        core: Arc::clone(&endpoint.core),
        replies: Some(Arc::clone(&replies)),
    });
    let ending = Ending(Arc::clone(&replies));
    let batch_max = endpoint.inbox.capacity().min(BATCH);
    let credit = agreed.limits.one_way_window;
    let mut serving = Serving {
        layered: LayeredCalls::new(&endpoint, &replies, &scope),
        endpoint,
        replies: Arc::clone(&replies),
        scope,
        agreed,
        batch: VecDeque::new(),
        batch_max,
        one_way: 0,
        refused: 0,
        credit,
    };
    let read = async {
        let ended = serving.read(first, &mut frames).await;
        if let Err(error) = &ended {
            let caller = serving.scope.caller.name();
            tracing::debug!(target: "qmesh::service", service = C::NAME, caller, %error, "channel ended");
            if !matches!(error, FrameError::Read(_)) {
                frames.stop(error.reset_code());
                return ended;
            }
            return Ok(());
        }
        // The caller asks for nothing more: it still gets its answers.
        while serving.replies.in_flight() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        serving.replies.outbox.end();
        std::future::pending().await
    };
    let ended = tokio::select! {
        biased;
        ended = read => ended,
        written = replies.write_to(&mut writer) => {
            if written.is_ok() {
                // A session that has ended needs no half-close.
                drop(writer.finish());
            }
            Ok(())
        }
        // While the channel waits for the service, it would not notice by itself.
        _ = link.session().closed() => Ok(()),
    };
    drop(ending);
    ended.inspect_err(|error| writer.reset(error.reset_code()))
}

/// The channel has ended, in whatever way.
struct Ending(Arc<Replies>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

// === impl Serving ===

impl<C: Contract> Serving<C> {
    async fn read(
        &mut self,
        first: Result<Option<Chunk>, FrameError>,
        frames: &mut Frames,
    ) -> Result<(), FrameError> {
        let mut next = first?;
        while let Some(mut chunk) = next {
            let now = Instant::now();
            while let Some((kind, payload)) = chunk.next() {
                self.receive(kind, &chunk.bytes[payload], now)?;
                if self.gathered() >= self.batch_max {
                    self.hand_over(now).await;
                }
            }
            let held = chunk.into_held();
            self.hand_over(now).await;
            drop(held);
            // A caller that does not read its answers is not asked for more.
            self.replies.room().await;
            next = frames.next().await?;
        }
        Ok(())
    }

    fn receive(&mut self, kind: u8, mut payload: &[u8], now: Instant) -> Result<(), FrameError> {
        match kind {
            kind::CALL => {
                let call = frame::take_varint(&mut payload, kind)?;
                let call = u32::try_from(call).map_err(|_too_large| FrameError::Malformed(kind))?;
                let (method, head) = self.agreed.take_call(&mut payload, kind)?;
                let remaining = frame::take_varint(&mut payload, kind)?;
                let deadline = deadline_after(now, Duration::from_millis(remaining));
                let cancel = self.replies.enter(call, self.agreed.limits.calls_per_channel);
                let cancel = Some(cancel.ok_or(FrameError::Malformed(kind))?);
                let conditions = Conditions { deadline: Some(deadline), cancel, head };
                if method.is_allowed {
                    self.call(call, method.number, conditions, payload);
                } else {
                    let failure = self.scope.refuse(method_name::<C>(method.number));
                    self.refuse((call, method.number), &conditions.head.trace, &failure);
                }
                Ok(())
            }
            kind::ONE_WAY => {
                self.spend_credit()?;
                let (method, head) = self.agreed.take_call(&mut payload, kind)?;
                if method.is_allowed {
                    self.one_way(method.number, head, payload);
                } else {
                    // Its sender was told when it opened the channel.
                    let failure = self.scope.refuse(method_name::<C>(method.number));
                    self.refuse_one_way(method.number, &head.trace, &failure);
                }
                Ok(())
            }
            kind::CANCEL => {
                let call = frame::take_varint(&mut payload, kind)?;
                // A call that has its answer cannot be cancelled any more.
                if let Ok(call) = u32::try_from(call) {
                    self.replies.cancel(call);
                }
                Ok(())
            }
            other => Err(FrameError::Unexpected(other)),
        }
    }

    /// How many calls wait to be handed over, or were answered since without the service.
    fn gathered(&self) -> usize {
        self.batch.len() + self.layered.as_ref().map_or(0, LayeredCalls::len) + self.refused
    }

    fn call(&mut self, call: u32, method: usize, conditions: Conditions, arguments: &[u8]) {
        let (codec, trace) = (self.agreed.codec, conditions.head.trace.clone());
        let taken = match &mut self.layered {
            None => {
                let responder = || Responder::call(Arc::clone(&self.replies), call);
                C::decode(method, codec, arguments, responder)
                    .map(|typed| self.batch.push_back(Envelope::new(typed, method, conditions)))
            }
            Some(layered) => layered.call((call, method), conditions, (codec, arguments)),
        };
        if let Err(error) = taken {
            self.refuse((call, method), &trace, &unreadable::<C>(method, &error));
        }
    }

    fn refuse(&mut self, (call, method): (u32, usize), trace: &Trace, failure: &Failure) {
        self.refused += 1;
        self.scope.turned_away((method, C::METHODS), trace, failure);
        self.replies.send_failure(call, failure, 0);
    }

    fn one_way(&mut self, method: usize, head: Head, arguments: &[u8]) {
        let trace = head.trace.clone();
        match C::decode_one_way(method, self.agreed.codec, arguments) {
            Ok(typed) => {
                self.one_way += 1;
                let envelope = Envelope::new(typed, method, Conditions::one_way(head));
                match &mut self.layered {
                    None => self.batch.push_back(envelope),
                    Some(layered) => layered.send(envelope),
                }
            }
            Err(error) => {
                let (service, caller) = (C::NAME, self.scope.caller.name());
                tracing::debug!(target: "qmesh::service", service, caller, %error, "refused a one-way send");
                self.refuse_one_way(method, &trace, &unreadable::<C>(method, &error));
            }
        }
    }

    /// A caller that sends more than it was granted breaks the protocol.
    fn spend_credit(&mut self) -> Result<(), FrameError> {
        if self.credit == 0 {
            let window = self.agreed.limits.one_way_window;
            let unacknowledged = self.replies.unacknowledged() + self.one_way;
            self.credit = window.saturating_sub(unacknowledged);
        }
        self.credit =
            self.credit.checked_sub(1).ok_or(FrameError::Uncredited(self.agreed.limits.one_way_window))?;
        Ok(())
    }

    fn refuse_one_way(&mut self, method: usize, trace: &Trace, failure: &Failure) {
        self.refused += 1;
        self.scope.turned_away((method, C::METHODS), trace, failure);
        // It counts as taken before it counts as refused.
        self.replies.enter_one_way(std::mem::take(&mut self.one_way) + 1);
        self.replies.finish_one_way(OneWays { refused: 1, ..OneWays::default() });
    }

    /// Hands the batch to the service. A caller that does not read its answers waits.
    async fn hand_over(&mut self, now: Instant) {
        self.refused = 0;
        if self.replies.is_crowded() {
            self.replies.room().await;
            self.admit(Instant::now()).await;
        } else {
            self.admit(now).await;
        }
    }

    /// At once if the service has that many slots, else one after the other.
    async fn admit(&mut self, now: Instant) {
        let inbox = &self.endpoint.inbox;
        self.replies.enter_one_way(std::mem::take(&mut self.one_way));
        if let Some(layered) = &mut self.layered {
            return layered.hand_over(now).await;
        }
        if self.batch.is_empty() {
            return;
        }
        if inbox.admit_at_once(self.batch.len()) {
            inbox.push(&self.scope, &mut self.batch, now);
            return;
        }
        for envelope in self.batch.drain(..) {
            match admit(inbox, &envelope.conditions, now).await {
                Ok(()) => inbox.push_one(&self.scope, envelope, Instant::now()),
                Err(failure) => {
                    Batch::new(Arc::clone(&self.scope), VecDeque::from([envelope]), now).refuse(&failure);
                }
            }
        }
    }
}

/// Takes a slot for a call that came at `since`.
pub(super) async fn admit<C: Contract>(
    inbox: &Inbox<C>,
    conditions: &Conditions,
    since: Instant,
) -> Result<(), Failure> {
    match conditions.deadline {
        Some(deadline) => inbox.admit(deadline, since).await,
        None => inbox.admit_patiently().await,
    }
}

impl Agreed {
    /// Our side of the caller's method, and the head: a method that was not agreed on is not called.
    pub(crate) fn take_call(
        &self,
        payload: &mut &[u8],
        kind: u8,
    ) -> Result<(AgreedMethod, Head), FrameError> {
        let (theirs, mut head) = Head::take(payload, kind, &self.limits)?;
        let ours =
            usize::try_from(theirs).ok().and_then(|theirs| self.methods.get(theirs).copied().flatten());
        head.allowance = head.allowance.at_most(self.allowance);
        Ok((ours.ok_or(FrameError::Malformed(kind))?, head))
    }
}
