//! `/metrics`: what Prometheus asks for, as text over HTTP.

use std::{convert::Infallible, fmt, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use opentelemetry_prometheus::PrometheusExporter;
use opentelemetry_sdk::error::OTelSdkError;
use prometheus::{Encoder as _, Registry, TextEncoder};
use tokio::{net::TcpListener, time::sleep};

/// The metrics of a process, for Prometheus to ask for.
#[derive(Clone)]
pub struct Metrics(Registry);

/// A metric has no form as text.
#[derive(Debug, thiserror::Error)]
#[error("the metrics cannot be written: {0}")]
pub struct Unreadable(String);

/// Connections at a time. Further ones wait.
const CONNECTIONS_MAX: usize = 16;
/// How long the head of a request may take, and a connection may be idle.
const HEAD_MAX: Duration = Duration::from_secs(5);
/// After a connection could not be accepted, as when there are no files left.
const PAUSE: Duration = Duration::from_millis(100);

impl Metrics {
    /// No metrics, and what reads them from a provider.
    pub(super) fn new() -> Result<(Self, PrometheusExporter), OTelSdkError> {
        let registry = Registry::new();
        let reader = opentelemetry_prometheus::exporter().with_registry(registry.clone()).build()?;
        Ok((Self(registry), reader))
    }

    /// All of them now, in Prometheus' text format.
    ///
    /// # Errors
    /// A metric has no form there.
    pub fn text(&self) -> Result<String, Unreadable> {
        let mut text = Vec::new();
        let encoded = TextEncoder::new().encode(&self.0.gather(), &mut text);
        encoded.map_err(|error| Unreadable(error.to_string()))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Answers `GET /metrics` on that socket for ever, to whoever can reach it: they are in plain text, and nobody is asked
    /// who it is.
    ///
    /// # Cancel safety
    /// Cancelled, it stops.
    pub async fn serve(self, listener: TcpListener) {
        let mut connections = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                    Ok((stream, _)) => connections.push(self.answer(TokioIo::new(stream))),
                    Err(error) => {
                        tracing::warn!(target: "qmesh::runtime", %error, "no connection for metrics");
                        sleep(PAUSE).await;
                    }
                },
                Some(()) = connections.next() => {}
            }
        }
    }

    async fn answer(&self, stream: TokioIo<tokio::net::TcpStream>) {
        let respond = |request| std::future::ready(Ok::<_, Infallible>(self.respond(&request)));
        let mut http = http1::Builder::new();
        let connection = http
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_MAX)
            .serve_connection(stream, service_fn(respond));
        if let Err(error) = connection.await {
            tracing::debug!(target: "qmesh::runtime", %error, "a connection for metrics broke");
        }
    }

    fn respond(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (status, text) = match (request.method(), request.uri().path()) {
            (&Method::GET, "/metrics") => match self.text() {
                Ok(text) => (StatusCode::OK, text),
                Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
            },
            (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "GET alone\n".to_owned()),
            _ => (StatusCode::NOT_FOUND, "see /metrics\n".to_owned()),
        };
        let is_text = status == StatusCode::OK;
        let mut response = Response::new(Full::new(text.into()));
        *response.status_mut() = status;
        let kind = if is_text { prometheus::TEXT_FORMAT } else { "text/plain; charset=utf-8" };
        response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
        response
    }
}

// === impl Metrics ===

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
