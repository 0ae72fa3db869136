//! `qmesh call`: one call of any method of any service.

mod input;
mod streams;

use std::{process::ExitCode, str::FromStr, time::Duration};

use heck::ToSnakeCase as _;
use jiff::SignedDuration;
use qmesh::{CallError, ControlClient, ControlError, MethodInfo, ServiceError, StreamTimes, Telemetry};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    commands::services::known_instead,
    exit::{Exit, Problem},
    find::Target,
    output::{self, OutputFormat},
    text,
};

/// The call.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  qmesh call echo.Echo/Say '{\"text\":\"hello\"}'
  qmesh call clock.Clock/now
  echo '{\"text\":\"hello\"}' | qmesh call echo.Echo/say -
  qmesh call clock.Clock/ticks '{\"every_ms\":1000}'
  printf '%s\\n' '\"one\"' '\"two\"' | qmesh call echo.Echo/repeat

The answer goes to standard output as JSON. A method that takes a stream is sent standard input, one JSON value
per line; the end of the input is the end of the stream. A stream that comes back is printed as it comes, one JSON
value per line; it is complete if the exit code is 0, unless whoever read it went away first. `qmesh services SERVICE`
shows which methods have streams. `qmesh help` lists the exit codes.")]
pub(crate) struct Args {
    /// What to call, for example echo.Echo/Say; the method as in the trait or in CamelCase.
    #[arg(value_name = "SERVICE/METHOD")]
    method: Method,
    /// The arguments, a JSON object by parameter name, without a stream; `-` reads it from standard input.
    #[arg(default_value = "{}", value_name = "JSON")]
    arguments: String,
    /// How long the answer may take, in seconds or for example 500ms or 1m30s; streams take as long as they take.
    #[arg(long, default_value = "10s", value_parser = text::patience, value_name = "DURATION")]
    timeout: Duration,
    /// How long its streams may be still, in seconds or for example 500ms; without it there is no limit. A call that ends for
    /// it has the exit code of an unknown outcome.
    #[arg(long, value_parser = idle, value_name = "DURATION")]
    idle: Option<Duration>,
    #[command(flatten)]
    target: Target,
}

/// What to call.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Method {
    service: String,
    name: String,
}

/// Calls and prints the answer.
///
/// # Errors
/// A [`Problem`] with the exit code of what became of the call.
pub(crate) async fn run(args: Args, telemetry: Telemetry, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let typed = (args.arguments != "-").then(|| arguments(&args.arguments)).transpose()?;
    let mut client = args.target.connect().await?;
    client.set_telemetry(telemetry);
    say_when_waiting(&mut client, &args).await?;
    let Method { service, name } = &args.method;
    let asked = Instant::now();
    let known = client.methods(service, args.timeout).await?.map_err(Problem::from)?;
    let patience = args.timeout.saturating_sub(asked.elapsed());
    // One that the service does not have is for the service to refuse.
    let method = known.into_iter().find(|known| known.name == *name);
    let arguments = match typed {
        Some(typed) => typed,
        None => arguments(&input::arguments(method.as_ref()).await?)?,
    };
    let called = match method {
        Some(method) if method.upload || method.download => {
            let times = StreamTimes { answer: patience, idle: args.idle };
            streams::run(&client, &method, &arguments, times, output).await
        }
        known => {
            check_idle(args.idle, known.as_ref())?;
            let answer = client.call(service, name, arguments, patience).await;
            answered(answer, &args.method, output)
        }
    };
    let trace = client.last_trace();
    client.close().await;
    called.map(|()| ExitCode::SUCCESS).map_err(|error| traced(error, trace))
}

/// Names the trace of a call that failed.
fn traced(error: anyhow::Error, trace: Option<String>) -> anyhow::Error {
    match (error.downcast::<Problem>(), trace) {
        (Ok(problem), Some(trace)) => problem.traced(&trace).into(),
        (Ok(problem), None) => problem.into(),
        (Err(error), _) => error,
    }
}

/// An idle limit is one of streams.
fn check_idle(idle: Option<Duration>, method: Option<&MethodInfo>) -> anyhow::Result<()> {
    match (idle, method) {
        (Some(_), Some(method)) => {
            let what = format!("{}/{} has no streams that could be still", method.service, method.name);
            Err(Problem::usage(what).hint("--timeout says how long the answer may take").into())
        }
        _ => Ok(()),
    }
}

fn answered(
    answer: Result<Result<Value, CallError<ServiceError>>, ControlError>,
    method: &Method,
    output: OutputFormat,
) -> anyhow::Result<()> {
    let called = answer.map_err(|error| {
        Problem::new(Exit::Unknown, error.to_string())
            .hint("the call may have run: repeat it only if running it twice does no harm")
    })?;
    print_answer(&called.map_err(|error| problem(&method.service, &method.name, error))?, output)
}

fn print_answer(answer: &Value, output: OutputFormat) -> anyhow::Result<()> {
    match output {
        OutputFormat::Json => output::json(answer)?,
        OutputFormat::Table => output::line(serde_json::to_string_pretty(answer)?)?,
    }
    Ok(())
}

/// A call waits for an endpoint until its time is over: a person who mistyped the name should know.
async fn say_when_waiting(client: &mut ControlClient, args: &Args) -> anyhow::Result<()> {
    let service = &args.method.service;
    if let Some(known) = known_instead(client, service).await? {
        let patience = SignedDuration::try_from(args.timeout)?;
        let is_alone = client.nodes().await?.len() == 1;
        let alone =
            if is_alone { format!("; {} has found no other node", client.node()) } else { String::new() };
        eprintln!("waiting up to {patience:#} for a node that serves {service}; known are {known}{alone}");
    }
    Ok(())
}

fn problem(service: &str, name: &str, error: CallError<ServiceError>) -> Problem {
    match error {
        CallError::Failed(failure) => failure.into(),
        CallError::Service(ServiceError(error)) => {
            let what = format!("{service}/{name} answered with its own error: {error}");
            Problem::new(Exit::ServiceError, what).facts(json!({ "service_error": error }))
        }
    }
}

fn arguments(text: &str) -> anyhow::Result<Value> {
    let hint = r#"write an object by parameter name, for example '{"text":"hello"}'"#;
    match serde_json::from_str(text) {
        Ok(arguments @ Value::Object(_)) => Ok(arguments),
        Ok(other) => {
            Err(Problem::usage(format!("the arguments are no JSON object: {other}")).hint(hint).into())
        }
        Err(error) => Err(Problem::usage(format!("the arguments are no JSON: {error}")).hint(hint).into()),
    }
}

fn idle(text: &str) -> Result<Duration, String> {
    let limit = text::patience(text)?;
    if limit.is_zero() { Err("streams are still for a moment at least".to_owned()) } else { Ok(limit) }
}

// === impl Method ===

impl FromStr for Method {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.rsplit_once('/') {
            Some((service, method)) if is_name(service) && is_name(method) => {
                // Methods are Rust's, which has no capitals in them; other systems write `Say`.
                let capitals = method.contains(|c: char| c.is_ascii_uppercase());
                let name = if capitals { method.to_snake_case() } else { method.to_owned() };
                Ok(Self { service: service.to_owned(), name })
            }
            _ => Err("write SERVICE/METHOD, for example echo.Echo/Say"),
        }
    }
}

/// Segments of letters, digits and `_`, joined by dots.
fn is_name(text: &str) -> bool {
    let is_segment =
        |segment: &str| !segment.is_empty() && segment.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    text.split('.').all(is_segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_named_as_in_the_trait_or_in_camel_case() {
        for (text, name) in [
            ("echo.Echo/Say", "say"),
            ("echo.Echo/say", "say"),
            ("echo.Echo/WhoAmI", "who_am_i"),
            ("echo.Echo/whoAmI", "who_am_i"),
            ("echo.Echo/who_am_i", "who_am_i"),
            ("a.B/v2", "v2"),
        ] {
            assert_eq!(text.parse::<Method>().unwrap().name, name);
        }
        for wrong in
            ["echo.Echo", "echo.Echo/", "/say", "", "echo.Echo/Say/x", "echo..Echo/say", "echo.Echo/s y"]
        {
            assert!(wrong.parse::<Method>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_idle_limit_is_in_seconds_or_with_its_unit() {
        for (text, ms) in [("5", 5000), ("0.5", 500), ("500ms", 500), ("1m30s", 90_000)] {
            assert_eq!(idle(text).unwrap(), Duration::from_millis(ms), "{text}");
        }
        for wrong in ["", "0", "0s", "-5", "-5s", "soon", "inf", "NaN"] {
            assert!(idle(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn arguments_are_an_object() {
        assert_eq!(arguments("{}").unwrap(), json!({}));
        for wrong in ["", "hello", "[1]", "\"text\"", "{\"text\":}"] {
            assert!(arguments(wrong).is_err(), "{wrong}");
        }
    }
}
