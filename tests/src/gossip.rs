//! What the directory costs, and how soon it tells the truth, by the number of nodes: gossip alone, over a carrier in memory
//! and in virtual time, so that hundreds of nodes run on one thread.

mod air;
mod chart;
mod mesh;
mod processor;
mod table;

use std::{fmt, time::Duration};

use anyhow::Context as _;
use qmesh_discovery::{Config, Protocol};
use serde::{Deserialize, Serialize};
use tokio::{runtime::Builder, time::sleep};

pub use self::{chart::chart, table::table};
use self::{mesh::Mesh, processor::processor_time};

/// Rounds of gossip after which a new mesh is at rest.
const SETTLING_ROUNDS: u32 = 10;

/// Rounds over which its cost is taken.
const RESTING_ROUNDS: u32 = 20;

/// Nodes that join, and nodes that are killed, one after the other.
const REPETITIONS: usize = 3;

/// One of the settings of gossip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// An interval of 200 ms.
    Local,
    /// 500 ms.
    Lan,
    /// 1 s.
    Wan,
}

/// A mesh to measure.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Shape {
    /// How it gossips.
    #[serde(with = "named")]
    pub protocol: Protocol,
    /// The settings of its gossip.
    pub preset: Preset,
    /// How many nodes it has.
    pub nodes: usize,
}

/// What was measured of a mesh.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// Which mesh.
    #[serde(flatten)]
    pub shape: Shape,
    /// Milliseconds between two rounds of its gossip.
    pub interval_ms: u64,
    /// What a node sends while nothing changes.
    pub bytes_per_node_s: f64,
    /// In how many messages.
    pub messages_per_node_s: f64,
    /// Processor time that a node takes meanwhile: the only figure that depends on the machine.
    pub cpu_us_per_node_s: f64,
    /// Changes that all directories together saw meanwhile. Any is a false alarm.
    pub changes_at_rest: u64,
    /// From a node's start until every directory has it and it has all, the longest of three.
    pub join_s: f64,
    /// From a kill until no directory has the dead node and all have all others, the longest of three.
    pub kill_s: f64,
}

/// Builds a mesh, and measures it.
///
/// # Errors
/// It does not come to agree.
pub fn measure(shape: Shape) -> anyhow::Result<Figures> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let figures = runtime.block_on(measured(shape));
    figures.with_context(|| shape.to_string())
}

async fn measured(shape: Shape) -> anyhow::Result<Figures> {
    let mut config = shape.preset.config();
    config.protocol = shape.protocol;
    let interval = config.interval;
    let mut mesh = Mesh::of(config, shape.nodes).await?;
    sleep(interval * SETTLING_ROUNDS).await;

    let (before, began) = (mesh.sums(), processor_time()?);
    sleep(interval * RESTING_ROUNDS).await;
    let (after, cpu) = (mesh.sums(), processor_time()? - began);
    let per_node_s = 1.0 / (shape.nodes as f64 * (interval * RESTING_ROUNDS).as_secs_f64());

    let mut join = Duration::ZERO;
    for _ in 0..REPETITIONS {
        mesh.join().await?;
        join = join.max(mesh.agreed().await.context("after a join")?);
    }
    let mut kill = Duration::ZERO;
    for _ in 0..REPETITIONS {
        // Not in step with anybody's rounds.
        sleep(interval.mul_f64(5.37)).await;
        mesh.kill_one();
        kill = kill.max(mesh.agreed().await.context("after a kill")?);
    }
    Ok(Figures {
        shape,
        interval_ms: u64::try_from(interval.as_millis())?,
        bytes_per_node_s: (after.bytes - before.bytes) as f64 * per_node_s,
        messages_per_node_s: (after.messages - before.messages) as f64 * per_node_s,
        cpu_us_per_node_s: cpu.as_secs_f64() * 1e6 * per_node_s,
        changes_at_rest: after.changes - before.changes,
        join_s: join.as_secs_f64(),
        kill_s: kill.as_secs_f64(),
    })
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Local, Self::Lan, Self::Wan];

    /// As users write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Lan => "lan",
            Self::Wan => "wan",
        }
    }

    const fn config(self) -> Config {
        match self {
            Self::Local => Config::local(),
            Self::Lan => Config::lan(),
            Self::Wan => Config::wan(),
        }
    }
}

/// The protocols of gossip, as users write them.
pub const PROTOCOLS: [(Protocol, &str); 2] = [(Protocol::Chitchat, "chitchat"), (Protocol::Pulse, "pulse")];

fn protocol_name(protocol: Protocol) -> &'static str {
    PROTOCOLS.into_iter().find(|(known, _)| *known == protocol).map_or("unknown", |(_, name)| name)
}

/// A protocol of gossip by its name.
mod named {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::{PROTOCOLS, Protocol, protocol_name};

    pub(super) fn serialize<S: Serializer>(protocol: &Protocol, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(protocol_name(*protocol))
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Protocol, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = PROTOCOLS.into_iter().find(|(_, known)| *known == name);
        known.map(|(protocol, _)| protocol).ok_or_else(|| D::Error::custom(format!("no protocol: {name}")))
    }
}

impl Shape {
    /// Its place in a table.
    #[must_use]
    pub fn rank(self) -> (usize, usize, usize) {
        let protocol = PROTOCOLS.iter().position(|(protocol, _)| *protocol == self.protocol);
        let preset = Preset::ALL.iter().position(|preset| *preset == self.preset);
        (protocol.unwrap_or(usize::MAX), preset.unwrap_or(usize::MAX), self.nodes)
    }
}

// === impl Shape ===

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, preset, nodes } = self;
        write!(f, "{nodes} nodes, {}, {}", protocol_name(*protocol), preset.name())
    }
}

#[cfg(test)]
mod tests;
