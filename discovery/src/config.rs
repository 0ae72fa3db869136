//! How often to gossip, and when silence is death.

use std::{fmt, time::Duration};

/// What a digest takes for one node: an empty text of 2, a generation of 8, an address of 19, and 24 for heartbeat and versions.
pub(crate) const DIGEST_ENTRY_BYTES: usize = 53;

/// The largest message that chitchat makes: it fills 65,507 bytes and counts neither its header nor the end mark.
pub(crate) const MESSAGE_BYTES_MAX: usize = 65_510;

/// The most records of one message that may fail to verify before the rest of it is dropped: verifying costs about 0.1 ms.
pub(crate) const FAILURES_PER_MESSAGE_MAX: usize = 16;

/// The most nodes that a digest carries while the largest record still fits beside it.
pub(crate) const NODES_MAX: usize = 1_100;

// A record is text (4/3), stands behind its node's name and its key, and may start in a fresh block.
const _: () = assert!(
    NODES_MAX * DIGEST_ENTRY_BYTES + crate::RECORD_BYTES_MAX.div_ceil(3) * 4 + 512 <= MESSAGE_BYTES_MAX,
    "a full digest leaves room for the largest record"
);

/// How nodes gossip. All nodes of a mesh do it alike: they do not understand each other otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// chitchat: every message tells of every node, in 53 bytes.
    #[default]
    Chitchat,
    /// Pulses: a message tells of a node in one byte, and of more only where two nodes differ. It draws no random numbers.
    Pulse,
}

// === impl Protocol ===

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chitchat => "chitchat",
            Self::Pulse => "pulse",
        })
    }
}

/// The timing and the bounds of gossip.
///
/// A silent node is found dead after `silence_min` to about `interval * (phi_threshold + 2)`, the sooner the fewer nodes
/// there are; every node sends about `6 * nodes * 53 / interval` bytes per second. With [pulses](Protocol::Pulse) it is found dead
/// after `interval * phi_threshold`, and at least `silence_min + interval`; every node sends about `3.6 * (nodes + 7 + 10 * buckets) /
/// interval` bytes per second, where a bucket has 32 to 64 nodes. `window`, `gap_max` and `inbox_messages_max` are chitchat's alone.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// How nodes gossip. Default [`Protocol::Chitchat`].
    pub protocol: Protocol,
    /// The time between two rounds of gossip. Default 200 ms; halving it doubles the traffic.
    pub interval: Duration,
    /// Silence, in mean gaps between signs of life, after which a node counts as dead. Default 7: with 50 nodes at 200 ms, 5
    /// flaps, and 8 takes up to two seconds.
    pub phi_threshold: f64,
    /// Silence below this is no death, however talkative the node was. Default 1.2 s, since a busy machine pauses; few
    /// nodes would take each other for dead after 600 ms.
    pub silence_min: Duration,
    /// How many gaps the mean is taken over. Default 100; 8 bytes each per node.
    pub window: usize,
    /// Gaps above this do not enter the mean. Default 10 s.
    pub gap_max: Duration,
    /// How long a dead node is remembered and still gossiped to now and then. Each restart of a node takes a place
    /// of [`nodes_max`](Self::nodes_max) for this long. Default 5 min.
    pub dead_grace: Duration,
    /// The most nodes in the mesh, former runs of a node within `dead_grace` included. One more is refused, and counted.
    /// Default and upper bound 1,100: above that, a message's digest leaves no room for a record.
    pub nodes_max: usize,
    /// How many received messages wait for the gossip loop; more are dropped, and counted. Default 256, of at most 64 KiB as
    /// they arrive and 1 MiB inflated.
    pub inbox_messages_max: usize,
}

/// A setting that cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("gossip setting `{setting}`: {problem}")]
pub struct ConfigError {
    /// Which setting.
    pub setting: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl Config {
    /// One host or one rack: a dead node is noticed in under two seconds. 80 KB/s per node at 50 nodes.
    #[must_use]
    pub const fn local() -> Self {
        Self {
            protocol: Protocol::Chitchat,
            interval: Duration::from_millis(200),
            phi_threshold: 7.0,
            silence_min: Duration::from_millis(1200),
            window: 100,
            gap_max: Duration::from_secs(10),
            dead_grace: Duration::from_mins(5),
            nodes_max: NODES_MAX,
            inbox_messages_max: 256,
        }
    }

    /// One data centre: an interval of 500 ms, threshold 8, silence of at least 3 s, dead ones are remembered for 15 min.
    #[must_use]
    pub const fn lan() -> Self {
        Self {
            interval: Duration::from_millis(500),
            phi_threshold: 8.0,
            silence_min: Duration::from_secs(3),
            dead_grace: Duration::from_mins(15),
            ..Self::local()
        }
    }

    /// Between data centres: an interval of 1 s, threshold 12, silence of at least 8 s, gaps up to 30 s, dead ones are
    /// remembered for 30 min.
    #[must_use]
    pub const fn wan() -> Self {
        Self {
            interval: Duration::from_secs(1),
            phi_threshold: 12.0,
            silence_min: Duration::from_secs(8),
            gap_max: Duration::from_secs(30),
            dead_grace: Duration::from_mins(30),
            ..Self::local()
        }
    }

    /// Checks that the settings work together.
    ///
    /// # Errors
    /// [`ConfigError`] names the first setting that does not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |holds: bool, setting, problem| {
            if holds { Ok(()) } else { Err(ConfigError { setting, problem }) }
        };
        check(self.interval >= Duration::from_millis(10), "interval", "is under 10 ms")?;
        check(
            self.phi_threshold.is_finite() && self.phi_threshold >= 2.0,
            "phi_threshold",
            "is under 2 or no number",
        )?;
        check(
            self.silence_min <= self.silence() * 2,
            "silence_min",
            "is over twice what phi_threshold asks for",
        )?;
        check(self.window >= 5, "window", "is under 5")?;
        check(self.gap_max >= self.interval * 2, "gap_max", "is under two intervals")?;
        check(
            self.dead_grace >= self.silence() * 4,
            "dead_grace",
            "is under four times the time to find a node dead",
        )?;
        check((2..=NODES_MAX).contains(&self.nodes_max), "nodes_max", "is not 2 to 1,100")?;
        check(self.inbox_messages_max > 0, "inbox_messages_max", "is 0")
    }

    /// The silence after which a node counts as dead, where signs of life come once per interval.
    pub(crate) fn silence(&self) -> Duration {
        self.interval.mul_f64(self.phi_threshold)
    }
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self::local()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presets_are_valid() {
        for config in [Config::local(), Config::lan(), Config::wan()] {
            assert_eq!(config.validate(), Ok(()));
        }
    }

    #[test]
    fn a_setting_that_cannot_work_is_named() {
        let local = Config::local;
        for (config, setting) in [
            (Config { interval: Duration::ZERO, ..local() }, "interval"),
            (Config { phi_threshold: f64::NAN, ..local() }, "phi_threshold"),
            (Config { silence_min: Duration::MAX, ..local() }, "silence_min"),
            (Config { window: 0, ..local() }, "window"),
            (Config { gap_max: Duration::ZERO, ..local() }, "gap_max"),
            (Config { dead_grace: Duration::from_secs(1), ..local() }, "dead_grace"),
            (Config { nodes_max: NODES_MAX + 1, ..local() }, "nodes_max"),
            (Config { inbox_messages_max: 0, ..local() }, "inbox_messages_max"),
        ] {
            assert_eq!(config.validate().unwrap_err().setting, setting);
        }
    }
}
