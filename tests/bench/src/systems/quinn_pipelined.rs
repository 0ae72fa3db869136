//! The limit: quinn with nothing on top but frames.
//!
//! Mutual TLS 1.3, one long-lived bidirectional stream, calls pipelined on it. The client's callers append to an
//! [`outbox`] that one task empties in one write; the server handles requests in its reader and answers all that one
//! read brought in one write. No contracts, deadlines, outcomes or supervision: a runtime that has them comes close
//! to this, or wastes something.

mod client;
mod endpoint;
mod frames;
mod outbox;

use anyhow::Result;
use bytes::BytesMut;
use quinn::{Connection, Incoming};

use self::{
    client::Pipeline,
    frames::{Frames, ONE_WAY},
};
use super::{System, Target, Threads};
use crate::{
    host::{Counter, Host},
    scenarios::Shape,
};

/// quinn, pipelined.
pub(super) struct QuinnPipelined;

impl System for QuinnPipelined {
    const NAME: &'static str = "quinn-pipelined";
    // The connection's driver, its reader and its writer hand over to each other at every wake-up: on one thread
    // that costs no other core's attention.
    const THREADS: Threads = Threads::One;
    const SHAPES: &'static [Shape] = &[Shape::Unary, Shape::OneWay];
    type Client = Pipeline;

    async fn serve(host: Host) -> Result<()> {
        let endpoint = endpoint::listen(&host.certificates)?;
        host.ready(endpoint.local_addr()?.port())?;
        // A pair has one connection, so one at a time is enough.
        while let Some(incoming) = endpoint.accept().await {
            if let Err(error) = serve_connection(incoming, host.counter()).await {
                eprintln!("a connection ended: {error:#}");
            }
        }
        Ok(())
    }

    async fn connect(target: Target) -> Result<Pipeline> {
        let (endpoint, connection) = endpoint::connect(target.address, &target.certificates).await?;
        Pipeline::open(endpoint, connection).await
    }
}

async fn serve_connection(incoming: Incoming, mut counter: Counter) -> Result<()> {
    let connection: Connection = incoming.await?;
    let (mut send, receive) = connection.accept_bi().await?;
    let mut frames = Frames::new(receive);
    let mut replies = BytesMut::new();
    while frames.fill().await? {
        while let Some((id, payload)) = frames.next() {
            match id {
                ONE_WAY => counter.count(&payload),
                id => frames::put(&mut replies, id, &payload),
            }
        }
        if !replies.is_empty() {
            send.write_chunk(outbox::take(&mut replies)).await?;
        }
    }
    Ok(())
}
