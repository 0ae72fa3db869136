//! What programs install so that their telemetry leaves them: providers that the variables `OTEL_*` describe, and their end.
//!
//! The variables are handed over: the library reads no environment. The SDK, once it is asked for, reads what is left:
//! `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_BSP_*`, `OTEL_SPAN_*_LIMIT`, `OTEL_METRIC_EXPORT_*`, and of `OTEL_EXPORTER_OTLP_*` the
//! endpoints, headers, timeouts and compression.

use std::{collections::BTreeMap, fmt};

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanKind, TraceId},
};
use opentelemetry_otlp::{MetricExporter, SpanExporter};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkError,
    metrics::SdkMeterProvider,
    trace::{Sampler, SamplingResult, SdkTracerProvider, ShouldSample},
};

use crate::telemetry::{Sampling, Telemetry, scrape::Metrics, tracer::Decided};

/// The telemetry of a process on its way out. [`shutdown`](Self::shutdown) is the end of it.
///
/// | variable | is |
/// |---|---|
/// | `OTEL_SDK_DISABLED` | `true`: nothing is sent. [`Metrics`] are there all the same, as they were asked for otherwise |
/// | `OTEL_TRACES_EXPORTER`, `OTEL_METRICS_EXPORTER` | `otlp` or `none`; without it, `otlp` if an endpoint is named, else `none` |
/// | `OTEL_EXPORTER_OTLP_ENDPOINT`, and `_TRACES_`, `_METRICS_` | where to; `http://` alone, so a collector on this host or a network that is trusted |
/// | `OTEL_EXPORTER_OTLP_PROTOCOL`, and those | `grpc`, the only one there is, and the default here |
/// | `OTEL_TRACES_SAMPLER`, `_ARG` | `parentbased_always_on` (the default), `_always_off`, `_traceidratio`. Those without `parentbased_` are the same here: a call follows its caller's decision |
/// | `OTEL_PROPAGATORS` | nodes always hand on `tracecontext` and `baggage`; others are refused |
/// | `OTEL_SERVICE_NAME` | the name of the program |
///
/// What the SDK reads beside them: `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_BSP_*`, `OTEL_SPAN_*_LIMIT`,
/// `OTEL_METRIC_EXPORT_INTERVAL`, `OTEL_EXPORTER_OTLP_HEADERS`, `_TIMEOUT` and `_COMPRESSION` (`gzip`). Logs are `tracing`'s.
#[derive(Clone)]
#[must_use = "telemetry is lost that is not shut down"]
pub struct Export {
    traces: Option<(SdkTracerProvider, Sampling)>,
    meters: Option<SdkMeterProvider>,
    metrics: Option<Metrics>,
}

/// Why telemetry cannot leave, or did not all leave.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A variable says what there is not.
    #[error("{variable}={value}: there is {known}")]
    Variable {
        /// Its name.
        variable: String,
        /// What it says.
        value: String,
        /// What it may say.
        known: &'static str,
    },
    /// The exporter cannot be made.
    #[error("telemetry cannot be exported: {0}")]
    Exporter(String),
    /// The last of it did not leave.
    #[error("not all telemetry left: {0}")]
    Lost(String),
}

/// The variables.
struct Variables(BTreeMap<String, String>);

impl Export {
    /// What the variables say, for a program of that name. `metrics` asks for [`Metrics`] as well.
    ///
    /// It begins tasks on the current tokio runtime, which must live until the end.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn new(
        variables: impl IntoIterator<Item = (String, String)>,
        program: &str,
        metrics: bool,
    ) -> Result<Self, ExportError> {
        let variables = Variables(variables.into_iter().filter(|(_, value)| !value.is_empty()).collect());
        let is_on = !variables.is("OTEL_SDK_DISABLED", "true");
        variables.check_propagators()?;
        let traces = is_on && variables.exports("TRACES")?;
        let pushes = is_on && variables.exports("METRICS")?;
        let mut resource = Resource::builder();
        if variables.get("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name(program.to_owned());
        }
        let resource = resource.build();
        let (metrics, scraped) = metrics.then(Metrics::new).transpose().map_err(exporter)?.unzip();
        let mut export = Self { traces: None, meters: None, metrics };
        if traces {
            let sampling = variables.sampling()?;
            let spans = SpanExporter::builder().with_tonic().build().map_err(exporter)?;
            let provider = SdkTracerProvider::builder()
                .with_resource(resource.clone())
                .with_sampler(Asked(Sampler::ParentBased(Box::new(sampler(sampling)))))
                .with_batch_exporter(spans);
            export.traces = Some((provider.build(), sampling));
        }
        if pushes || scraped.is_some() {
            let mut provider = SdkMeterProvider::builder().with_resource(resource);
            if pushes {
                let pushed = MetricExporter::builder().with_tonic().build().map_err(exporter)?;
                provider = provider.with_periodic_exporter(pushed);
            }
            if let Some(scraped) = scraped {
                provider = provider.with_reader(scraped);
            }
            export.meters = Some(provider.build());
        }
        Ok(export)
    }

    /// Nothing leaves.
    pub const fn none() -> Self {
        Self { traces: None, meters: None, metrics: None }
    }

    /// For a node or a control client of the process.
    pub fn telemetry(&self) -> Telemetry {
        let mut telemetry = Telemetry::none();
        if let Some((provider, sampling)) = &self.traces {
            telemetry = telemetry.traces(provider, *sampling);
        }
        if let Some(provider) = &self.meters {
            telemetry = telemetry.metrics(provider);
        }
        telemetry
    }

    /// What Prometheus asks for, if it was asked for.
    #[must_use]
    pub const fn metrics(&self) -> Option<&Metrics> {
        self.metrics.as_ref()
    }

    /// Sends what there is and ends. It blocks its thread for up to some seconds, and the tokio runtime has to run meanwhile.
    ///
    /// # Errors
    /// [`ExportError::Lost`].
    pub fn shutdown(self) -> Result<(), ExportError> {
        let traces = self.traces.map_or(Ok(()), |(provider, _)| provider.shutdown());
        let meters = self.meters.map_or(Ok(()), |provider| provider.shutdown());
        traces.and(meters).or_else(|error| match error {
            OTelSdkError::AlreadyShutdown => Ok(()),
            error => Err(ExportError::Lost(error.to_string())),
        })
    }
}

fn exporter(error: impl fmt::Display) -> ExportError {
    ExportError::Exporter(error.to_string())
}

fn sampler(sampling: Sampling) -> Sampler {
    match sampling {
        Sampling::Always => Sampler::AlwaysOn,
        Sampling::Never => Sampler::AlwaysOff,
        Sampling::Ratio(share) => Sampler::TraceIdRatioBased(share),
    }
}

// === impl Variables ===

impl Variables {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim())
    }

    fn is(&self, name: &str, expected: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case(expected))
    }

    fn unknown<T>(&self, variable: &str, known: &'static str) -> Result<T, ExportError> {
        let value = self.get(variable).unwrap_or_default().to_owned();
        Err(ExportError::Variable { variable: variable.to_owned(), value, known })
    }

    /// Whether a signal leaves by OTLP.
    fn exports(&self, signal: &str) -> Result<bool, ExportError> {
        let chosen = format!("OTEL_{signal}_EXPORTER");
        let of_signal = |what: &str| format!("OTEL_EXPORTER_OTLP_{signal}_{what}");
        let has_endpoint = [of_signal("ENDPOINT"), "OTEL_EXPORTER_OTLP_ENDPOINT".to_owned()]
            .iter()
            .any(|name| self.get(name).is_some());
        let exports = match self.get(&chosen) {
            None => has_endpoint,
            Some("otlp") => true,
            Some("none") => false,
            Some(_) => return self.unknown(&chosen, "otlp and none"),
        };
        for name in [of_signal("PROTOCOL"), "OTEL_EXPORTER_OTLP_PROTOCOL".to_owned()] {
            if exports && self.get(&name).is_some_and(|protocol| protocol != "grpc") {
                return self.unknown(&name, "grpc");
            }
        }
        Ok(exports)
    }

    fn check_propagators(&self) -> Result<(), ExportError> {
        let name = "OTEL_PROPAGATORS";
        let known = ["tracecontext", "baggage"];
        match self.get(name) {
            Some(asked) if asked.split(',').any(|asked| !known.contains(&asked.trim())) => {
                self.unknown(name, "tracecontext,baggage, always both")
            }
            _ => Ok(()),
        }
    }

    fn sampling(&self) -> Result<Sampling, ExportError> {
        let sampler = self.get("OTEL_TRACES_SAMPLER").unwrap_or("always_on");
        match sampler.strip_prefix("parentbased_").unwrap_or(sampler) {
            "always_on" => Ok(Sampling::Always),
            "always_off" => Ok(Sampling::Never),
            "traceidratio" => {
                let share = self.get("OTEL_TRACES_SAMPLER_ARG").unwrap_or("1").parse();
                let share = share.ok().filter(|share| (0.0..=1.0).contains(share));
                share.map_or_else(
                    || self.unknown("OTEL_TRACES_SAMPLER_ARG", "a share from 0 to 1"),
                    |share| Ok(Sampling::Ratio(share)),
                )
            }
            _ => self.unknown(
                "OTEL_TRACES_SAMPLER",
                "always_on, always_off and traceidratio, with and without parentbased_",
            ),
        }
    }
}

/// Samples what a node asks for, which has decided; and all else as told.
#[derive(Clone, Debug)]
struct Asked(Sampler);

impl ShouldSample for Asked {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        if parent.is_some_and(|parent| parent.get::<Decided>().is_some()) {
            return Sampler::AlwaysOn.should_sample(parent, trace, name, kind, attributes, links);
        }
        self.0.should_sample(parent, trace, name, kind, attributes, links)
    }
}

// === impl Export ===

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sampling = self.traces.as_ref().map(|(_, sampling)| sampling);
        f.debug_struct("Export").field("traces", &sampling).field("meters", &self.meters.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::trace::SamplingDecision;

    use super::*;

    fn variables<const N: usize>(said: [(&str, &str); N]) -> Variables {
        Variables(said.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }

    #[test]
    fn a_signal_leaves_if_it_is_told_where_to_or_asked_for() {
        let exports = |said: &[(&str, &str)], signal| {
            let said = said.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            Variables(said).exports(signal)
        };
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317");
        assert!(!exports(&[], "TRACES").unwrap());
        assert!(exports(&[endpoint], "TRACES").unwrap() && exports(&[endpoint], "METRICS").unwrap());
        assert!(!exports(&[endpoint, ("OTEL_METRICS_EXPORTER", "none")], "METRICS").unwrap());
        let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://localhost:4317");
        assert!(exports(&[traces], "TRACES").unwrap() && !exports(&[traces], "METRICS").unwrap());
        assert!(exports(&[("OTEL_TRACES_EXPORTER", "otlp")], "TRACES").unwrap());
        assert!(exports(&[("OTEL_TRACES_EXPORTER", "console")], "TRACES").is_err());
        assert!(exports(&[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")], "TRACES").is_err());
        assert!(exports(&[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], "TRACES").unwrap());
    }

    #[test]
    fn samplers_are_understood() {
        let sampling = |sampler, share| {
            variables([("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", share)]).sampling()
        };
        assert_eq!(variables([]).sampling().unwrap(), Sampling::Always);
        assert_eq!(sampling("parentbased_always_off", "").unwrap(), Sampling::Never);
        for name in ["traceidratio", "parentbased_traceidratio"] {
            assert_eq!(sampling(name, "0.25").unwrap(), Sampling::Ratio(0.25));
            assert!(sampling(name, "2").is_err() && sampling(name, "few").is_err());
        }
        assert!(sampling("jaeger_remote", "").is_err());
    }

    #[test]
    fn what_is_asked_for_is_recorded_whatever_the_sampler_says() {
        let asked = Asked(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)));
        let sample = |parent: Context| {
            asked.should_sample(Some(&parent), 7.into(), "", &SpanKind::Client, &[], &[]).decision
        };
        assert_eq!(sample(Context::new()), SamplingDecision::Drop);
        assert_eq!(sample(Context::new().with_value(Decided)), SamplingDecision::RecordAndSample);
    }

    #[test]
    fn propagators_that_there_are_not_are_refused() {
        assert!(variables([("OTEL_PROPAGATORS", "tracecontext, baggage")]).check_propagators().is_ok());
        assert!(variables([("OTEL_PROPAGATORS", "b3")]).check_propagators().is_err());
    }
}
