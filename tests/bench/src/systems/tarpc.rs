//! tarpc over TCP with bincode, as its examples have it, but without Nagle's delay. It has no TLS of its own, and calls
//! alone.

use std::net::Ipv4Addr;

use anyhow::Result;
use bytes::Bytes;
use futures_util::StreamExt;
use qmesh_bench_harness::{
    host::Host,
    system::{self, System, Target, Threads},
};
use serde::{Serialize, de::DeserializeOwned};
use tarpc::{
    client, context, serde_transport,
    server::{self, Channel},
    tokio_serde::formats::Bincode,
    tokio_util::codec::{Framed, LengthDelimitedCodec},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// tarpc.
pub(super) struct Tarpc;

/// More than any scenario has callers, so that none waits for another one's place.
const IN_FLIGHT: usize = 1024;

#[tarpc::service]
trait Bench {
    async fn echo(payload: Bytes) -> Bytes;
}

#[derive(Clone)]
struct Echo;

/// A client of one server.
#[derive(Clone)]
pub(super) struct Caller {
    client: BenchClient,
}

/// Bytes of a connection as messages.
type Transport<In, Out> = serde_transport::Transport<TcpStream, In, Out, Bincode<In, Out>>;

impl System for Tarpc {
    const NAME: &'static str = "tarpc";
    const THREADS: Threads = Threads::One;
    const SCENARIOS: &'static [&'static str] = &["S1", "S2", "S3", "S4"];
    type Client = Caller;

    async fn serve(host: Host) -> Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        host.ready(listener.local_addr()?.port())?;
        let mut connections = JoinSet::new();
        loop {
            let transport = transport(listener.accept().await?.0)?;
            let config = server::Config { pending_response_buffer: IN_FLIGHT };
            let calls = config.channel(transport).execute(Echo.serve());
            connections.spawn(calls.for_each(spawn));
        }
    }

    async fn connect(target: Target) -> Result<Caller> {
        let transport = transport(TcpStream::connect(target.address()).await?)?;
        let mut config = client::Config::default();
        config.max_in_flight_requests = IN_FLIGHT;
        config.pending_request_buffer = IN_FLIGHT;
        Ok(Caller { client: BenchClient::new(config, transport).spawn() })
    }
}

fn transport<In: DeserializeOwned, Out: Serialize>(stream: TcpStream) -> Result<Transport<In, Out>> {
    stream.set_nodelay(true)?;
    Ok(serde_transport::new(Framed::new(stream, LengthDelimitedCodec::new()), Bincode::default()))
}

#[expect(clippy::disallowed_methods, reason = "that is how tarpc's handlers run beside each other")]
async fn spawn(call: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(call);
}

// === impl Echo ===

impl Bench for Echo {
    async fn echo(self, _: context::Context, payload: Bytes) -> Bytes {
        payload
    }
}

// === impl Caller ===

impl system::Client for Caller {
    async fn call(&mut self, payload: Bytes) -> Result<Bytes> {
        Ok(self.client.echo(context::current(), payload).await?)
    }
}
