//! What of a message chitchat may see.
//!
//! chitchat believes whatever a member says, about anybody. A single lying member could take a healthy node's services
//! away, kill it in every view, or panic every gossip loop. So a message is looked through first, and what its subject did not
//! sign, or what no honest node says, is taken out:
//!
//! | part of a message | passes if |
//! |---|---|
//! | a record | its owner signed exactly this, in this generation, as this version; it is chitchat's only key, set for ever |
//! | a node's digest | a record of that generation has been verified, or the node itself speaks, on its own session |
//! | a heartbeat | a node of that age can have reached it |
//! | news about ourselves | never; but a record of ours with a newer generation tells us to take one above it |
//!
//! **Heartbeats are not signed.** A lying member can make a dead node look alive for as long as it lies. It cannot make a
//! living one look dead: a heartbeat told too high is seen by its owner in the next digests, and overtaken.
//! Whoever forges within these limits is a member, whose certificate the authority gave out.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use qmesh_transport::{Credentials, NodeId};
use rustls_pki_types::UnixTime;
use tokio::time::Instant;

use super::{
    member::{NAME, node_of},
    wire::{DigestEntry, Entry, MemberId, Message, NodeDelta, Status},
};
use crate::{NodeRecord, Rejection, config::FAILURES_PER_MESSAGE_MAX, now::Now, record};

/// The only key of every node: its record.
pub(super) const KEY: &str = "r";

/// The most runs of one node that gossip remembers. One that restarts every ten seconds leaves 30 behind in five minutes.
const RUNS_PER_NODE_MAX: usize = 64;

/// Far above any real rate (a node of 50 reaches 0.05), far below what would overflow in a thousand years.
const HEARTBEATS_PER_MS_MAX: u64 = 10;

/// How far a node's clock may be from ours, so that its generation does not tell its age.
const CLOCK_ERROR_MAX: Duration = Duration::from_hours(24 * 30);

/// What passed of a message, and what it taught us.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// What chitchat may see.
    pub(super) message: Option<Message>,
    /// Records that were verified just now.
    pub(super) records: Vec<Arc<NodeRecord>>,
    /// What was taken out.
    pub(super) rejected: Vec<Rejection>,
    /// How many nodes in the digest are not proven to exist.
    pub(super) unproven: u64,
    /// The highest heartbeat that was told of this run of ours.
    pub(super) own_heartbeat: Option<u64>,
}

/// Judges messages by what it has verified before. It remembers exactly the nodes that chitchat may know.
pub(super) struct Filter {
    credentials: Credentials,
    own_generation: u64,
    newest_own_generation: u64,
    nodes_max: usize,
    nodes: BTreeMap<NodeId, Known>,
    /// All runs of all `nodes`.
    runs: usize,
}

/// What is known of one node.
#[derive(Default)]
struct Known {
    newest: Option<Proven>,
    /// The version of our record that it has shown to have.
    own_version: u64,
    runs: BTreeMap<u64, Run>,
}

/// The newest verified record of a node, and the text it came as: the same text need not be verified again.
struct Proven {
    text: String,
    record: Arc<NodeRecord>,
}

/// A run of a node that chitchat may know.
#[derive(Default)]
struct Run {
    /// The highest heartbeat that was told of it.
    heartbeat: u64,
    /// When its heartbeat last grew.
    spoke_at: Option<Instant>,
    /// When it last was the node itself that said so.
    spoke_itself_at: Option<Instant>,
    /// Whether chitchat lacked it when it was last looked at.
    is_missing: bool,
}

impl Filter {
    pub(super) fn new(credentials: Credentials, nodes_max: usize) -> Self {
        Self {
            credentials,
            own_generation: 0,
            newest_own_generation: 0,
            nodes_max,
            nodes: BTreeMap::new(),
            runs: 0,
        }
    }

    /// A new run of our own begins.
    pub(super) const fn begin(&mut self, generation: u64) {
        self.own_generation = generation;
    }

    /// Judges by other credentials of this node from now on. What was verified before stays so.
    pub(super) fn renew(&mut self, credentials: Credentials) {
        self.credentials = credentials;
    }

    /// The newest generation that the mesh has shown us a record of our own of; 0 if none.
    pub(super) const fn newest_own_generation(&self) -> u64 {
        self.newest_own_generation
    }

    /// The other nodes in our digest.
    pub(super) fn ids(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.keys().copied()
    }

    /// The nodes in our digest, this one included.
    pub(super) const fn digest_nodes(&self) -> usize {
        self.runs + 1
    }

    /// The version of our record that a peer has shown to have; 0 if none.
    pub(super) fn own_version_at(&self, peer: NodeId) -> u64 {
        self.nodes.get(&peer).map_or(0, |known| known.own_version)
    }

    /// When each node's heartbeat last grew.
    pub(super) fn spoke_at(&self) -> BTreeMap<NodeId, Instant> {
        self.latest(|run| run.spoke_at)
    }

    /// When each node last said itself that its heartbeat grew, on its own session.
    pub(super) fn spoke_itself_at(&self) -> BTreeMap<NodeId, Instant> {
        self.latest(|run| run.spoke_itself_at)
    }

    /// The latest time of each node's runs.
    fn latest(&self, time: impl Fn(&Run) -> Option<Instant>) -> BTreeMap<NodeId, Instant> {
        let latest = |known: &Known| known.runs.values().filter_map(&time).max();
        self.nodes.iter().filter_map(|(id, known)| Some((*id, latest(known)?))).collect()
    }

    /// Looks a message of `from` through.
    pub(super) fn pass(&mut self, from: NodeId, message: Message, now: Now) -> Passed {
        let mut passed = Passed::default();
        // Records come first: they prove that the nodes of the digest exist.
        passed.message = match message {
            Message::Syn { mesh, .. } if mesh != self.credentials.mesh() => {
                passed.rejected.push(Rejection::OtherMesh);
                None
            }
            Message::BadCluster => {
                passed.rejected.push(Rejection::OtherMesh);
                None
            }
            Message::Syn { digest, mesh } => {
                Some(Message::Syn { digest: self.pass_digest(from, digest, now, &mut passed), mesh })
            }
            Message::SynAck { digest, delta } => {
                let delta = self.pass_delta(delta, now, &mut passed);
                Some(Message::SynAck { digest: self.pass_digest(from, digest, now, &mut passed), delta })
            }
            Message::Ack { delta } => Some(Message::Ack { delta: self.pass_delta(delta, now, &mut passed) }),
        };
        passed
    }

    /// Forgets the runs that chitchat has forgotten: those absent from `kept` now and the last time. Returns the nodes of
    /// which nothing is left.
    pub(super) fn forget_all_but(&mut self, kept: &BTreeSet<(NodeId, u64)>) -> Vec<NodeId> {
        for (id, known) in &mut self.nodes {
            // A run may have been admitted while its message still waits for chitchat: it gets a second chance.
            known.runs.retain(|generation, run| {
                let was_missing = run.is_missing;
                run.is_missing = !kept.contains(&(*id, *generation));
                !(run.is_missing && was_missing)
            });
        }
        let forgotten: Vec<_> =
            self.nodes.extract_if(.., |_, known| known.runs.is_empty()).map(|(id, _)| id).collect();
        self.runs = self.nodes.values().map(|known| known.runs.len()).sum();
        forgotten
    }

    fn pass_digest(
        &mut self,
        from: NodeId,
        digest: Vec<DigestEntry>,
        now: Now,
        passed: &mut Passed,
    ) -> Vec<DigestEntry> {
        let mut own_version = 0;
        let kept = digest
            .into_iter()
            .filter(|entry| match self.digest_entry(from, entry, now) {
                Ok(Digested::Known) => true,
                Ok(Digested::Ourselves) => {
                    passed.own_heartbeat = passed.own_heartbeat.max(Some(entry.heartbeat));
                    own_version = entry.version;
                    true
                }
                Ok(Digested::Former) => false,
                Ok(Digested::Unproven) => {
                    passed.unproven += 1;
                    false
                }
                Err(rejection) => {
                    passed.rejected.push(rejection);
                    false
                }
            })
            .collect();
        // Only now: its own entry, by which it is known, may come after ours.
        if let Some(known) = self.nodes.get_mut(&from) {
            known.own_version = known.own_version.max(own_version);
        }
        kept
    }

    fn digest_entry(&mut self, from: NodeId, entry: &DigestEntry, now: Now) -> Result<Digested, Rejection> {
        let id = identify(&entry.member)?;
        let generation = entry.member.generation;
        if entry.collected != 0 {
            return Err(Rejection::Collected);
        }
        let is_ours = id == self.credentials.id();
        if is_ours && generation != self.own_generation {
            return Ok(Digested::Former);
        }
        // Others judge our heartbeat by their clocks: what they believe, we must be able to overtake.
        let clock_error = if is_ours { CLOCK_ERROR_MAX * 2 } else { CLOCK_ERROR_MAX };
        if entry.heartbeat > heartbeat_max(generation, clock_error, now.wall) {
            return Err(Rejection::Heartbeat);
        }
        if is_ours {
            return Ok(Digested::Ourselves);
        }
        if let Some(run) = self.nodes.get_mut(&id).and_then(|known| known.runs.get_mut(&generation)) {
            run.heard(entry.heartbeat, id == from, now.instant);
            return Ok(Digested::Known);
        }
        if self.nodes.get(&id).is_some_and(|known| known.is_former(generation)) {
            return Ok(Digested::Former);
        }
        if id != from {
            return Ok(Digested::Unproven);
        }
        self.admit(id, generation)?.heard(entry.heartbeat, true, now.instant);
        Ok(Digested::Known)
    }

    fn pass_delta(&mut self, delta: Vec<NodeDelta>, now: Now, passed: &mut Passed) -> Vec<NodeDelta> {
        let mut failures = 0;
        let mut kept = Vec::new();
        for node in delta {
            match self.node_delta(node, now) {
                Ok(Some((node, fresh))) => {
                    passed.records.extend(fresh);
                    kept.push(node);
                }
                Ok(None) => {}
                Err(rejection) => {
                    passed.rejected.push(rejection);
                    failures += usize::from(rejection == Rejection::Unverified);
                }
            }
            if failures > FAILURES_PER_MESSAGE_MAX {
                break;
            }
        }
        kept
    }

    /// Checks one node's part of a delta. `Ok(None)` is what an honest peer may send and chitchat does not need.
    #[expect(clippy::type_complexity, reason = "it is what passes, and what is new in it")]
    fn node_delta(
        &mut self,
        node: NodeDelta,
        now: Now,
    ) -> Result<Option<(NodeDelta, Option<Arc<NodeRecord>>)>, Rejection> {
        let id = identify(&node.member)?;
        let generation = node.member.generation;
        let is_ours = id == self.credentials.id();
        if is_ours && generation == self.own_generation {
            return Err(Rejection::AboutUs);
        }
        let Some(entry) = only_entry(&node)? else { return Ok(None) };
        if let Some(newest) = self.nodes.get(&id).and_then(|known| known.newest.as_ref())
            && newest.text == entry.value
            && newest.record.order() == (generation, entry.version)
        {
            self.admit(id, generation)?;
            return Ok(Some((NodeDelta { from: 0, ..node }, None)));
        }
        let record = record::open(&entry.value, &self.credentials, now.wall)
            .map_err(|_refused| Rejection::Unverified)?;
        if record.id != id {
            return Err(Rejection::Unverified);
        }
        if record.order() != (generation, entry.version) {
            return Err(Rejection::Version);
        }
        if is_ours {
            self.newest_own_generation = self.newest_own_generation.max(generation);
            return Ok(None);
        }
        if self.nodes.get(&id).is_some_and(|known| known.is_outdated(&record)) {
            return Ok(None);
        }
        self.admit(id, generation)?;
        let (text, record) = (entry.value.clone(), Arc::new(record));
        let proven = Proven { text, record: Arc::clone(&record) };
        self.nodes.get_mut(&id).expect("it was admitted").newest = Some(proven);
        // One entry holds everything, so the delta applies whatever was known before.
        Ok(Some((NodeDelta { from: 0, ..node }, Some(record))))
    }

    fn admit(&mut self, id: NodeId, generation: u64) -> Result<&mut Run, Rejection> {
        let known = self.nodes.get(&id);
        let is_new = known.is_none_or(|known| !known.runs.contains_key(&generation));
        if is_new {
            let runs_of_node = known.map_or(0, |known| known.runs.len());
            if self.digest_nodes() >= self.nodes_max || runs_of_node >= RUNS_PER_NODE_MAX {
                return Err(Rejection::Full);
            }
            self.runs += 1;
        }
        let run = self.nodes.entry(id).or_default().runs.entry(generation).or_default();
        run.is_missing = false;
        Ok(run)
    }
}

/// What a digest's entry is about.
enum Digested {
    /// A run that chitchat may know.
    Known,
    /// This run of ours.
    Ourselves,
    /// A run that a newer one has replaced.
    Former,
    /// A run that nobody has proven yet. A record of it follows, or it does not exist.
    Unproven,
}

/// Who is meant.
fn identify(member: &MemberId) -> Result<NodeId, Rejection> {
    node_of(member.address).filter(|_| member.name == NAME).ok_or(Rejection::Identity)
}

/// The single entry of an honest delta, which a message's end may have cut off.
fn only_entry(node: &NodeDelta) -> Result<Option<&Entry>, Rejection> {
    if node.collected != 0 {
        return Err(Rejection::Collected);
    }
    // chitchat sends this for a node without entries, and ours have one always.
    if node.newest.is_some() {
        return Err(Rejection::Version);
    }
    for entry in &node.entries {
        match entry.status {
            _ if entry.key != KEY => return Err(Rejection::ForeignKey),
            Status::Deleted => return Err(Rejection::Tombstone),
            Status::Expiring => return Err(Rejection::TimeToLive),
            Status::Set => {}
        }
    }
    match &node.entries[..] {
        [] => Ok(None),
        [entry] => Ok(Some(entry)),
        [_, _, ..] => Err(Rejection::Version),
    }
}

/// The highest heartbeat that a run can have reached, given that generations are milliseconds since 1970 where they can be.
fn heartbeat_max(generation: u64, clock_error: Duration, now: UnixTime) -> u64 {
    let age = Duration::from_secs(now.as_secs()).saturating_sub(Duration::from_millis(generation));
    let age = u64::try_from((age + clock_error).as_millis()).unwrap_or(u64::MAX);
    age.saturating_mul(HEARTBEATS_PER_MS_MAX)
}

// === impl Run ===

impl Run {
    /// The first heartbeat that others tell means nothing: it may be that of a node long dead. The first that it tells itself
    /// does, whatever others told before.
    fn heard(&mut self, heartbeat: u64, is_said_by_itself: bool, now: Instant) {
        let has_grown = heartbeat > self.heartbeat;
        if is_said_by_itself && (has_grown || self.spoke_itself_at.is_none()) {
            self.spoke_itself_at = Some(now);
            self.spoke_at = Some(now);
        } else if has_grown && self.heartbeat != 0 {
            self.spoke_at = Some(now);
        }
        self.heartbeat = self.heartbeat.max(heartbeat);
    }
}

// === impl Known ===

impl Known {
    fn is_former(&self, generation: u64) -> bool {
        self.newest.as_ref().is_some_and(|newest| newest.record.generation > generation)
    }

    fn is_outdated(&self, record: &NodeRecord) -> bool {
        self.newest.as_ref().is_some_and(|newest| newest.record.order() > record.order())
    }
}

#[cfg(test)]
mod tests;
