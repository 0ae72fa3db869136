//! gRPC as tonic does it, over HTTP/2 and mutual TLS, with messages that are bytes already.
//!
//! There is no Protobuf in it, so what is measured is the transport and the call, as for the other systems.

mod raw;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::Ipv4Addr,
    pin::Pin,
    task::{Context, Poll},
};

use anyhow::Result;
use bytes::Bytes;
use futures_util::{Stream, stream};
use http::uri::PathAndQuery;
use qmesh_bench_harness::{
    certificates::{Certificates, HOST_NAME, Side},
    host::Host,
    load::{Counter, Flow, Order},
    system::{Client, System, Target, Threads},
};
use rustls::crypto::aws_lc_rs;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    client, server,
    transport::{
        Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig,
        server::TcpIncoming,
    },
};
use tower_service::Service;

use self::raw::Raw;

const ECHO: &str = "/bench.Bench/Echo";
const COUNT: &str = "/bench.Bench/Count";
const ITEMS: &str = "/bench.Bench/Items";
/// More calls than any scenario has callers: hyper's own limit would queue some.
const STREAMS_MAX: u32 = 4096;

/// tonic with mutual TLS.
pub(super) struct TonicMtls;

/// One gRPC channel.
#[derive(Clone)]
pub(super) struct Caller {
    grpc: client::Grpc<Channel>,
}

impl System for TonicMtls {
    const NAME: &'static str = "tonic-mtls";
    // One thread halves the processor time of a call: nothing is handed from core to core.
    const THREADS: Threads = Threads::One;
    const SCENARIOS: &'static [&'static str] = &[
        "S1",
        "S2",
        "S3",
        "S4",
        "S5",
        "S6",
        "S7",
        "S7-6400",
        "S9-alone",
        "S9",
        "S10",
        "S11-session",
        "S12",
        "flood",
    ];
    type Client = Caller;

    async fn serve(host: Host) -> Result<()> {
        let incoming = TcpIncoming::bind((Ipv4Addr::LOCALHOST, 0).into())?.with_nodelay(Some(true));
        let (identity, authority) = tls(&host.certificates, Side::Server)?;
        let server = Server::builder()
            .tls_config(ServerTlsConfig::new().identity(identity).client_ca_root(authority))?
            .max_concurrent_streams(STREAMS_MAX);
        host.ready(incoming.local_addr()?.port())?;
        Ok(server.serve_with_incoming(Bench { host }, incoming).await?)
    }

    async fn connect(target: Target) -> Result<Caller> {
        let (identity, authority) = tls(&target.certificates, Side::Client)?;
        let tls = ClientTlsConfig::new().identity(identity).ca_certificate(authority).domain_name(HOST_NAME);
        let endpoint = |address| -> Result<Endpoint> {
            Ok(Endpoint::from_shared(format!("https://{address}"))?.tls_config(tls.clone())?)
        };
        let channel = match &target.addresses[..] {
            [address] => endpoint(address)?.connect().await?,
            // tonic's own balancing.
            addresses => {
                Channel::balance_list(addresses.iter().map(endpoint).collect::<Result<Vec<_>>>()?.into_iter())
            }
        };
        let grpc = client::Grpc::new(channel);
        Ok(Caller { grpc: grpc.max_decoding_message_size(target.scenario.message_bytes_max()) })
    }
}

fn tls(certificates: &Certificates, side: Side) -> Result<(Identity, Certificate)> {
    // tonic takes the process's provider, and rustls chooses none if the binary contains two.
    let _was_installed = aws_lc_rs::default_provider().install_default();
    let identity = certificates.identity(side)?;
    let authority = Certificate::from_pem(certificates.authority()?);
    Ok((Identity::from_pem(identity.certificate, identity.key), authority))
}

// === impl Caller ===

impl Client for Caller {
    async fn call(&mut self, payload: Bytes) -> Result<Bytes> {
        self.grpc.ready().await?;
        let response = self.grpc.unary(Request::new(payload), PathAndQuery::from_static(ECHO), Raw).await?;
        Ok(response.into_inner())
    }

    /// One client-streaming call; its messages are the flow.
    async fn send_all(&mut self, _: usize, flow: Flow) -> Result<()> {
        self.grpc.ready().await?;
        let messages = Request::new(stream::iter(flow.into_messages()));
        self.grpc.client_streaming(messages, PathAndQuery::from_static(COUNT), Raw).await?;
        Ok(())
    }

    async fn receive_all(&mut self, order: Order, counter: &mut Counter) -> Result<()> {
        self.grpc.ready().await?;
        let path = PathAndQuery::from_static(ITEMS);
        let mut items =
            self.grpc.server_streaming(Request::new(order.encode()), path, Raw).await?.into_inner();
        while let Some(item) = items.message().await? {
            counter.count(&item);
        }
        Ok(())
    }
}

/// The server: what generated code would be.
#[derive(Clone)]
struct Bench {
    host: Host,
}

/// Answers a call with what it carried.
struct Echo;

/// Counts the messages of a client-streaming call.
struct Count {
    host: Host,
}

/// Sends the items of an order.
struct Items;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

// === impl Bench ===

impl Service<http::Request<Body>> for Bench {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let mut grpc = server::Grpc::new(Raw);
        match request.uri().path() {
            ECHO => Box::pin(async move { Ok(grpc.unary(Echo, request).await) }),
            COUNT => {
                let count = Count { host: self.host.clone() };
                Box::pin(async move { Ok(grpc.client_streaming(count, request).await) })
            }
            ITEMS => Box::pin(async move { Ok(grpc.server_streaming(Items, request).await) }),
            path => Box::pin(ready(Ok(Status::unimplemented(path).into_http()))),
        }
    }
}

// === impl Echo ===

impl server::UnaryService<Bytes> for Echo {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

// === impl Count ===

impl server::ClientStreamingService<Bytes> for Count {
    type Response = Bytes;
    type Future = BoxFuture<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let mut counter = self.host.counter();
        Box::pin(async move {
            let mut messages = request.into_inner();
            while let Some(message) = messages.message().await? {
                counter.handle(&message).await;
            }
            Ok(Response::new(Bytes::new()))
        })
    }
}

// === impl Items ===

impl server::ServerStreamingService<Bytes> for Items {
    type Response = Bytes;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let flow = Order::decode(request.get_ref()).and_then(Order::flow);
        ready(match flow {
            Ok(flow) => Ok(Response::new(Box::pin(stream::iter(flow.into_messages().map(Ok))))),
            Err(error) => Err(Status::invalid_argument(error.to_string())),
        })
    }
}
