//! `/metrics`: what Prometheus asks for, as text over HTTP.

use std::{fmt, future::ready};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
};
use opentelemetry_prometheus::PrometheusExporter;
use opentelemetry_sdk::error::OTelSdkError;
use prometheus::{Encoder as _, Registry, TextEncoder};
use tokio::net::TcpListener;

use crate::http;

/// The metrics of a process, for Prometheus to ask for.
#[derive(Clone)]
pub struct Metrics(Registry);

/// A metric has no form as text.
#[derive(Debug, thiserror::Error)]
#[error("the metrics cannot be written: {0}")]
pub struct Unreadable(String);

/// Connections at a time. Further ones wait.
const CONNECTIONS_MAX: usize = 16;

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
        http::serve(&listener, CONNECTIONS_MAX, |request| ready(self.respond(&request))).await;
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
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }
}

// === impl Metrics ===

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
