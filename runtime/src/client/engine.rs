//! The patient way of a call to another node: wait for an endpoint, reach it, try again where that is safe.

use std::{sync::Arc, time::Duration};

use qmesh_transport::NodeId;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{
    call_tree::Allowance,
    channel::{
        caller::{Answer, ChannelCaller, TrySend},
        head::Head,
        open::{self, OpenChannel},
    },
    client::{Choice, Remote, Route, RouteSpec, options::Ticket, pinning::Place},
    failure::{Failure, Outcome, Reason},
    node::{Following, NodeInner, Streams},
    service::{Conditions, Endpoint, RawReply},
};

/// A call, encoded, and what became of it so far.
#[derive(Debug)]
pub(crate) struct Journey {
    pub(crate) node: Arc<NodeInner>,
    pub(crate) route: Arc<Route>,
    pub(crate) ticket: Ticket,
    /// Endpoints that failed this call since the last pause.
    pub(crate) failed: Vec<NodeId>,
    last: Option<Failure>,
    pauses: u32,
    /// When the failed endpoints get another chance.
    retry_at: Option<Instant>,
    /// Whether an endpoint on this node will not do.
    elsewhere: bool,
}

/// An endpoint that is to be tried.
enum Chosen {
    Here(Arc<dyn Endpoint>),
    There(Arc<Remote>),
}

/// Where a call that wants a channel of its own begins.
#[derive(Debug)]
pub(crate) enum Own {
    Here(Arc<dyn Endpoint>),
    There(OwnChannel),
}

/// A channel for one call, and the endpoint at its end.
#[derive(Debug)]
pub(crate) struct OwnChannel {
    pub(crate) remote: Arc<Remote>,
    pub(crate) open: OpenChannel,
    /// Keeps the session for as long as the call lives.
    pub(crate) streams: Streams,
}

impl Journey {
    pub(crate) const fn new(node: Arc<NodeInner>, route: Arc<Route>, ticket: Ticket) -> Self {
        Self {
            node,
            route,
            ticket,
            failed: Vec::new(),
            last: None,
            pauses: 0,
            retry_at: None,
            elsewhere: false,
        }
    }

    /// To other nodes alone.
    pub(crate) fn elsewhere(self) -> Self {
        Self { elsewhere: true, ..self }
    }

    pub(crate) const fn deadline(&self) -> Instant {
        self.ticket.terms.deadline
    }

    /// An attempt at `remote` has failed: an error if that is the end of it.
    pub(crate) fn failed_at(&mut self, remote: &Remote, failure: Failure) -> Result<(), Failure> {
        self.failed.push(remote.node());
        // Both sides must say so: a newer service may have thought better of it.
        let idempotent = || {
            let here = self.route.spec.idempotent.get(self.ticket.method).copied().unwrap_or(false);
            here && remote.is_idempotent(self.ticket.method)
        };
        // Judged by itself: what came before was judged then.
        let is_safe =
            is_worth_repeating(failure.reason()) && (failure.outcome() != Outcome::Unknown || idempotent());
        let is_free = failure.outcome() == Outcome::NotSent;
        let mut failure = failure.at(remote.name()).after(self.last.as_ref());
        if !is_safe || Instant::now() >= self.deadline() {
            return Err(failure);
        }
        if !is_free {
            let refused = if !self.ticket.terms.withdraw() {
                "the call tree"
            } else if !self.route.budget.withdraw() {
                "this node's calls of the service"
            } else {
                ""
            };
            if !refused.is_empty() {
                self.node.counters().refused_retry();
                failure.add(&format!("not repeated, as {refused} may not be repeated more often"));
                return Err(failure);
            }
        }
        self.node.counters().retried();
        self.last = Some(failure);
        Ok(())
    }

    /// Calls until there is an answer, a failure that must not be repeated, or no time left.
    pub(crate) async fn call(&mut self, arguments: &[u8]) -> Result<RawReply, Failure> {
        loop {
            let (remote, channel) = match self.reach().await? {
                Place::Here(local) => return self.call_here(local, arguments).await,
                Place::There(remote, channel) => (remote, channel),
            };
            let choice = Choice::at(&self.node, &self.route, &remote).after(&self.failed);
            let answer = match self.ticket.begin(choice, &channel, arguments, Instant::now()) {
                Ok(call) => self.ticket.settle(call.await),
                Err(failure) => Err(failure),
            };
            match answer {
                Ok(reply) => return Ok(reply),
                Err(failure) => self.failed_at(&remote, failure)?,
            }
        }
    }

    /// Calls an endpoint on this node, or sends one way.
    async fn call_here(&mut self, local: Arc<dyn Endpoint>, arguments: &[u8]) -> Result<RawReply, Failure> {
        let deadline = self.deadline();
        let choice = Choice::here(&self.node).after(&self.failed);
        let conditions = Conditions::call(deadline, self.ticket.head(choice));
        let RouteSpec { codec, methods, guest, .. } = &self.route.spec;
        let asked = methods.get(self.ticket.method).ok_or_else(|| {
            Failure::not_sent(Reason::Protocol, "the contract has no method of this number")
        })?;
        let (method, _) = open::find(asked, &*local)?;
        let call = local.call_single(guest.as_ref(), method, (*codec, arguments), conditions);
        let (result, spent) = match timeout_at(deadline, call).await {
            Ok(Ok((result, spent))) => (result, Some(spent)),
            Ok(Err(failure)) => (Err(failure), Some(0)),
            Err(_) => (Err(Failure::unanswered_in_time()), None),
        };
        self.ticket.settle(Answer { result, spent }).map_err(|failure| failure.after(self.last.as_ref()))
    }

    /// Sends one way: done when the service's credit admits it.
    pub(crate) async fn send(&mut self, head: &Head, arguments: &[u8]) -> Result<(), Failure> {
        loop {
            let (remote, channel) = match self.reach().await? {
                Place::Here(local) => return self.call_here(local, arguments).await.map(drop),
                Place::There(remote, channel) => (remote, channel),
            };
            self.ticket.goes_to(remote.name());
            match self.send_on(&channel, head, arguments).await {
                Err(failure) if failure.reason() != Reason::Overloaded => self.failed_at(&remote, failure)?,
                sent => return sent.map_err(|failure| failure.at(remote.name())),
            }
        }
    }

    /// Sends one way on one channel, when there is room.
    pub(crate) async fn send_on(
        &self,
        channel: &ChannelCaller,
        head: &Head,
        arguments: &[u8],
    ) -> Result<(), Failure> {
        loop {
            match channel.try_send(self.ticket.method, head, arguments) {
                TrySend::Sent => return Ok(()),
                TrySend::Failed(failure) => return Err(failure),
                TrySend::Full => {
                    let room = timeout_at(self.deadline(), channel.send_room());
                    room.await.map_err(|_late| no_further_sends())?;
                }
            }
        }
    }

    /// Calls, or sends one way, whichever the method is: for tools, who know no more of it than its name.
    pub(crate) async fn call_or_send(&mut self, arguments: &[u8]) -> Result<RawReply, Failure> {
        let channel = match self.reach().await? {
            Place::Here(local) => return self.call_here(local, arguments).await,
            Place::There(_, channel) => channel,
        };
        if channel.is_one_way(self.ticket.method) {
            let head = Head::new(Allowance::one_way(self.node.config().call_hops), None);
            let head = head.traced(self.ticket.trace.clone());
            self.send(&head, arguments).await?;
            return RawReply::of(self.route.spec.codec, &());
        }
        self.call(arguments).await
    }

    /// An endpoint on this node, which was not ready when the call began, or one with an open channel.
    pub(crate) async fn reach(&mut self) -> Result<Place, Failure> {
        loop {
            let remote = match self.choose().await? {
                Chosen::Here(local) => return Ok(Place::Here(local)),
                Chosen::There(remote) => remote,
            };
            if let Some(channel) = remote.channel() {
                return Ok(Place::There(remote, channel));
            }
            match remote.open(&self.node, &self.route, self.deadline()).await {
                Ok(channel) => return Ok(Place::There(remote, channel)),
                Err(failure) => self.failed_at(&remote, failure)?,
            }
        }
    }

    /// As [`reach`](Self::reach), but the channel is for this call alone. No call has begun on it.
    pub(crate) async fn reach_own(&mut self) -> Result<Own, Failure> {
        loop {
            let remote = match self.choose().await? {
                Chosen::Here(local) => return Ok(Own::Here(local)),
                Chosen::There(remote) => remote,
            };
            match self.open_own(&remote).await {
                Ok(own) => return Ok(Own::There(own)),
                Err(failure) => self.failed_at(&remote, failure)?,
            }
        }
    }

    /// As [`reach_own`](Self::reach_own), on another node.
    pub(crate) async fn reach_own_elsewhere(&mut self) -> Result<OwnChannel, Failure> {
        self.elsewhere = true;
        loop {
            if let Own::There(own) = self.reach_own().await? {
                return Ok(own);
            }
        }
    }

    /// A channel to one endpoint for this call alone.
    pub(crate) async fn open_own(&self, remote: &Arc<Remote>) -> Result<OwnChannel, Failure> {
        let link = remote.session(&self.node, self.deadline()).await?;
        // From here on a newer session does not end this one.
        let streams = link.streams();
        let request = self.route.open_one(self.ticket.method);
        let asks_for_all = request.methods.is_empty();
        let limits = &self.node.config().limits;
        let share = Some(link.large_answers(limits));
        let open = open::open(link.session(), request, limits, share, self.deadline()).await?;
        if !asks_for_all {
            open::check(&open.opened, 0)?;
        }
        Ok(OwnChannel { remote: Arc::clone(remote), open, streams })
    }

    /// An endpoint that has not failed this call lately; waits for one where need be.
    async fn choose(&mut self) -> Result<Chosen, Failure> {
        loop {
            if self.node.has_ended() {
                return Err(
                    Failure::not_sent(Reason::Unavailable, "this node has stopped").after(self.last.as_ref())
                );
            }
            let mut changed = self.node.changed();
            let (picked, all_failed) = {
                let table = self.route.table(&self.node);
                if let Some(local) = table.local.as_ref().filter(|_| !self.elsewhere) {
                    return Ok(Chosen::Here(Arc::clone(local)));
                }
                let picked = table.pick(&self.failed).map(|target| Arc::clone(&target.remote));
                (picked, table.are_all_in(&self.failed))
            };
            if let Some(remote) = picked {
                return Ok(Chosen::There(remote));
            }
            let final_word = |last: &mut Failure| all_failed && is_the_same_everywhere(last.reason());
            if let Some(last) = self.last.take_if(final_word) {
                return Err(last);
            }
            self.pause(&mut changed).await?;
        }
    }

    /// Waits for the mesh to change; endpoints that failed before get another chance after a while.
    async fn pause(&mut self, changed: &mut Following) -> Result<(), Failure> {
        if !self.failed.is_empty() && self.retry_at.is_none() {
            let backoff = Duration::from_millis(10 << self.pauses.min(5));
            self.pauses += 1;
            self.retry_at = Some(Instant::now() + backoff.mul_f64(self.node.random().share(0.5..1.0)));
        }
        let deadline = self.deadline();
        tokio::select! {
            biased;
            () = sleep_until(self.retry_at.map_or(deadline, |at| at.min(deadline))) => {}
            () = changed.changed() => {}
        }
        let now = Instant::now();
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.failed.clear();
        }
        if now >= self.deadline() { Err(self.out_of_time()) } else { Ok(()) }
    }

    fn out_of_time(&self) -> Failure {
        let service = &self.route.spec.service;
        if let Some(last) = &self.last {
            return last.clone();
        }
        if !self.route.table(&self.node).is_empty() {
            let detail = format!("no endpoint of {service} could be reached in time");
            return Failure::not_sent(Reason::Unreachable, detail);
        }
        let known = self.node.service_names();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let is_alone = self.node.snapshot().nodes().len() == 1;
        let alone = if is_alone { "; this node has found no other node" } else { "" };
        Failure::not_sent(Reason::NoEndpoint, format!("no endpoint of {service}; known are {known}{alone}"))
    }
}

/// A one-way send waited for a place until its time was over.
pub(crate) fn no_further_sends() -> Failure {
    Failure::not_sent(Reason::Overloaded, "the service takes no further one-way sends")
}

/// Whether waiting changes nothing once every endpoint has said so.
const fn is_the_same_everywhere(reason: Reason) -> bool {
    matches!(reason, Reason::Incompatible | Reason::UnknownMethod)
}

/// Whether another attempt, or another endpoint, could do better.
const fn is_worth_repeating(reason: Reason) -> bool {
    !matches!(
        reason,
        Reason::DeadlineExceeded
            | Reason::Idle
            | Reason::Cancelled
            | Reason::BadArguments
            | Reason::BadReply
            | Reason::TooLarge
            | Reason::Refused
            | Reason::UnknownCodec
    )
}
