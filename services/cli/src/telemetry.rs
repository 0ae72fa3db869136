//! The telemetry of the process on its way out, as the variables `OTEL_*` and `--metrics` say.

use std::{net::SocketAddr, str::FromStr};

use anyhow::Context as _;
use qmesh::{Export, Telemetry};
use tokio::{net::TcpListener, task::JoinSet};

use crate::exit::Problem;

/// Where metrics are asked for: an address, or a port of this host alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MetricsAddress(SocketAddr);

/// What is told of, and by whom. It ends with [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub(crate) struct Exporting {
    export: Export,
    /// Answers for `/metrics`, there.
    answering: JoinSet<()>,
    address: Option<MetricsAddress>,
}

impl Exporting {
    /// Begins, within a tokio runtime.
    ///
    /// # Errors
    /// A variable says what there is not, or the address is taken.
    pub(crate) async fn begin(metrics: Option<MetricsAddress>) -> anyhow::Result<Self> {
        // What is no Unicode is none of OpenTelemetry's.
        let variables = std::env::vars_os();
        let variables =
            variables.filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()));
        let export = Export::new(variables, "qmesh", metrics.is_some());
        let export = export.map_err(|error| Problem::usage(error.to_string()))?;
        let (mut answering, mut bound) = (JoinSet::new(), None);
        if let Some((MetricsAddress(address), metrics)) = metrics.zip(export.metrics()) {
            let listener = TcpListener::bind(address).await;
            let listener = listener.with_context(|| format!("cannot listen on {address} for metrics"))?;
            bound = Some(MetricsAddress(listener.local_addr()?));
            answering.spawn(metrics.clone().serve(listener));
        }
        Ok(Self { export, answering, address: bound })
    }

    /// Nothing is told.
    pub(crate) fn none() -> Self {
        Self { export: Export::none(), answering: JoinSet::new(), address: None }
    }

    /// Where it answers for metrics, the port that the system chose included.
    pub(crate) const fn address(&self) -> Option<MetricsAddress> {
        self.address
    }

    /// For a node of the process, or a client.
    pub(crate) fn telemetry(&self) -> Telemetry {
        self.export.telemetry()
    }

    /// Tells the last of it. It blocks; the tokio runtime must run on.
    pub(crate) fn shutdown(self) {
        drop(self.answering);
        if let Err(error) = self.export.shutdown() {
            tracing::warn!(target: "qmesh::cli", %error, "telemetry was lost");
        }
    }
}

// === impl MetricsAddress ===

impl MetricsAddress {
    /// What a person, or Prometheus, asks.
    pub(crate) fn url(self) -> String {
        format!("http://{}/metrics", self.0)
    }
}

impl FromStr for MetricsAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let here = text.parse().map(|port: u16| SocketAddr::from(([127, 0, 0, 1], port)));
        here.or_else(|_no_port| text.parse())
            .map(Self)
            .map_err(|_neither| "write a port, for example 9464, or ADDRESS:PORT")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_for_this_host_alone_unless_an_address_is_named() {
        let parsed = |text: &str| text.parse::<MetricsAddress>().map(|address| address.0.to_string());
        assert_eq!(parsed("9464"), Ok("127.0.0.1:9464".to_owned()));
        assert_eq!(parsed("0.0.0.0:9464"), Ok("0.0.0.0:9464".to_owned()));
        for wrong in ["", "x", "localhost:9464", "70000"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
