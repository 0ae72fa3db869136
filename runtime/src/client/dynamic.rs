//! Calls without a contract: a method by its name, arguments and answer as JSON. For tools.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::{
    client::{CallOptions, Route, RouteSpec, engine::Journey, options::Ticket},
    codec::Codec,
    failure::{CallError, Failure, Reason},
    node::NodeInner,
    service::{Conditions, Endpoint, RawReply},
    wire::{frame::status, messages::OpenMethod},
};

/// How a call without a contract fails; the service's own error is JSON too.
pub type DynamicError = CallError<ServiceError>;

/// The error of a service, as JSON.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the service answered with an error: {0}")]
pub struct ServiceError(pub Value);

/// Calls a method by name.
pub(crate) async fn call_json(
    node: &Arc<NodeInner>,
    service: &str,
    method: &str,
    arguments: &Value,
    timeout: Duration,
) -> Result<Value, DynamicError> {
    let answer = raw_call(node, service, method, arguments, timeout).await;
    let raw = answer.map_err(|failure| CallError::Failed(failure.of(service, method)))?;
    let value: Value = Codec::Json.decode(&raw.body).map_err(|error| {
        let detail = format!("the service ran, but its answer is no JSON: {error}");
        CallError::Failed(Failure::unknown(Reason::BadReply, detail).of(service, method))
    })?;
    if raw.status == status::VALUE { Ok(value) } else { Err(CallError::Service(ServiceError(value))) }
}

async fn raw_call(
    node: &Arc<NodeInner>,
    service: &str,
    method: &str,
    arguments: &Value,
    timeout: Duration,
) -> Result<RawReply, Failure> {
    let encoded = Codec::Json.encode(arguments)?;
    let options = CallOptions { timeout: Some(timeout), ..CallOptions::default() };
    let mut ticket = options.ticket(0, node.config(), Instant::now())?;
    if let Some(local) = node.service(service) {
        return call_local(&*local, method, &encoded, &mut ticket).await;
    }
    let spec = RouteSpec {
        service: service.to_owned(),
        codec: Codec::Json,
        methods: vec![OpenMethod { name: method.to_owned(), signature: String::new() }],
        // Who knows no contract goes by the service's word.
        idempotent: vec![true],
    };
    let config = node.config();
    let route = Arc::new(Route::new(spec, config.retries_per_second, config.retry_share));
    Journey::new(Arc::clone(node), route, ticket).call_or_send(&encoded).await
}

async fn call_local(
    local: &dyn Endpoint,
    method: &str,
    arguments: &[u8],
    ticket: &mut Ticket,
) -> Result<RawReply, Failure> {
    let number = local.methods().iter().position(|known| known.name == method);
    let Some(number) = number else {
        let known: Vec<_> = local.methods().iter().map(|method| method.name).collect();
        let detail = format!("{} has no method `{method}`; it has {}", local.name(), known.join(", "));
        return Err(Failure::not_executed(Reason::UnknownMethod, detail));
    };
    let late = |_| Failure::unknown(Reason::DeadlineExceeded, "no answer within the call's time");
    let deadline = ticket.terms.deadline;
    let conditions = Conditions::call(deadline, ticket.head());
    timeout_at(deadline, local.call_single(Codec::Json, number, arguments, conditions)).await.map_err(late)?
}
