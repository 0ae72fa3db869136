//! Calls without a contract: a method by its name, arguments and answer as JSON. For tools.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::time::Instant;

use crate::{
    channel::open,
    client::{CallOptions, Route, RouteSpec, engine::Journey, options::Ticket},
    codec::Codec,
    control_api::MethodInfo,
    failure::{CallError, Failure, Reason},
    node::NodeInner,
    service::{Caller, RawReply},
    telemetry::{self, Called, Recorded, Shape, Trace, Unkept},
    wire::{
        frame::status,
        messages::{OpenMethod, OpenedMethod},
    },
};

/// How a call without a contract fails; the service's own error is JSON too.
pub type DynamicError = CallError<ServiceError>;

/// The error of a service, as JSON.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the service answered with an error: {0}")]
pub struct ServiceError(pub Value);

/// The methods of a service, as one of its endpoints describes them.
pub(crate) async fn methods(
    node: &Arc<NodeInner>,
    service: &str,
    timeout: Duration,
) -> Result<Vec<MethodInfo>, Failure> {
    let described = match node.service(service) {
        Some(local) => local.methods().iter().map(open::described).collect(),
        None => {
            let ticket = ticket(node, timeout)?;
            let own = journey(node, None, (service, Vec::new()), ticket).reach_own_elsewhere().await?;
            own.open.opened.methods
        }
    };
    let info = |method: OpenedMethod| MethodInfo {
        service: service.to_owned(),
        name: method.name,
        signature: method.signature,
        one_way: method.one_way,
        idempotent: method.idempotent,
        upload: method.upload,
        download: method.download,
    };
    Ok(described.into_iter().map(info).collect())
}

/// The ticket of a call that may take so long, of the first method that is asked for.
///
/// # Errors
/// It cannot be made: *not sent*.
pub(crate) fn ticket(node: &NodeInner, timeout: Duration) -> Result<Ticket, Failure> {
    let options = CallOptions { timeout: Some(timeout), ..CallOptions::NONE };
    options.ticket(0, node.config(), Instant::now())
}

/// The way of a call for somebody who knows no contract: this node, or the command line that asks it.
pub(crate) fn journey(
    node: &Arc<NodeInner>,
    guest: Option<Caller>,
    (service, methods): (&str, Vec<OpenMethod>),
    ticket: Ticket,
) -> Journey {
    let spec = RouteSpec {
        service: service.to_owned(),
        codec: Codec::Json,
        // Who knows no contract goes by the service's word.
        idempotent: vec![true; methods.len()],
        methods,
        guest,
    };
    let config = node.config();
    let route = Arc::new(Route::new(spec, config.retries_per_second, config.retry_share));
    Journey::new(Arc::clone(node), route, ticket)
}

/// A call of a method by name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JsonCall<'a> {
    pub(crate) service: &'a str,
    pub(crate) method: &'a str,
    pub(crate) arguments: &'a Value,
    pub(crate) timeout: Duration,
}

/// Calls a method by name, for this node itself or for the command line that asks it to, whose trace it is then.
pub(crate) async fn call_json(
    node: &Arc<NodeInner>,
    guest: Option<Caller>,
    call: JsonCall<'_>,
    asked: Trace,
) -> Result<Value, DynamicError> {
    let JsonCall { service, method, .. } = call;
    let (telemetry, target) = (node.telemetry(), (service, method));
    let side = telemetry.others().map(|others| (others, 0));
    let (trace, recorded) = telemetry::begin_below(telemetry, asked, target, side);
    let seen = telemetry.watched().and_then(|watch| {
        let target = telemetry::Target { service, method, guest: guest.as_ref() };
        watch.call(target, || trace.clone(), || telemetry::shown(call.arguments))
    });
    let recorded = recorded.map(|recorded| match &guest {
        Some(guest) => recorded.asked_by(guest),
        None => recorded,
    });
    let recorded = Recorded::seen(recorded, seen.clone());
    let since = Instant::now();
    let answer = raw_call(node, guest, call, (trace, seen)).await;
    if let Err(failure) = &answer
        && !recorded.as_ref().is_some_and(Recorded::has_span)
    {
        let (shape, is_served, peer) = (Shape::Call, false, failure.endpoint());
        telemetry.failed(Unkept { method: target, shape, is_served, since: Some(since), peer, failure });
    }
    if let Some(recorded) = recorded {
        recorded.end(&answer.as_ref().map(|raw| raw.as_result()).map_err(Failure::clone));
    }
    let raw = answer.map_err(|failure| CallError::Failed(failure.of(service, method)))?;
    let value: Value = Codec::Json.decode(&raw.body).map_err(|error| {
        let detail = format!("the service ran, but its answer is no JSON: {error}");
        CallError::Failed(Failure::unknown(Reason::BadReply, detail).of(service, method))
    })?;
    if raw.status == status::VALUE { Ok(value) } else { Err(CallError::Service(ServiceError(value))) }
}

async fn raw_call(
    node: &Arc<NodeInner>,
    guest: Option<Caller>,
    JsonCall { service, method, arguments, timeout }: JsonCall<'_>,
    (trace, seen): (Trace, Option<Arc<Called>>),
) -> Result<RawReply, Failure> {
    let encoded = Codec::Json.encode(arguments)?;
    let ticket = ticket(node, timeout)?.traced(trace).seen(seen);
    let methods = vec![OpenMethod { name: method.to_owned(), signature: String::new() }];
    journey(node, guest, (service, methods), ticket).call_or_send(&encoded).await
}
