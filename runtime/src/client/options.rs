//! What can be said of one call before it is made, and what it takes along on all its attempts.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    call_tree::{self, Allowance, Terms},
    channel::{
        caller::{Answer, ChannelCaller, InFlight, Outbound},
        head::Head,
    },
    config::Config,
    failure::Failure,
    metadata::Metadata,
    service::RawReply,
};

/// The options of one call.
#[derive(Clone, Debug)]
pub(crate) struct CallOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) retries: Option<u32>,
    pub(crate) metadata: Option<Arc<Metadata>>,
}

/// What a call takes along on all its attempts.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) method: usize,
    pub(crate) terms: Terms,
    metadata: Option<Arc<Metadata>>,
}

impl CallOptions {
    /// None set.
    pub(crate) const NONE: Self = Self { timeout: None, retries: None, metadata: None };

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
        Ok(Ticket { method, terms, metadata: self.metadata.clone() })
    }

    /// The head of a one-way send.
    ///
    /// # Errors
    /// It cannot be made: *not sent*.
    #[inline]
    pub(crate) fn one_way_head(&self, config: &Config) -> Result<Head, Failure> {
        self.check(config)?;
        Ok(Head::new(Allowance::one_way(call_tree::hops(config)?), self.metadata.clone()))
    }

    #[inline]
    fn check(&self, config: &Config) -> Result<(), Failure> {
        self.metadata.as_ref().map_or(Ok(()), |metadata| metadata.check(config.limits.metadata_bytes_max))
    }
}

impl Ticket {
    /// The head of the next attempt.
    pub(crate) fn head(&mut self) -> Head {
        Head::new(self.terms.grant(), self.metadata.clone())
    }

    /// Begins the next attempt.
    pub(crate) fn begin(
        &mut self,
        channel: &Arc<ChannelCaller>,
        arguments: &[u8],
        now: Instant,
    ) -> Result<InFlight, Failure> {
        let head = self.head();
        let call = Outbound { method: self.method, head: &head, arguments, deadline: self.terms.deadline };
        channel.start(call, now).inspect_err(|_| self.terms.settle(Some(0)))
    }

    /// What came of the attempt.
    pub(crate) fn settle(&mut self, answer: Answer) -> Result<RawReply, Failure> {
        self.terms.settle(answer.spent);
        answer.result
    }
}
