//! Frames pipelined on long-lived streams of bytes, whatever carries those.
//!
//! The client's callers append to an [`outbox`] that one task empties in one write. The server handles requests in its
//! reader and answers all that one read brought in one write, or gives each to a task of its own. No contracts, deadlines,
//! outcomes or supervision: a runtime that has them comes close to this, or wastes something.

mod client;
mod frames;
mod outbox;
mod server;

use std::future::Future;

use anyhow::Result;
use bytes::Bytes;
use tokio::io::AsyncRead;

pub(super) use self::{
    client::Pipelines,
    server::{Handling, serve},
};

/// Where streams of bytes come from: a connection, or an address for a connection each.
pub(super) trait Wire: Clone + Send + Sync + 'static {
    /// What the other side sends.
    type Reader: AsyncRead + Unpin + Send + 'static;
    /// What this side sends.
    type Writer: Writer;

    /// Opens a stream.
    fn open(&self) -> impl Future<Output = Result<(Self::Reader, Self::Writer)>> + Send;
}

/// The sending end of a stream of bytes.
pub(super) trait Writer: Send + 'static {
    /// Writes all of it.
    fn write(&mut self, batch: Bytes) -> impl Future<Output = Result<()>> + Send;

    /// Says that this was all.
    fn finish(&mut self) -> impl Future<Output = Result<()>> + Send;
}
