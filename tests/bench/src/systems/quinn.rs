//! Pipelines on streams of quinn's connections, with mutual TLS 1.3.

mod endpoint;

use anyhow::Result;
use bytes::Bytes;
use qmesh_bench_harness::{host::Host, system::Target};
use quinn::{Connection, Endpoint, Incoming, RecvStream, SendStream};
use tokio::task::JoinSet;

use super::pipeline::{self, Handling, Pipelines, Wire, Writer};

/// A connection, and the endpoint that it needs.
#[derive(Clone)]
pub(super) struct Link {
    connection: Connection,
    _endpoint: Endpoint,
}

/// Serves pipelines.
pub(super) async fn serve(host: Host, handling: Handling) -> Result<()> {
    let endpoint = endpoint::listen(&host.certificates, host.scenario)?;
    host.ready(endpoint.local_addr()?.port())?;
    let mut connections = JoinSet::new();
    while let Some(incoming) = endpoint.accept().await {
        connections.spawn(serve_connection(incoming, host.clone(), handling));
    }
    Ok(())
}

/// Connects to all servers; each connection has its own socket, as each has in its server.
pub(super) async fn connect(target: Target) -> Result<Pipelines<Link>> {
    let mut links = Vec::new();
    for address in &target.addresses {
        let (endpoint, connection) =
            endpoint::connect(*address, &target.certificates, target.scenario).await?;
        links.push(Link { connection, _endpoint: endpoint });
    }
    Pipelines::open(links).await
}

async fn serve_connection(incoming: Incoming, host: Host, handling: Handling) {
    let connection = match incoming.await {
        Ok(connection) => connection,
        Err(error) => return eprintln!("a handshake failed: {error}"),
    };
    let mut streams = JoinSet::new();
    // It ends with its client.
    while let Ok((writer, reader)) = connection.accept_bi().await {
        streams.spawn(pipeline::serve(reader, writer, host.clone(), handling));
    }
}

// === impl Link ===

impl Wire for Link {
    type Reader = RecvStream;
    type Writer = SendStream;

    async fn open(&self) -> Result<(RecvStream, SendStream)> {
        let (writer, reader) = self.connection.open_bi().await?;
        Ok((reader, writer))
    }
}

// === impl SendStream ===

impl Writer for SendStream {
    async fn write(&mut self, batch: Bytes) -> Result<()> {
        Ok(self.write_chunk(batch).await?)
    }

    async fn finish(&mut self) -> Result<()> {
        Self::finish(self)?;
        // A stream that is dropped is finished, too, but its last bytes may still be on their way.
        self.stopped().await?;
        Ok(())
    }
}
