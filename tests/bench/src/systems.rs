//! The systems, one file each.
//!
//! To add a system, write one file that implements `System` and `Client`, and name it in [`SYSTEMS`].

mod nats;
mod pipeline;
mod qmesh;
mod quinn;
mod quinn_pipelined;
mod quinn_spawn;
mod ractor;
mod tarpc;
mod tcp_pipelined;
mod tonic_mtls;

use qmesh_bench_harness::system::Entry;

/// Every system, in the order of a round's turns.
pub(crate) static SYSTEMS: &[Entry] = &[
    Entry::of::<qmesh::Qmesh<qmesh::OneThread>>(),
    Entry::of::<qmesh::Qmesh<qmesh::Watched>>(),
    Entry::of::<qmesh::Qmesh<qmesh::Workers>>(),
    Entry::of::<qmesh::Qmesh<qmesh::Shard>>(),
    Entry::of::<qmesh::Qmesh<qmesh::Unrecorded>>(),
    Entry::of::<qmesh::Qmesh<qmesh::Unsampled>>(),
    Entry::of::<qmesh::Qmesh<qmesh::SampledInPart>>(),
    Entry::of::<qmesh::Qmesh<qmesh::Sampled>>(),
    Entry::of::<quinn_pipelined::QuinnPipelined>(),
    Entry::of::<quinn_spawn::QuinnSpawn>(),
    Entry::of::<tcp_pipelined::TcpPipelined>(),
    Entry::of::<tonic_mtls::TonicMtls>(),
    Entry::of::<tarpc::Tarpc>(),
    Entry::of::<nats::Nats>().needing("nats-server"),
    Entry::of::<ractor::Ractor>(),
    Entry::of_package("qmesh-bench-cluster", "ractor_cluster", &["S1", "S2", "S3", "S4", "S5", "S10"]),
];
