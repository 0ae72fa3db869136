//! The same with a task for each call: what a handler that may wait costs.

use anyhow::Result;
use qmesh_bench_harness::{
    host::Host,
    system::{System, Target, Threads},
};

use super::{
    pipeline::{Handling, Pipelines},
    quinn::{self, Link},
};

/// quinn, a task a call.
pub(super) struct QuinnSpawn;

impl System for QuinnSpawn {
    const NAME: &'static str = "quinn-spawn";
    const THREADS: Threads = Threads::One;
    const SCENARIOS: &'static [&'static str] = &["S1", "S2", "S3", "S4"];
    type Client = Pipelines<Link>;

    async fn serve(host: Host) -> Result<()> {
        quinn::serve(host, Handling::InTask).await
    }

    async fn connect(target: Target) -> Result<Pipelines<Link>> {
        quinn::connect(target).await
    }
}
