//! Whole meshes in memory and in virtual time.

#![expect(clippy::unwrap_used, reason = "what cannot be unwrapped fails the test")]

mod authorize;
mod compatibility;
mod drains;
mod events;
mod hostile;
mod layers;
mod membership;
mod metadata;
mod metrics;
mod nested;
mod nodes;
mod one_way;
mod overload;
mod panics;
mod pinned;
mod queues;
mod recorder;
mod retries;
mod rolling;
mod service_layers;
mod shards;
mod stray_layers;
mod streams;
mod traces;
mod traffic;
mod warm_up;
