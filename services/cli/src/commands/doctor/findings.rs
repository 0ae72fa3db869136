//! From what all nodes say of themselves to what is wrong: no clock, no network.

use std::collections::{BTreeMap, BTreeSet};

use qmesh::{About, Severity};
use serde::Serialize;

use crate::text::duration_ms;

/// What nodes said.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) abouts: BTreeMap<String, About>,
    /// Those that gave no answer, and why.
    pub(super) silent: BTreeMap<String, String>,
    /// How long all answers together took: by so much their clocks may seem to differ.
    pub(super) took_ms: u64,
}

impl Seen {
    /// The same, and of what was rejected that alone which has come since.
    pub(super) fn since(mut self, earlier: &Self) -> Self {
        for (node, about) in &mut self.abouts {
            let Some(before) = earlier.abouts.get(node) else { continue };
            about.rejected.retain(|reason, count| {
                *count = count.saturating_sub(before.rejected.get(reason).copied().unwrap_or(0));
                *count > 0
            });
        }
        self
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// What kind of thing it is, for programs.
    pub(super) kind: &'static str,
    /// The node, or the thing, that it is about.
    pub(super) about: String,
    /// What was seen.
    pub(super) what: String,
    /// What to do.
    pub(super) advice: String,
}

/// Clocks that differ by less are usual.
const SKEW_MS_MIN: u64 = 1000;
/// From here on certificates are in danger: they allow for five minutes.
const SKEW_MS_BAD: u64 = 60_000;
const DAY: u64 = 24 * 60 * 60;
/// From when on the end of a certificate is near: a warning, an error. An authority needs more time, as every node does.
const CERTIFICATE_DAYS: (u64, u64) = (14, 3);
const AUTHORITY_DAYS: (u64, u64) = (30, 7);
/// A queue that is so full is nearly full, in hundredths.
const QUEUE_FULL: u64 = 80;
/// A call that waits for so long waits for too long.
const OLDEST_MS: u64 = 1000;

/// What is wrong, the worst first.
pub(super) fn of(seen: &Seen) -> Vec<Finding> {
    let parts: [fn(&Seen) -> Vec<Finding>; 10] = [
        silent,
        clocks,
        unreachable,
        one_way,
        views,
        namesakes,
        certificates,
        versions,
        services,
        rejections,
    ];
    let mut found: Vec<_> = parts.iter().flat_map(|part| part(seen)).collect();
    found.sort_by_key(|finding| finding.severity != Severity::Error);
    found
}

/// What is still wrong at a second look.
pub(super) fn lasting(first: &[Finding], second: Vec<Finding>) -> Vec<Finding> {
    let same = |one: &Finding, other: &Finding| (one.kind, &one.about) == (other.kind, &other.about);
    second.into_iter().filter(|later| first.iter().any(|earlier| same(earlier, later))).collect()
}

fn warning(
    kind: &'static str,
    about: impl Into<String>,
    what: impl Into<String>,
    advice: impl Into<String>,
) -> Finding {
    let severity = Severity::Warning;
    Finding { severity, kind, about: about.into(), what: what.into(), advice: advice.into() }
}

fn silent(seen: &Seen) -> Vec<Finding> {
    let finding = |(node, why): (&String, &String)| {
        let what = format!("{node} is in the directory and gives no answer: {why}");
        let advice = "see whether its process runs, and whether the node that was asked can reach it";
        warning("no_answer", node, what, advice).error()
    };
    seen.silent.iter().map(finding).collect()
}

fn clocks(seen: &Seen) -> Vec<Finding> {
    let mut times: Vec<_> = seen.abouts.values().map(|about| about.unix_ms).collect();
    times.sort_unstable();
    let Some(usual) = times.get(times.len().saturating_sub(1) / 2).copied() else { return Vec::new() };
    let mut found = Vec::new();
    for (node, about) in &seen.abouts {
        let skew = about.unix_ms.abs_diff(usual).saturating_sub(seen.took_ms);
        if skew < SKEW_MS_MIN {
            continue;
        }
        let which = if about.unix_ms > usual { "ahead of" } else { "behind" };
        let what = format!("the clock of {node} is {} {which} that of most nodes", duration_ms(skew));
        let advice =
            "set it, by NTP for example: certificates are judged by it, and events are told with its time";
        let finding = warning("clock", node, what, advice);
        found.push(if skew >= SKEW_MS_BAD { finding.error() } else { finding });
    }
    found
}

/// Nodes and seeds that somebody dials in vain, each with all who do.
fn unreachable(seen: &Seen) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut targets: BTreeMap<String, (BTreeSet<&str>, &str, bool)> = BTreeMap::new();
    for (node, about) in &seen.abouts {
        let all_silent = !about.unreachable.is_empty() && about.unreachable.iter().all(|one| one.silent);
        if about.sessions.is_empty() && all_silent {
            let what = format!(
                "{node} has no session, and nothing answers what it dials ({} in vain): UDP seems to be blocked",
                about.unreachable.len()
            );
            let advice = format!(
                "let UDP pass both ways between it and the others; it listens on {}",
                about.addresses.join(", ")
            );
            found.push(warning("udp_blocked", node, what, advice).error());
            continue;
        }
        for one in &about.unreachable {
            let target = one.peer.clone().unwrap_or_else(|| format!("the seed {}", one.addresses.join(", ")));
            let by = targets.entry(target).or_insert_with(|| (BTreeSet::new(), &one.why, true));
            by.0.insert(node);
            by.2 &= one.silent;
        }
    }
    for (target, (by, why, is_silent)) in targets {
        let by: Vec<_> = by.into_iter().collect();
        let what = format!("{target} cannot be reached from {}: {why}", by.join(", "));
        let advice = if is_silent {
            "nothing comes back: see whether it runs, whether UDP passes to that address, and what it advertises"
        } else {
            "somebody answers there: the reason above says what they do not agree on"
        };
        found.push(warning("unreachable", target, what, advice));
    }
    found
}

/// Sessions that one side alone has.
fn one_way(seen: &Seen) -> Vec<Finding> {
    let mut found = Vec::new();
    for (node, about) in &seen.abouts {
        for session in &about.sessions {
            let Some(peer) = seen.abouts.get(&session.peer) else { continue };
            if peer.sessions.iter().all(|back| back.peer != *node) {
                let (about, other) = (format!("{node} {}", session.peer), &session.peer);
                let what = format!("{node} has a session with {other}, and {other} has none with {node}");
                let advice = "packets pass one way alone: look at firewalls and routes between the two";
                found.push(warning("one_way", about, what, advice));
            }
        }
    }
    found
}

/// Nodes that not all others know.
fn views(seen: &Seen) -> Vec<Finding> {
    let known: BTreeSet<_> = seen.abouts.values().flat_map(|about| &about.knows).collect();
    let mut found = Vec::new();
    for name in known {
        let not_by: Vec<_> = seen.abouts.values().filter(|about| !about.knows.contains(name)).collect();
        if !not_by.is_empty() {
            let by: Vec<_> = not_by.iter().map(|about| about.node.as_str()).collect();
            let what = format!("{name} is not alive as {} sees it; others see it", by.join(", "));
            let advice = "directories differ: where that lasts, the mesh is cut; look at sessions and seeds";
            found.push(warning("split", name, what, advice));
        }
    }
    found
}

fn namesakes(seen: &Seen) -> Vec<Finding> {
    let mut ids: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for about in seen.abouts.values() {
        ids.entry(&about.node).or_default().insert(&about.id);
    }
    let twice = ids.into_iter().filter(|(_, ids)| ids.len() > 1);
    let finding = |(name, ids): (&str, BTreeSet<&str>)| {
        let what = format!("{} nodes are named {name}", ids.len());
        warning("namesakes", name, what, "name them apart: each name is for one node, in its certificate")
    };
    twice.map(finding).collect()
}

fn certificates(seen: &Seen) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut authorities = BTreeMap::new();
    for (node, about) in &seen.abouts {
        let now = about.unix_ms / 1000;
        let subject = format!("the certificate of {node}");
        let advice = "issue a new one with `qmesh ca issue`; a running node takes it within an hour";
        let ends = (about.certificate_expires, CERTIFICATE_DAYS);
        found.extend(ending(("certificate", node), &subject, now, ends, advice));
        authorities.insert(about.authority_expires, (now, &about.mesh));
    }
    for (expires, (now, mesh)) in authorities {
        let subject = format!("the authority of mesh {mesh}");
        let advice = "make a new authority, and give its nodes certificates of it while they trust both";
        found.extend(ending(("authority", mesh), &subject, now, (expires, AUTHORITY_DAYS), advice));
    }
    found
}

fn ending(
    (kind, about): (&'static str, &str),
    subject: &str,
    now: u64,
    (expires, (warn_days, error_days)): (u64, (u64, u64)),
    advice: &str,
) -> Option<Finding> {
    let left = expires.saturating_sub(now);
    if left >= warn_days * DAY {
        return None;
    }
    let what = match left {
        0 => format!("{subject} has ended"),
        _ => format!("{subject} ends in {}", duration_ms(left.saturating_mul(1000))),
    };
    let finding = warning(kind, about, what, advice);
    Some(if left < error_days * DAY { finding.error() } else { finding })
}

fn versions(seen: &Seen) -> Vec<Finding> {
    let mut all: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (node, about) in &seen.abouts {
        let speaks = format!("{} ({})", about.version, about.protocols.join(", "));
        all.entry(speaks).or_default().push(node);
    }
    if all.len() < 2 {
        return Vec::new();
    }
    let each: Vec<_> =
        all.iter().map(|(version, nodes)| format!("{version}: {}", nodes.join(", "))).collect();
    let what = format!("nodes are of different versions: {}", each.join("; "));
    vec![warning("versions", "versions", what, "bring all to one version, unless you are just doing so")]
}

fn services(seen: &Seen) -> Vec<Finding> {
    let mut found = Vec::new();
    for (node, about) in &seen.abouts {
        for (service, why) in &about.given_up {
            let what = format!("{service} on {node} failed too often and was given up: {why}");
            let advice =
                "mend it and start the node anew; `qmesh events --service` shows how it came to that";
            found.push(warning("given_up", format!("{service} on {node}"), what, advice).error());
        }
        for queue in &about.queues {
            let (service, depth, capacity) = (&queue.service, queue.depth, queue.capacity);
            let is_old = depth > 0 && queue.oldest_ms >= OLDEST_MS;
            if depth.saturating_mul(100) < capacity.saturating_mul(QUEUE_FULL) && !is_old {
                continue;
            }
            let what = format!(
                "the queue of {service} on {node} has {depth} of {capacity} calls, the oldest waits for {}",
                duration_ms(queue.oldest_ms)
            );
            let advice =
                "it has more work than it does: serve it on further nodes, or see what its handlers wait for";
            let finding = warning("queue", format!("{service} on {node}"), what, advice);
            found.push(if depth >= capacity { finding.error() } else { finding });
        }
    }
    found
}

fn rejections(seen: &Seen) -> Vec<Finding> {
    let rejecting = seen.abouts.iter().filter(|(_, about)| !about.rejected.is_empty());
    let finding = |(node, about): (&String, &About)| {
        let reasons = about.rejected.iter().map(|(reason, count)| format!("{count} times {reason}"));
        let reasons: Vec<_> = reasons.collect();
        let what = format!("{node} has rejected what members gossip: {}", reasons.join(", "));
        let advice =
            "`qmesh events --kind record_rejected` names the member: it lies, or is of another version";
        warning("rejected", node, what, advice)
    };
    rejecting.map(finding).collect()
}

// === impl Finding ===

impl Finding {
    fn error(mut self) -> Self {
        self.severity = Severity::Error;
        self
    }
}

#[cfg(test)]
mod tests;
