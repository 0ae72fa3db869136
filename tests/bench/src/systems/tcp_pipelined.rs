//! The floor: the same pipelines on TCP, without TLS. A further stream is a further connection.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use bytes::Bytes;
use qmesh_bench_harness::{
    host::Host,
    system::{System, Target, Threads},
};
use tokio::{
    io::AsyncWriteExt,
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
};

use super::pipeline::{self, Handling, Pipelines, Wire, Writer};

/// TCP, pipelined.
pub(super) struct TcpPipelined;

/// Where to connect to.
#[derive(Clone, Copy)]
pub(super) struct Peer(SocketAddr);

impl System for TcpPipelined {
    const NAME: &'static str = "tcp-pipelined";
    const THREADS: Threads = Threads::One;
    const SCENARIOS: &'static [&'static str] =
        &["S1", "S2", "S3", "S4", "S5", "S6", "S7", "S7-6400", "S10", "S11-session", "flood"];
    type Client = Pipelines<Peer>;

    async fn serve(host: Host) -> Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        host.ready(listener.local_addr()?.port())?;
        let mut connections = JoinSet::new();
        loop {
            let (reader, writer) = split(listener.accept().await?.0)?;
            connections.spawn(pipeline::serve(reader, writer, host.clone(), Handling::InReader));
        }
    }

    async fn connect(target: Target) -> Result<Pipelines<Peer>> {
        Pipelines::open(target.addresses.into_iter().map(Peer).collect()).await
    }
}

fn split(stream: TcpStream) -> Result<(OwnedReadHalf, OwnedWriteHalf)> {
    stream.set_nodelay(true)?;
    Ok(stream.into_split())
}

// === impl Peer ===

impl Wire for Peer {
    type Reader = OwnedReadHalf;
    type Writer = OwnedWriteHalf;

    async fn open(&self) -> Result<(OwnedReadHalf, OwnedWriteHalf)> {
        split(TcpStream::connect(self.0).await?)
    }
}

// === impl OwnedWriteHalf ===

impl Writer for OwnedWriteHalf {
    async fn write(&mut self, batch: Bytes) -> Result<()> {
        Ok(self.write_all(&batch).await?)
    }

    async fn finish(&mut self) -> Result<()> {
        Ok(self.shutdown().await?)
    }
}
