//! What a handler may know of the call it serves.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    authorize::{self, Guard},
    call_tree::Inherited,
    channel::head::Head,
    client::ServiceClient,
    events::MeshEvent,
    failure::{Failure, Reason},
    metadata::Metadata,
    node::NodeHandle,
    pace::Pace,
    service::{Caller, Cancel, Method, OneWays, Replies},
    task::{self, Tasks},
    telemetry::{Arrived, Side, Telemetry, Trace},
    wire::unread::Unread,
};

/// The call that a handler serves: who calls, until when, and whether it is still wanted.
///
/// A handler takes it as first parameter, `cx: &Context`; the client does not see it.
///
/// Calls that the handler makes, by whatever client, inherit from the call that it serves, without it: they end with
/// its deadline, spend its repeats, and stop where calls stand on top of each other too deep. When it is given up, a
/// `&self` handler is dropped, and its calls with it; a `&mut self` one goes on with them. Work that is handed to another
/// task inherits nothing.
#[derive(Debug)]
pub struct Context {
    scope: Arc<CallScope>,
    conditions: Conditions,
}

/// What comes with a call beside its arguments.
#[derive(Clone, Debug)]
pub(crate) struct Conditions {
    /// None for one-way sends, and where the caller sends a stream, unless its own time has an end.
    pub(crate) deadline: Option<Instant>,
    /// None for one-way sends.
    pub(crate) cancel: Option<Arc<Cancel>>,
    pub(crate) head: Head,
}

/// What all calls on one channel share.
#[derive(Debug)]
pub(crate) struct CallScope {
    pub(crate) caller: Caller,
    /// The command line for which the caller calls.
    pub(crate) guest: Option<Caller>,
    pub(crate) core: Arc<ServiceCore>,
    /// None for calls from this very node.
    pub(crate) replies: Option<Arc<Replies>>,
}

/// What all calls of one service share.
pub(crate) struct ServiceCore {
    pub(crate) name: &'static str,
    pub(crate) node: NodeHandle,
    pub(crate) guard: Guard,
    /// How often it tells that a policy refused a call.
    pub(crate) refusals: Pace,
    pub(crate) telemetry: Telemetry,
    /// Where its calls are measured.
    pub(crate) side: Option<Arc<Side>>,
    /// Not before its warm-up is over.
    pub(crate) ready: AtomicBool,
    /// The `&mut self` call that holds up all others.
    pub(crate) at_work: Mutex<Option<AtWork>>,
    /// `&self` calls that did not finish at once.
    pub(crate) calls: Tasks,
    /// What handlers started, which ends with this life of the service.
    pub(crate) tasks: Tasks,
}

/// A `&mut self` call that holds up all others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AtWork {
    pub(crate) method: &'static str,
    pub(crate) since: Instant,
    /// If not, it waits for `&self` calls to end.
    pub(crate) runs: bool,
}

impl Context {
    pub(crate) const fn new(scope: Arc<CallScope>, conditions: Conditions) -> Self {
        Self { scope, conditions }
    }

    /// Who calls, as a handshake with this node proved it: the node at the other end of the session, this very node,
    /// or the command line that asks this node. Where another node calls because a command line asked it to, the caller is that
    /// node, and the command line is [`on_behalf_of`](Self::on_behalf_of).
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.scope.caller
    }

    /// The command line for which the calling node calls, if it says so. The node's word is all that is known of it, so it
    /// may take rights away and must not give any.
    #[must_use]
    pub fn on_behalf_of(&self) -> Option<&Caller> {
        self.scope.guest.as_ref()
    }

    /// When the caller stops waiting; `None` for one-way sends, and where the caller sends a stream: it waits for as long as
    /// that goes on, unless it is a handler whose own call has an end.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.conditions.deadline
    }

    /// How long the caller still waits; `None` where there is no [`deadline`](Self::deadline), zero when it is over.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.conditions.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Whether the caller has given the call up. A `&self` handler is dropped then, a `&mut self` one goes on: it may
    /// look here to stop early.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.conditions.is_cancelled()
    }

    /// Resolves when the caller gives the call up.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn cancelled(&self) {
        self.conditions.cancelled().await;
    }

    /// Whether the node drains: it ends in order, takes no new calls, and lets those at work finish, streams included, for up
    /// to [`drain_timeout`](crate::Config::drain_timeout).
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.scope.core.node.inner().is_draining()
    }

    /// Resolves when the node begins to drain. It borrows nothing, so that a task can have it: a stream that has no end of its own
    /// ends with it, in whatever way the service ends its streams, or is cut when the time to drain is over.
    ///
    /// ```
    /// # use qmesh::prelude::*;
    /// use futures_util::StreamExt;
    ///
    /// # trait Beats { async fn beats(&self, cx: &Context) -> Receiver<u64>; }
    /// # struct Drum;
    /// # impl Beats for Drum {
    /// async fn beats(&self, cx: &Context) -> Receiver<u64> {
    ///     let without_end = Receiver::of(0..);
    ///     Receiver::from_stream(without_end.take_until(cx.draining()))
    /// }
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + Sync + use<> {
        let drain = Arc::clone(self.scope.core.node.inner().drain());
        async move { drain.begun().await }
    }

    /// What the caller sent beside the arguments.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        self.conditions.head.metadata.as_deref().unwrap_or(Metadata::NONE)
    }

    /// Starts work that ends with the service: it is dropped when the service stops or restarts. Calls that it makes
    /// inherit nothing of this call.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        task::spawn_in(&self.scope.core.tasks, work);
    }

    /// A client of any service of the mesh, this one included.
    #[must_use]
    pub fn client<T: ServiceClient>(&self) -> T {
        self.scope.core.node.client()
    }

    /// The name of the node that serves the call.
    #[must_use]
    pub fn node(&self) -> &str {
        self.scope.core.node.name()
    }

    /// For the next call of the same caller.
    pub(crate) fn renew(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }
}

impl Conditions {
    /// Those of a call.
    pub(crate) fn call(deadline: Instant, head: Head) -> Self {
        Self { deadline: Some(deadline), cancel: Some(Arc::default()), head }
    }

    /// Those of a one-way send.
    pub(crate) const fn one_way(head: Head) -> Self {
        Self { deadline: None, cancel: None, head }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.as_ref().is_some_and(|cancel| cancel.is_cancelled())
    }

    /// Resolves when the caller gives the call up. Cancel safe.
    pub(crate) async fn cancelled(&self) {
        match &self.cancel {
            Some(cancel) => cancel.cancelled().await,
            None => std::future::pending().await,
        }
    }

    /// What the handler's own calls inherit.
    pub(crate) const fn inherited(&self) -> Inherited {
        Inherited::new(self.deadline, self.head.allowance)
    }
}

impl CallScope {
    /// The refusal of a call that may not be made; counted and, not too often, told.
    #[cold]
    pub(crate) fn refuse(&self, method: &str) -> Failure {
        self.core.node.inner().counters().refused_call();
        let core = &*self.core;
        core.node.inner().events().tell_at(&core.refusals, || MeshEvent::CallRefused {
            service: core.name.to_owned(),
            method: method.to_owned(),
            caller: self.caller.to_string(),
            guest: self.guest.as_ref().map(ToString::to_string),
        });
        let refusal = authorize::refusal(&self.caller, self.guest.as_ref(), (core.name, method));
        Failure::not_executed(Reason::Refused, refusal)
    }

    /// A call is answered before it comes to the service: tells telemetry.
    #[cold]
    pub(crate) fn turned_away(
        &self,
        (number, methods): (usize, &[Method]),
        trace: &Trace,
        failure: &Failure,
    ) {
        let weight = self.core.telemetry.watched().and_then(|watch| watch.weigh());
        if let Some(method) = methods.get(number)
            && (self.core.telemetry.hears_of_failures() || !trace.is_undecided() || weight.is_some())
        {
            Arrived { scope: self, method: (number, method), trace, queued_at: Instant::now(), weight }
                .refused(failure);
        }
    }

    /// The answers that the caller has not read, where it reads them from a channel.
    pub(crate) fn unread(&self) -> Option<&Unread> {
        self.replies.as_ref().map(|replies| &*replies.unread)
    }

    /// Counts one-way sends whose end has come.
    pub(crate) fn finish_one_way(&self, ended: OneWays) {
        if let Some(replies) = &self.replies {
            replies.finish_one_way(ended);
        }
    }
}

impl ServiceCore {
    /// A `&mut self` call holds up all others until what this returns is dropped.
    pub(crate) fn holds(&self, method: &'static str, runs: bool) -> Holds<'_> {
        *self.at_work.lock() = Some(AtWork { method, since: Instant::now(), runs });
        Holds(self)
    }
}

/// Ends [`ServiceCore::at_work`].
#[derive(Debug)]
pub(crate) struct Holds<'a>(&'a ServiceCore);

impl Drop for Holds<'_> {
    fn drop(&mut self) {
        *self.0.at_work.lock() = None;
    }
}

impl fmt::Debug for ServiceCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServiceCore").field(&self.name).finish()
    }
}
