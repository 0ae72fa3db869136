//! A call channel: one end calls, the other serves. Many calls share one, pipelined.

pub(crate) mod caller;
pub(crate) mod failure_code;
pub(crate) mod head;
pub(crate) mod items;
pub(crate) mod open;
pub(crate) mod serve;
pub(crate) mod serve_stream;
pub(crate) mod stream_caller;

/// Bytes queued towards the peer above which patient writers wait, and a service's channel reads no further calls.
pub(crate) const HIGH_WATER: usize = 256 * 1024;
/// Room in a frame beside its head, its arguments or its body.
pub(crate) const FRAME_OVERHEAD: usize = 64;
