//! What can be said of one call before it is made, and what it takes along on all its attempts.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    call_tree::{self, Allowance, Terms},
    channel::{
        caller::{Answer, ChannelCaller, InFlight, Outbound},
        head::Head,
    },
    client::Choice,
    config::Config,
    failure::Failure,
    metadata::Metadata,
    service::RawReply,
    telemetry::{Attempt, Called, Status, Trace},
    wire::frame::status,
};

/// The options of one call.
#[derive(Clone, Debug)]
pub(crate) struct CallOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) retries: Option<u32>,
    pub(crate) metadata: Option<Arc<Metadata>>,
    /// Undecided where the node has no telemetry.
    pub(crate) trace: Trace,
    /// Where somebody looks at the call.
    pub(crate) called: Option<Arc<Called>>,
}

/// What a call takes along on all its attempts.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) method: usize,
    pub(crate) terms: Terms,
    metadata: Option<Arc<Metadata>>,
    pub(crate) trace: Trace,
    /// The attempt under way, if it is recorded.
    attempt: Option<Box<Attempt>>,
    called: Option<Arc<Called>>,
}

impl CallOptions {
    /// None set.
    pub(crate) const NONE: Self =
        Self { timeout: None, retries: None, metadata: None, trace: Trace::Undecided, called: None };

    pub(crate) fn set_metadata(&mut self, key: impl Into<String>, value: impl Into<String>) {
        Arc::make_mut(self.metadata.get_or_insert_default()).set(key.into(), value.into());
    }

    /// The same for what is left of the time until `deadline`, with that metadata: they have come through layers.
    pub(crate) fn after_layers(self, deadline: Option<Instant>, metadata: Option<Arc<Metadata>>) -> Self {
        let timeout = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        Self { timeout, metadata, ..self }
    }

    /// The ticket of a call that begins now.
    ///
    /// # Errors
    /// It cannot be made: *not sent*.
    pub(crate) fn ticket(&self, method: usize, config: &Config, now: Instant) -> Result<Ticket, Failure> {
        self.check(config)?;
        let terms = Terms::begin(config, self, now)?;
        let (metadata, called) = (self.metadata.clone(), self.called.clone());
        Ok(Ticket { method, terms, metadata, trace: self.trace(), attempt: None, called })
    }

    /// The head of a one-way send.
    ///
    /// # Errors
    /// It cannot be made: *not sent*.
    #[inline]
    pub(crate) fn one_way_head(&self, config: &Config) -> Result<Head, Failure> {
        self.check(config)?;
        let allowance = Allowance::one_way(call_tree::hops(config)?);
        Ok(Head::new(allowance, self.metadata.clone()).traced(self.trace()))
    }

    /// The send goes to the node of that name.
    #[inline]
    pub(crate) fn goes_to(&self, node: &str) {
        if let Some(called) = &self.called {
            called.goes_to(node);
        }
    }

    #[inline]
    pub(crate) fn trace(&self) -> Trace {
        if self.trace.is_undecided() { Trace::inherited() } else { self.trace.clone() }
    }

    #[inline]
    fn check(&self, config: &Config) -> Result<(), Failure> {
        self.metadata.as_ref().map_or(Ok(()), |metadata| metadata.check(config.limits.metadata_bytes_max))
    }
}

impl Ticket {
    /// The same for a call that somebody looks at.
    pub(crate) fn seen(self, called: Option<Arc<Called>>) -> Self {
        Self { called, ..self }
    }

    /// The next attempt is made at the node of that name.
    #[inline]
    pub(crate) fn goes_to(&self, node: &str) {
        if let Some(called) = &self.called {
            called.goes_to(node);
        }
    }

    /// The same for a call of that trace.
    pub(crate) fn traced(self, trace: Trace) -> Self {
        Self { trace, ..self }
    }

    /// The head of the next attempt, which goes where it says.
    pub(crate) fn head(&mut self, choice: Choice<'_>) -> Head {
        self.goes_to(choice.name());
        let head = Head::new(self.terms.grant(), self.metadata.clone());
        let Trace::Of(trace) = &self.trace else { return head.traced(self.trace.clone()) };
        let Some((trace, attempt)) = Attempt::begin(trace, choice, self.terms.retries_left()) else {
            return head.traced(self.trace.clone());
        };
        self.attempt = Some(Box::new(attempt));
        head.traced(trace)
    }

    /// Begins the next attempt.
    pub(crate) fn begin(
        &mut self,
        choice: Choice<'_>,
        channel: &Arc<ChannelCaller>,
        arguments: &[u8],
        now: Instant,
    ) -> Result<InFlight, Failure> {
        let head = self.head(choice);
        let call = Outbound { method: self.method, head: &head, arguments, deadline: self.terms.deadline };
        channel.start(call, now).inspect_err(|failure| self.ended(Some(0), Err(failure)))
    }

    /// What came of the attempt.
    pub(crate) fn settle(&mut self, answer: Answer) -> Result<RawReply, Failure> {
        self.ended(answer.spent, answer.result.as_ref().map(status_of));
        answer.result
    }

    /// The attempt under way has ended, after so many repeats if they are known.
    #[inline]
    pub(crate) fn ended(&mut self, spent: Option<u32>, status: Result<Status, &Failure>) {
        self.terms.settle(spent);
        if let Some(attempt) = self.attempt.take() {
            attempt.end(status);
        }
    }
}

const fn status_of(reply: &RawReply) -> Status {
    if reply.status == status::VALUE { Status::Ok } else { Status::ServiceError }
}
