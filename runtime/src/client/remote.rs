//! An endpoint on another node.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use qmesh_discovery::NodeRecord;
use qmesh_transport::NodeId;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

use crate::{
    channel::{
        caller::{ChannelCaller, Load},
        open::{self, OpenChannel},
    },
    client::Route,
    failure::{Failure, Reason},
    node::{Link, NodeInner, Peer},
    supervisor::Work,
    task::Place,
};

/// An endpoint on another node, with the channel to it once there is one.
#[derive(Debug)]
pub(crate) struct Remote {
    peer: Arc<Peer>,
    name: String,
    incarnation: u64,
    weight: u64,
    load: Arc<Load>,
    channel: ArcSwapOption<ChannelCaller>,
    /// One opening at a time.
    opening: Mutex<()>,
}

impl Remote {
    pub(crate) fn new(peer: Arc<Peer>, record: &NodeRecord, weight: u32) -> Self {
        Self {
            peer,
            name: record.name.clone(),
            incarnation: record.incarnation,
            weight: weight.clamp(1, 1000).into(),
            load: Arc::default(),
            channel: ArcSwapOption::empty(),
            opening: Mutex::default(),
        }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.peer.id()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether this is the endpoint of that record: the same life of the same node, which was never forgotten.
    pub(crate) fn is(&self, record: &NodeRecord, peer: &Arc<Peer>) -> bool {
        Arc::ptr_eq(&self.peer, peer) && self.incarnation == record.incarnation
    }

    /// Whether the session is with the life of the node that was picked, and not with a later one.
    pub(crate) fn is_in_its_life(&self) -> bool {
        self.peer.current().is_some_and(|link| link.incarnation() == self.incarnation)
    }

    /// Whether a call may go here: the session lives, or has not been tried yet.
    #[inline]
    pub(crate) fn is_usable(&self) -> bool {
        self.peer.is_usable()
    }

    /// Whether there is a session to go by.
    #[inline]
    pub(crate) fn is_connected(&self) -> bool {
        self.peer.is_connected()
    }

    /// What the session travels over, and its round trip in microseconds.
    pub(crate) fn path(&self) -> Option<(&'static str, i64)> {
        let link = self.peer.current()?;
        let round_trip = link.session().stats().round_trip.as_micros();
        let path = link.session().local_address().scheme();
        Some((path, i64::try_from(round_trip).unwrap_or(i64::MAX)))
    }

    /// Asks for a session, so that calls can go here.
    pub(crate) fn want(&self, node: &NodeInner) {
        if self.is_usable() {
            self.peer.want(node);
        }
    }

    /// Whether the service that was asked says that its method may run twice.
    pub(crate) fn is_idempotent(&self, method: usize) -> bool {
        self.channel.load().as_ref().is_some_and(|channel| channel.is_idempotent(method))
    }

    /// Another endpoint was taken.
    pub(crate) fn passed_over(&self) {
        self.load.passed_over();
    }

    /// Smaller is better.
    pub(crate) fn score(&self) -> u64 {
        self.load.score().saturating_mul(1000) / self.weight
    }

    /// The channel, if it is open.
    pub(crate) fn channel(&self) -> Option<Arc<ChannelCaller>> {
        self.channel.load_full().filter(|channel| channel.is_live())
    }

    /// The channel; opens it, and dials the peer, where need be.
    ///
    /// A failure is *not sent* or *not executed*.
    pub(crate) async fn open(
        &self,
        node: &Arc<NodeInner>,
        route: &Route,
        deadline: Instant,
    ) -> Result<Arc<ChannelCaller>, Failure> {
        let late = |_| {
            Failure::not_sent(Reason::DeadlineExceeded, format!("{} could not be reached in time", self.name))
        };
        let _one = timeout_at(deadline, self.opening.lock()).await.map_err(late)?;
        if let Some(open) = self.channel() {
            return Ok(open);
        }
        let link = self.session(node, deadline).await?;
        let limits = &node.config().limits;
        let OpenChannel { opened, frames, writer } = open::open(
            link.session(),
            route.open_request(),
            limits,
            Some(link.large_answers(limits)),
            deadline,
        )
        .await?;
        let channel = Arc::new(ChannelCaller::new(
            opened,
            Arc::clone(&self.load),
            Arc::clone(node.counters().one_way()),
        ));
        link.carries(&channel);
        // Whoever gives up here leaves the channel to the next one.
        self.channel.store(Some(Arc::clone(&channel)));
        route.opened();
        self.peer.start_caller(link.place(), Arc::clone(&channel), (frames, writer)).await?;
        Ok(channel)
    }
}

impl Remote {
    /// The session; asks for it and waits where need be.
    ///
    /// A failure is *not sent*.
    pub(crate) async fn session(
        &self,
        node: &Arc<NodeInner>,
        deadline: Instant,
    ) -> Result<Arc<Link>, Failure> {
        // Another endpoint may be faster, if there is time for it.
        let late = |_| Failure::not_sent(Reason::Unreachable, "no session in time");
        timeout_at(Instant::now() + LINK_MAX, self.peer.link(node, deadline)).await.map_err(late)?
    }

    /// Runs the channel of a streaming call as an actor below the connection's.
    ///
    /// A failure is *not sent*.
    pub(crate) async fn start_stream(&self, place: &Place, work: Work) -> Result<(), Failure> {
        self.peer.start_stream(place, work).await
    }
}

/// How long one attempt waits for a session.
const LINK_MAX: Duration = Duration::from_secs(1);

// === impl Remote ===

impl Drop for Remote {
    fn drop(&mut self) {
        if let Some(channel) = self.channel.load_full() {
            channel.retire();
        }
    }
}
