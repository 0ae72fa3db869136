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
use futures_util::stream;
use http::uri::PathAndQuery;
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
use super::{Client, System, Target, Threads};
use crate::{
    certificates::{Certificates, HOST_NAME, Side},
    host::Host,
    load::Flow,
    scenarios::Shape,
};

const ECHO: &str = "/bench.Bench/Echo";
const COUNT: &str = "/bench.Bench/Count";
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
    const SHAPES: &'static [Shape] = &[Shape::Unary, Shape::OneWay];
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
        let channel =
            Endpoint::from_shared(format!("https://{}", target.address))?.tls_config(tls)?.connect().await?;
        Ok(Caller { grpc: client::Grpc::new(channel) })
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
    async fn send_all(&mut self, flow: Flow) -> Result<()> {
        self.grpc.ready().await?;
        let messages = Request::new(stream::iter(flow.into_messages()));
        self.grpc.client_streaming(messages, PathAndQuery::from_static(COUNT), Raw).await?;
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
                counter.count(&message);
            }
            Ok(Response::new(Bytes::new()))
        })
    }
}
