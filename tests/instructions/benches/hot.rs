//! The instructions of the hot pieces, each against its budget: what it took when the budget was set, and 5 % more.
//!
//! Each piece is done [`TIMES`] times, so that what surrounds it does not matter: a budget is in instructions for each time.

use std::hint::black_box;

use gungraun::{
    Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use opentelemetry::trace::noop::NoopTracerProvider;
use qmesh::{
    Sampling, ServiceClient, Telemetry,
    instructions::{Queue, decode_frames, encode_frames, pick},
};
use qmesh_instructions::{PeerContract, PeerServer, Sum, World};
use tower::layer::util::Identity;

const TIMES: u64 = 1000;

/// Fails where a piece takes 5 % more than it took.
fn within(instructions: u64) -> LibraryBenchmarkConfig {
    let mut config = LibraryBenchmarkConfig::default();
    let limit = instructions * TIMES * 105 / 100;
    config.tool(Callgrind::default().hard_limits([(EventKind::Ir, limit)]));
    config
}

/// Both nodes serve: each calls itself.
fn here() -> World {
    World::new(false, |mesh| mesh.furnish(|_, node| node.serve(PeerServer::new(Sum::default))))
}

/// One node calls the other.
fn there() -> World {
    World::new(true, |mesh| {
        mesh.furnish(|site, node| match site.number() {
            0 => node.serve(PeerServer::new(Sum::default)),
            _ => node,
        })
    })
}

/// The same with a layer on either side.
fn layered() -> World {
    let world = World::new(true, |mesh| {
        mesh.furnish(|site, node| match site.number() {
            0 => node.serve(PeerServer::new(Sum::default).layer(Identity::new())),
            _ => node,
        })
    });
    world.with(|client| client.layer(Identity::new()))
}

/// The same as between nodes, with tracers on both that record nothing.
fn unsampled() -> World {
    World::new(true, |mesh| {
        mesh.furnish(|site, node| {
            let node = node.telemetry(Telemetry::none().traces(&NoopTracerProvider::new(), Sampling::Never));
            if site.number() == 0 { node.serve(PeerServer::new(Sum::default)) } else { node }
        })
    })
}

/// The same as between nodes, which keep nothing; or all calls.
fn keeping(per_second: u32) -> World {
    World::keeping(per_second, true, |mesh| {
        mesh.furnish(|site, node| match site.number() {
            0 => node.serve(PeerServer::new(Sum::default)),
            _ => node,
        })
    })
}

const PAYLOAD: [u8; 64] = [7; 64];

#[library_benchmark(config = within(65))]
fn frame_encode() -> usize {
    encode_frames(black_box(TIMES as usize), &PAYLOAD).len()
}

#[library_benchmark(config = within(15))]
#[bench::of_64_bytes(encode_frames(TIMES as usize, &PAYLOAD))]
fn frame_decode(bytes: bytes::Bytes) -> usize {
    decode_frames(black_box(bytes))
}

#[library_benchmark(config = within(148))]
#[bench::queue(Queue::new(64))]
fn admission(queue: Queue<PeerContract>) -> usize {
    queue.admit(black_box(TIMES as usize))
}

#[library_benchmark(config = within(469))]
#[bench::one_service(there())]
fn directory_lookup(world: World) -> usize {
    world.look_up(black_box(TIMES as usize))
}

#[library_benchmark(config = within(410))]
#[bench::one_endpoint(there())]
fn endpoint_pick(world: World) -> usize {
    pick(&world.client, black_box(TIMES as usize))
}

#[library_benchmark(config = within(10_223))]
#[bench::one_at_a_time(here())]
fn call_in_one_node(world: World) -> u64 {
    world.call(black_box(TIMES))
}

#[library_benchmark(config = within(25_379))]
#[bench::one_at_a_time(there())]
fn call_between_nodes(world: World) -> u64 {
    world.call(black_box(TIMES))
}

#[library_benchmark(config = within(25_444))]
#[bench::one_at_a_time(keeping(0))]
fn call_unrecorded(world: World) -> u64 {
    world.call(black_box(TIMES))
}

#[library_benchmark(config = within(54_676))]
#[bench::one_at_a_time(keeping(1_000_000))]
fn call_kept(world: World) -> u64 {
    world.call(black_box(TIMES))
}

#[library_benchmark(config = within(26_007))]
#[bench::one_at_a_time(unsampled())]
fn call_unsampled(world: World) -> u64 {
    world.call(black_box(TIMES))
}

#[library_benchmark(config = within(40_399))]
#[bench::one_at_a_time(layered())]
fn call_through_layers(world: World) -> u64 {
    world.call(black_box(TIMES))
}

#[library_benchmark(config = within(4_096))]
#[bench::flat_out(here())]
fn send_in_one_node(world: World) -> u64 {
    world.send(black_box(TIMES))
}

#[library_benchmark(config = within(2_425))]
#[bench::flat_out(there())]
fn send_between_nodes(world: World) -> u64 {
    world.send(black_box(TIMES))
}

library_benchmark_group!(
    name = pieces,
    benchmarks = [frame_encode, frame_decode, admission, directory_lookup, endpoint_pick]
);
library_benchmark_group!(
    name = calls,
    benchmarks = [
        call_in_one_node,
        call_between_nodes,
        call_unrecorded,
        call_kept,
        call_unsampled,
        call_through_layers,
        send_in_one_node,
        send_between_nodes
    ]
);
main!(library_benchmark_groups = [pieces, calls]);
