//! Where qmesh runs: each placement is a system of its own.

use qmesh_bench_harness::system::Threads;

use super::tracing::Tracing;

/// A runtime, and how many of the node's shards there are beside it.
pub(crate) trait Placement: Send + Sync + 'static {
    const NAME: &'static str;
    const THREADS: Threads;
    const SHARDS: usize;
    /// Whether somebody looks at the traffic of each node.
    const IS_WATCHED: bool = false;
    const SCENARIOS: &'static [&'static str];
    /// What is recorded of calls.
    const TRACING: Tracing = Tracing::ByDefault;
}

/// Everything on one thread, which suits a process that does little else.
pub(crate) enum OneThread {}

/// A runtime with a worker for each core, as `#[tokio::main]` makes it, and no shard.
pub(crate) enum Workers {}

/// The same with one shard, on which the services and their callers are.
pub(crate) enum Shard {}

/// As on one thread, while somebody looks at the traffic of each node, once a second, as `qmesh top` and the console do.
pub(crate) enum Watched {}

const COMPARED: &[&str] = &["S2", "S3", "S5", "S6", "S9-alone", "S9", "S10", "S12"];

impl Placement for OneThread {
    const NAME: &'static str = "qmesh";
    const THREADS: Threads = Threads::One;
    const SHARDS: usize = 0;
    const SCENARIOS: &'static [&'static str] = &[
        "S1",
        "S2",
        "S3",
        "S4",
        "S5",
        "S6",
        "S7",
        "S7-6400",
        "S8",
        "S8-oneway",
        "S8-start",
        "S9-alone",
        "S9",
        "S10",
        "S11-session",
        "S11-channel",
        "S11-service",
        "S12",
        "flood",
    ];
}

impl Placement for Watched {
    const NAME: &'static str = "qmesh-watched";
    const THREADS: Threads = Threads::One;
    const SHARDS: usize = 0;
    const IS_WATCHED: bool = true;
    const SCENARIOS: &'static [&'static str] = &["S1", "S2", "S3", "S5"];
}

impl Placement for Workers {
    const NAME: &'static str = "qmesh-workers";
    const THREADS: Threads = Threads::PerCore;
    const SHARDS: usize = 0;
    const SCENARIOS: &'static [&'static str] = COMPARED;
}

impl Placement for Shard {
    const NAME: &'static str = "qmesh-shard";
    const THREADS: Threads = Threads::PerCore;
    const SHARDS: usize = 1;
    const SCENARIOS: &'static [&'static str] = COMPARED;
}
