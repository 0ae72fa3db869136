//! Measures qmesh beside the systems its users would choose instead. What is measured and how is the harness's affair;
//! here are the systems.

mod systems;

use anyhow::Result;

fn main() -> Result<()> {
    qmesh_bench_harness::run(systems::SYSTEMS)
}
