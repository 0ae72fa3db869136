//! A call channel: one end calls, the other serves. Many calls share one, pipelined.

pub(crate) mod caller;
pub(crate) mod failure_code;
pub(crate) mod head;
pub(crate) mod items;
pub(crate) mod lost;
pub(crate) mod open;
pub(crate) mod serve;
mod serve_layered;
mod serve_stream;
pub(crate) mod stream_caller;

use crate::config::Limits;

/// Bytes queued towards the peer above which patient writers wait, and a service's channel reads no further calls.
pub(crate) const HIGH_WATER: usize = 256 * 1024;
/// The largest payload of a frame that a caller sends.
pub(crate) const fn request_bytes_max(limits: &Limits) -> usize {
    limits.message_bytes_max + FRAME_OVERHEAD + head::bytes_max(limits)
}

/// Room in a frame beside its head, its arguments or its body.
pub(crate) const FRAME_OVERHEAD: usize = 64;
