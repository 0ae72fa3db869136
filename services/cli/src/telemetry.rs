//! The telemetry of the process on its way out, as the variables `OTEL_*` and `--metrics` say.

use qmesh::{Export, Telemetry};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    address::HttpAddress,
    exit::{Exit, Problem},
};

/// What is told of, and by whom. It ends with [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub(crate) struct Exporting {
    export: Export,
    /// Answers for `/metrics`, there.
    answering: JoinSet<()>,
    address: Option<HttpAddress>,
}

impl Exporting {
    /// Begins, within a tokio runtime.
    ///
    /// # Errors
    /// A variable says what there is not, or the address is taken.
    pub(crate) async fn begin(metrics: Option<HttpAddress>) -> anyhow::Result<Self> {
        // What is no Unicode is none of OpenTelemetry's.
        let variables = std::env::vars_os();
        let variables =
            variables.filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()));
        let export = Export::new(variables, "qmesh", metrics.is_some());
        let export = export.map_err(|error| Problem::usage(error.to_string()))?;
        let (mut answering, mut bound) = (JoinSet::new(), None);
        if let Some((HttpAddress(address), metrics)) = metrics.zip(export.metrics()) {
            let listener = TcpListener::bind(address).await;
            let listener = listener.map_err(|error| {
                Problem::new(Exit::Failed, format!("cannot listen on {address} for metrics: {error}"))
                    .hint("choose another address; --metrics 0 lets the system choose a port")
            })?;
            bound = Some(HttpAddress(listener.local_addr()?));
            answering.spawn(metrics.clone().serve(listener));
        }
        Ok(Self { export, answering, address: bound })
    }

    /// Nothing is told.
    pub(crate) fn none() -> Self {
        Self { export: Export::none(), answering: JoinSet::new(), address: None }
    }

    /// Where it answers for metrics, the port that the system chose included.
    pub(crate) const fn address(&self) -> Option<HttpAddress> {
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
