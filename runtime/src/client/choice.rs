//! Where an attempt of a call goes, and what else it could have been: what a trace tells of the decision.

use qmesh_transport::NodeId;

use crate::{
    client::{Remote, Route},
    node::NodeInner,
    telemetry::{Span, names},
};

/// Candidates that an attempt's span names. Of more, those with the best scores.
const CANDIDATES_MAX: usize = 8;

/// Where an attempt goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice<'a> {
    node: &'a NodeInner,
    /// None for the endpoint on this very node, which is taken wherever there is one.
    remote: Option<(&'a Route, &'a Remote)>,
    /// Where it was tried before.
    failed: &'a [NodeId],
    is_pinned: bool,
}

impl<'a> Choice<'a> {
    /// The endpoint on this very node.
    pub(crate) const fn here(node: &'a NodeInner) -> Self {
        Self { node, remote: None, failed: &[], is_pinned: false }
    }

    /// One on another node.
    pub(crate) const fn at(node: &'a NodeInner, route: &'a Route, remote: &'a Remote) -> Self {
        Self { remote: Some((route, remote)), ..Self::here(node) }
    }

    /// The name of the node that it goes to.
    pub(crate) fn name(&self) -> &'a str {
        self.remote.map_or_else(|| self.node.name(), |(_, remote)| remote.name())
    }

    /// The same for a call that has failed at these nodes.
    pub(crate) const fn after(self, failed: &'a [NodeId]) -> Self {
        Self { failed, ..self }
    }

    /// The same where there was no choice, as the client is pinned.
    pub(crate) const fn pinned(self, is_pinned: bool) -> Self {
        Self { is_pinned, ..self }
    }

    /// The node that is asked.
    pub(crate) fn endpoint(&self) -> &str {
        self.remote.map_or_else(|| self.node.name(), |(_, remote)| remote.name())
    }

    /// Tells the span of the attempt, before any of it changes.
    #[cold]
    pub(crate) fn tell(&self, span: &mut Span) {
        if self.is_pinned {
            span.set(names::PINNED, true);
        }
        let Some((route, remote)) = self.remote else { return span.set(names::PATH, "here") };
        if let Some((path, round_trip_us)) = remote.path() {
            span.set(names::PATH, path);
            span.set(names::ROUND_TRIP, round_trip_us);
        }
        if !self.is_pinned {
            self.tell_candidates(route, span);
        }
    }

    fn tell_candidates(&self, route: &Route, span: &mut Span) {
        let table = route.table(self.node);
        let mut candidates: Vec<_> = table.remotes().collect();
        if !self.failed.is_empty() {
            let tried = candidates.iter().filter(|remote| self.failed.contains(&remote.node()));
            span.set_texts(names::TRIED, tried.map(|remote| remote.name().to_owned()));
        }
        candidates.sort_by_key(|remote| (self.state(remote).0, remote.score()));
        let left_out = candidates.len().saturating_sub(CANDIDATES_MAX);
        if left_out > 0 {
            span.set(names::CANDIDATES_LEFT_OUT, i64::try_from(left_out).unwrap_or(i64::MAX));
        }
        let named = candidates.iter().take(CANDIDATES_MAX);
        let named =
            named.map(|remote| format!("{} {} {}", remote.name(), remote.score(), self.state(remote).1));
        span.set_texts(names::CANDIDATES, named);
    }

    /// Whether calls go there, and how early it comes in the order.
    fn state(&self, remote: &Remote) -> (u8, &'static str) {
        if self.failed.contains(&remote.node()) {
            (2, "tried")
        } else if !remote.is_usable() {
            (3, "lost")
        } else if remote.is_connected() {
            (0, "connected")
        } else {
            (1, "no_session")
        }
    }
}
