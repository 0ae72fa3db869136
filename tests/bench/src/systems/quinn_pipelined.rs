//! The limit: quinn with nothing on top but frames, calls handled in the reader.

use anyhow::Result;
use qmesh_bench_harness::{
    host::Host,
    system::{System, Target, Threads},
};

use super::{
    pipeline::{Handling, Pipelines},
    quinn::{self, Link},
};

/// quinn, pipelined.
pub(super) struct QuinnPipelined;

impl System for QuinnPipelined {
    const NAME: &'static str = "quinn-pipelined";
    // The connection's driver, its reader and its writer hand over to each other at every wake-up: on one thread
    // that costs no other core's attention.
    const THREADS: Threads = Threads::One;
    const SCENARIOS: &'static [&'static str] = &[
        "S1",
        "S2",
        "S3",
        "S4",
        "S5",
        "S6",
        "S7",
        "S7-6400",
        "S9-alone",
        "S9",
        "S10",
        "S11-session",
        "S11-channel",
        "S12",
        "flood",
    ];
    type Client = Pipelines<Link>;

    async fn serve(host: Host) -> Result<()> {
        quinn::serve(host, Handling::InReader).await
    }

    async fn connect(target: Target) -> Result<Pipelines<Link>> {
        quinn::connect(target).await
    }
}
