//! What can happen in a mesh, as a node sees it: one typed event for each thing, and one line of the log for each event.

mod chronicle;
mod follow;

use std::fmt;

use serde::{Deserialize, Serialize};

pub(crate) use chronicle::Chronicle;
pub use follow::Events;

/// The target of the log's lines.
const TARGET: &str = "qmesh::event";
/// The longest sentence that an event keeps, in bytes: some are a peer's.
const WHY_BYTES_MAX: usize = 512;
/// The addresses of a node that an event keeps.
const ADDRESSES_MAX: usize = 8;

/// An event, and when and where it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Happened {
    /// Grows with each event of this node, also over its restarts.
    pub seq: u64,
    /// When, in milliseconds since 1970, by the clock of the node that saw it.
    pub unix_ms: u64,
    /// The node that saw it, by name.
    pub node: String,
    /// How many events of this kind were left out before it, as there were too many at a time.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: MeshEvent,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// How bad an event, or a finding, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Severity {
    /// As it should be.
    Info,
    /// Somebody should look.
    Warning,
    /// Something is broken.
    Error,
}

/// A value of an event, as `tracing` takes it.
trait Logged {
    fn logged(&self) -> impl tracing::Value + '_;
}

/// The events: for each its level in the log, its name there and in JSON, its fields, and its sentence for people.
macro_rules! mesh_events {
    ($(
        $(#[$about:meta])+
        $level:ident $name:literal
        $variant:ident { $($(#[$about_field:meta])+ $field:ident: $type:ty,)* } => $sentence:literal;
    )+) => {
        /// Something that happened in a mesh, as one node sees it. As a text, it is a sentence for people.
        ///
        /// Peers are named as in their certificates; `why` is for people alone.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "event")]
        #[non_exhaustive]
        pub enum MeshEvent {
            $(
                $(#[$about])+
                #[serde(rename = $name)]
                $variant { $($(#[$about_field])+ $field: $type,)* },
            )+
            /// Something that a newer node has a name for, and this program has not.
            #[serde(other, rename = "unknown")]
            Unknown,
        }

        impl MeshEvent {
            /// The names of all kinds, as [`kind`](Self::kind) gives them.
            pub const KINDS: &'static [&'static str] = &[$($name),+];

            /// Its name, in the log and in JSON: `joined`, `session_down`, …
            #[must_use]
            pub const fn kind(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $name,)+
                    Self::Unknown => "unknown",
                }
            }

            const fn level(&self) -> tracing::Level {
                match self {
                    $(Self::$variant { .. } => tracing::Level::$level,)+
                    Self::Unknown => tracing::Level::INFO,
                }
            }

            /// Its line of the log.
            fn log(&self, node: &str, left_out: Option<u64>) {
                match self {
                    $(Self::$variant { $($field),* } => tracing::event!(
                        target: TARGET, tracing::Level::$level, node, left_out, $($field = $field.logged(),)* $name
                    ),)+
                    Self::Unknown => {}
                }
            }
        }

        impl fmt::Display for MeshEvent {
            #[expect(unused_variables, reason = "not every field is in the sentence")]
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant { $($field),* } => write!(f, $sentence),)+
                    Self::Unknown => f.write_str("something that this version does not know"),
                }
            }
        }
    };
}

mesh_events! {
    /// The node has started.
    INFO "started" Started {
        /// The version of qmesh that it runs.
        version: String,
        /// Which life of the node this is.
        incarnation: u64,
        /// Where others reach it.
        addresses: Vec<String>,
    } => "the node has started, with version {version}";

    /// The node ends in order: it drains first.
    INFO "stopping" Stopping {} => "the node stops";

    /// A node is alive that was not.
    INFO "joined" Joined {
        /// The node.
        peer: String,
        /// Its id.
        id: String,
        /// Where others reach it; eight addresses at most.
        addresses: Vec<String>,
    } => "{peer} joined";

    /// A node has started anew.
    INFO "restarted" Restarted {
        /// The node.
        peer: String,
        /// Which life of the node this is.
        incarnation: u64,
    } => "{peer} has started anew";

    /// A node drains: it takes no new calls.
    INFO "draining" Draining {
        /// The node.
        peer: String,
    } => "{peer} drains";

    /// A node left in order.
    INFO "left" Left {
        /// The node.
        peer: String,
    } => "{peer} left";

    /// A node fell silent: it was killed, or cannot be heard.
    WARN "died" Died {
        /// The node.
        peer: String,
    } => "{peer} fell silent";

    /// The session with a node was lost though the directory has it alive: if it is silent as well, it is dead.
    WARN "suspected" Suspected {
        /// The node.
        peer: String,
    } => "{peer} is suspected to be dead";

    /// A session is up.
    INFO "session_up" SessionUp {
        /// With whom.
        peer: String,
        /// What carries it: `quic` or `memory`.
        path: String,
        /// Whether this node dialled it.
        dialled: bool,
    } => "session with {peer} up, over {path}";

    /// Another session with the same peer takes the place of one.
    INFO "session_replaced" SessionReplaced {
        /// With whom.
        peer: String,
        /// Why.
        why: String,
    } => "session with {peer} replaced: {why}";

    /// A session is down.
    INFO "session_down" SessionDown {
        /// With whom it was.
        peer: String,
        /// Why.
        why: String,
    } => "session with {peer} down: {why}";

    /// A replaced session that still had something to do was cut, as its peer had too many of them.
    WARN "session_cut" SessionCut {
        /// With whom it was.
        peer: String,
    } => "the oldest replaced session with {peer} was cut, as there were too many";

    /// A node that is alive cannot be dialled. Told once for each reason until there is a session.
    WARN "unreachable" Unreachable {
        /// The node.
        peer: String,
        /// What was dialled; eight addresses at most.
        addresses: Vec<String>,
        /// What came of it.
        why: String,
    } => "{peer} cannot be reached: {why}";

    /// Nobody of the mesh answers at a seed's address. Told once for each reason.
    WARN "seed_silent" SeedSilent {
        /// What was dialled.
        address: String,
        /// What came of it.
        why: String,
    } => "the seed {address} does not answer: {why}";

    /// A seed that did not answer does.
    INFO "seed_answers" SeedAnswers {
        /// What was dialled.
        address: String,
    } => "the seed {address} answers again";

    /// A peer that knocked was refused, or gave up.
    WARN "peer_refused" PeerRefused {
        /// Where it came from, unproven.
        address: String,
        /// Why.
        why: String,
    } => "a peer at {address} got no session: {why}";

    /// A channel that a peer opened was closed for what came on it, or did not come.
    WARN "channel_broken" ChannelBroken {
        /// The peer.
        peer: String,
        /// What was wrong.
        why: String,
    } => "a channel of {peer} was closed: {why}";

    /// A service of this node prepares, and takes no calls yet.
    INFO "service_warming" ServiceWarming {
        /// The service.
        service: String,
    } => "{service} warms up";

    /// A service of this node takes calls.
    INFO "service_ready" ServiceReady {
        /// The service.
        service: String,
    } => "{service} takes calls";

    /// A service of this node failed and runs again, with a new state.
    WARN "service_restarted" ServiceRestarted {
        /// The service.
        service: String,
        /// How often it was restarted, this time included.
        restarts: u64,
        /// Why it failed.
        why: String,
    } => "{service} was restarted: {why}";

    /// A service of this node failed more often than its policy allows, and was given up.
    ERROR "service_stopped" ServiceStopped {
        /// The service.
        service: String,
        /// Why it failed last.
        why: String,
    } => "{service} failed too often and was given up: {why}";

    /// A part of the node itself failed and runs again.
    WARN "actor_restarted" ActorRestarted {
        /// Its place in the supervision tree.
        actor: String,
        /// How often it was restarted, this time included.
        restarts: u64,
        /// Why it failed.
        why: String,
    } => "{actor} was restarted: {why}";

    /// A part of the node itself failed too often, and was given up.
    ERROR "actor_stopped" ActorStopped {
        /// Its place in the supervision tree.
        actor: String,
        /// Why it failed last.
        why: String,
    } => "{actor} failed too often and was given up: {why}";

    /// A policy of a service of this node refused a call.
    WARN "call_refused" CallRefused {
        /// The service.
        service: String,
        /// The method.
        method: String,
        /// Who called: `node/NAME` or `client/NAME`.
        caller: String,
        /// The command line for which it called, by its word.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        guest: Option<String>,
    } => "{caller} may not call {service}/{method}";

    /// A service of this node refused a call, as its queue is full, or the call would have waited for too long.
    WARN "service_overloaded" ServiceOverloaded {
        /// The service.
        service: String,
        /// Calls that wait or run.
        depth: u64,
        /// How many there may be.
        capacity: u64,
        /// How long a call waits, in milliseconds.
        wait_ms: u64,
    } => "{service} refuses calls: {depth} of {capacity} places are taken, and a call waits for {wait_ms} ms";

    /// Something that a member said in gossip was not believed.
    WARN "record_rejected" RecordRejected {
        /// The member; its id where its name is not known.
        from: String,
        /// What was wrong, as `error.type` of the metric `qmesh.gossip.rejected` has it.
        reason: String,
    } => "something that {from} gossips was rejected: {reason}";

    /// Gossip ended and was started anew.
    WARN "gossip_restarted" GossipRestarted {
        /// Why it ended.
        why: String,
    } => "gossip was started anew: {why}";

    /// The node has a newer certificate.
    INFO "certificate_renewed" CertificateRenewed {
        /// When it ends, in seconds since 1970.
        expires: u64,
    } => "the certificate was renewed";

    /// The node's certificate ends soon, and nobody renews it.
    WARN "certificate_expires" CertificateExpires {
        /// When it ends, in seconds since 1970.
        expires: u64,
        /// In how many days.
        days: u64,
    } => "the certificate ends in {days} days: issue a new one";

    /// No newer certificate is to be had.
    WARN "certificate_not_renewed" CertificateNotRenewed {
        /// Why.
        why: String,
    } => "no newer certificate is to be had: {why}";
}

impl MeshEvent {
    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self.level() {
            tracing::Level::ERROR => Severity::Error,
            tracing::Level::WARN => Severity::Warning,
            _ => Severity::Info,
        }
    }

    /// The node that it is about, other than the one that saw it.
    #[must_use]
    pub fn peer(&self) -> Option<&str> {
        match self {
            Self::Joined { peer, .. }
            | Self::Restarted { peer, .. }
            | Self::Draining { peer }
            | Self::Left { peer }
            | Self::Died { peer }
            | Self::Suspected { peer }
            | Self::SessionUp { peer, .. }
            | Self::SessionReplaced { peer, .. }
            | Self::SessionDown { peer, .. }
            | Self::SessionCut { peer }
            | Self::Unreachable { peer, .. }
            | Self::ChannelBroken { peer, .. } => Some(peer),
            Self::RecordRejected { from, .. } => Some(from),
            Self::CallRefused { caller, .. } => caller.strip_prefix("node/"),
            _ => None,
        }
    }

    /// The service that it is about.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        match self {
            Self::ServiceWarming { service }
            | Self::ServiceReady { service }
            | Self::ServiceRestarted { service, .. }
            | Self::ServiceStopped { service, .. }
            | Self::ServiceOverloaded { service, .. }
            | Self::CallRefused { service, .. } => Some(service),
            _ => None,
        }
    }
}

/// A reason as an event keeps it.
pub(crate) fn why(reason: impl fmt::Display) -> String {
    let mut reason = reason.to_string();
    reason.truncate(reason.floor_char_boundary(WHY_BYTES_MAX));
    reason
}

/// Addresses as an event keeps them.
pub(crate) fn addresses(addresses: &[qmesh_transport::Address]) -> Vec<String> {
    addresses.iter().take(ADDRESSES_MAX).map(ToString::to_string).collect()
}

// === impl Logged ===

impl Logged for String {
    fn logged(&self) -> impl tracing::Value + '_ {
        self.as_str()
    }
}

impl Logged for Option<String> {
    fn logged(&self) -> impl tracing::Value + '_ {
        self.as_deref()
    }
}

impl Logged for Vec<String> {
    fn logged(&self) -> impl tracing::Value + '_ {
        tracing::field::debug(self)
    }
}

impl Logged for u64 {
    fn logged(&self) -> impl tracing::Value + '_ {
        *self
    }
}

impl Logged for bool {
    fn logged(&self) -> impl tracing::Value + '_ {
        *self
    }
}

#[cfg(test)]
mod tests;
