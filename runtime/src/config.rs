//! Every setting and every bound of a node, with unit and default.

use std::time::Duration;

use qmesh_transport::QuicConfig;
use tokio::time::Instant;

use crate::call_tree::{HOPS, RETRIES};

/// How a node behaves. Start from a preset and change fields.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The transport between hosts.
    pub quic: QuicConfig,
    /// The gossip.
    pub gossip: qmesh_discovery::Config,
    /// The bounds of channels and queues.
    pub limits: Limits,
    /// How many threads of its own the node has for its sessions, each with a runtime of one thread: its *shards*. Default 0,
    /// at most 64: sessions share the runtime in which the node is started.
    ///
    /// A session's packets, channels and loops stay on one shard, and so does a service that asks for it
    /// ([`Server::on_shard`](crate::Server::on_shard)) and a task that is started there ([`Node::spawn`](crate::Node::spawn)):
    /// what they say to each other wakes no other thread. With all of them on a shard, a small call takes half of the time that
    /// it takes in a runtime of two threads; with callers and services elsewhere it takes longer than without shards, as each
    /// call and each answer then wakes another thread.
    pub shards: usize,
    /// How long a call may take, from first to last attempt, unless it says otherwise. Default 10 s.
    pub call_timeout: Duration,
    /// How long a draining node lets its calls, their streams and its own one-way sends finish. Default 25 s, below the 30 s that Kubernetes grants.
    /// Streams that are served even longer are cut, and told that the node drains.
    pub drain_timeout: Duration,
    /// How often the seeds are asked anew, for ever, so that a cut mesh heals. Default 2 s (`local`), 5 s (`lan`),
    /// 15 s (`wan`).
    pub seed_interval: Duration,
    /// The pause before a lost peer is dialled again: doubles from the first to the second. Default 50 ms to 2 s.
    pub redial: (Duration, Duration),
    /// How many calls may stand on top of each other, when handlers call further services. Default 32. Past it, a call
    /// is *not sent*.
    pub call_hops: u32,
    /// How often a call, and all calls that are made on its behalf, may be repeated in all, where it was sent and may be
    /// repeated. Default 16.
    pub call_retries: u32,
    /// Retries allowed, as a share of the calls. Default 0.2.
    pub retry_share: f32,
    /// Retries allowed each second beside that share. Default 10.
    pub retries_per_second: u32,
    /// Whether those who may ask this node may see the arguments of the calls that it makes, as they pass (`qmesh tap
    /// --payload`). Default no.
    pub tap_payloads: bool,
    /// How many of the traces that begin here each second the node keeps, for [`ControlClient::traces`](crate::ControlClient::traces)
    /// and `qmesh trace`. Default 50. It keeps its own spans of those that others keep, too, of all that OpenTelemetry samples, and one span for
    /// each call that fails. They lie in memory: at most 4096 spans of recent traces and as many of slow or failed ones, of 2 KiB each. 0 keeps
    /// nothing.
    pub kept_traces_per_second: u32,
    /// A trace with a call that took so long is kept as those that failed are: until 4096 other spans of such traces have come. Default
    /// 100 ms.
    pub slow_call: Duration,
}

/// The bounds of channels and queues.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The largest arguments or answer of a call, in bytes. Default 4 MiB. Larger ones are refused before they are
    /// sent.
    pub message_bytes_max: usize,
    /// Calls of one caller that may be unanswered on one channel. Default 4096.
    pub calls_per_channel: usize,
    /// One-way sends of one caller that may be unacknowledged on one channel. Default 8192.
    pub one_way_window: u64,
    /// The largest metadata of a call, in bytes: keys and values. Default 8 KiB. More is refused before it is sent.
    pub metadata_bytes_max: usize,
    /// Bytes of one peer's frames of more than 4 KiB that are not whole, or whose calls wait for a place: on all channels that
    /// it has opened, and as much again, of its answers, on all that were opened to it. Default 64 MiB, and never less than
    /// one frame. 32 further ones wait; beyond those, the channel ends.
    pub large_frames_bytes_max: usize,
    /// Bytes of answers that one peer has not read, on all channels of its session. Default 64 MiB, and never less than
    /// two answers of the largest size. Where the largest would find no room, no further call of that peer is taken in, and
    /// those in a queue are *not executed*; an answer that finds no room is dropped, and its call is *unknown*.
    pub unread_answers_bytes_max: usize,
    /// Handshakes of peers that knock, at a time. Default 64. Further ones wait.
    pub handshakes: usize,
    /// Channels of one peer that wait for their first frame, at a time. Default 64. Further ones wait.
    pub openings: usize,
    /// How long a peer may take for its first frame on a session or channel. Default 5 s.
    pub opening_timeout: Duration,
}

/// The most threads of a node's own.
const SHARDS_MAX: usize = 64;
/// The longest that a call may take, whoever says how long.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// When a call that begins now is over.
pub(crate) fn deadline_after(now: Instant, timeout: Duration) -> Instant {
    now + timeout.min(TIMEOUT_MAX)
}

/// A setting with which no node can work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is out of range: {allowed}")]
pub struct ConfigError {
    setting: &'static str,
    allowed: &'static str,
}

impl Config {
    /// Whether a node can work with these settings. [`NodeBuilder::start`](crate::NodeBuilder::start) asks.
    ///
    /// # Errors
    /// The first setting that is out of range, with its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let limits = &self.limits;
        let counts = [limits.handshakes, limits.openings, limits.calls_per_channel, limits.message_bytes_max];
        let checks = [
            (counts.iter().all(|count| *count > 0), "limits", "at least 1 each"),
            (limits.message_bytes_max <= 1 << 30, "limits.message_bytes_max", "at most 1 GiB"),
            (limits.metadata_bytes_max <= 1 << 20, "limits.metadata_bytes_max", "at most 1 MiB"),
            (limits.one_way_window > 0, "limits.one_way_window", "at least 1"),
            (
                self.retry_share.is_finite() && (0.0..=1000.0).contains(&self.retry_share),
                "retry_share",
                "0 to 1000",
            ),
            (self.retries_per_second <= 1_000_000, "retries_per_second", "at most 1,000,000"),
            (self.kept_traces_per_second <= 1_000_000, "kept_traces_per_second", "at most 1,000,000"),
            (self.shards <= SHARDS_MAX, "shards", "at most 64"),
            (!self.seed_interval.is_zero(), "seed_interval", "more than 0"),
            (!self.redial.0.is_zero() && self.redial.0 <= self.redial.1, "redial", "more than 0, and rising"),
        ];
        let wrong = checks.into_iter().find(|(fits, ..)| !fits);
        wrong.map_or(Ok(()), |(_, setting, allowed)| Err(ConfigError { setting, allowed }))
    }

    /// For nodes on one host, and for tests: a killed peer is noticed after a good second.
    #[must_use]
    pub fn local() -> Self {
        Self::with(QuicConfig::local(), qmesh_discovery::Config::local(), Duration::from_secs(2))
    }

    /// For nodes in one data centre. The default.
    #[must_use]
    pub fn lan() -> Self {
        Self::with(QuicConfig::lan(), qmesh_discovery::Config::lan(), Duration::from_secs(5))
    }

    /// For nodes far apart.
    #[must_use]
    pub fn wan() -> Self {
        Self::with(QuicConfig::wan(), qmesh_discovery::Config::wan(), Duration::from_secs(15))
    }

    fn with(quic: QuicConfig, gossip: qmesh_discovery::Config, seed_interval: Duration) -> Self {
        Self {
            quic,
            gossip,
            limits: Limits::default(),
            shards: 0,
            call_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(25),
            seed_interval,
            redial: (Duration::from_millis(50), Duration::from_secs(2)),
            call_hops: HOPS,
            call_retries: RETRIES,
            retry_share: 0.2,
            retries_per_second: 10,
            tap_payloads: false,
            kept_traces_per_second: 50,
            slow_call: Duration::from_millis(100),
        }
    }
}

// === impl Config, Limits ===

impl Default for Config {
    fn default() -> Self {
        Self::lan()
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 4 << 20,
            calls_per_channel: 4096,
            one_way_window: 8192,
            metadata_bytes_max: 8 << 10,
            large_frames_bytes_max: 64 << 20,
            unread_answers_bytes_max: 64 << 20,
            handshakes: 64,
            openings: 64,
            opening_timeout: Duration::from_secs(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_a_kill_cuts_has_time_to_be_repeated() {
        for preset in [Config::local(), Config::lan()] {
            let QuicConfig { idle_timeout, keep_alive, .. } = preset.quic;
            assert!(idle_timeout + 2 * keep_alive < preset.call_timeout, "{:?}", preset.quic);
        }
    }
}
