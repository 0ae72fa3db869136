//! The control channel of a session: pings, the announcement that a node drains, and the questions of command lines.

use std::sync::Arc;

use futures_util::{StreamExt, stream::FuturesUnordered};
use prost::Message;
use qmesh_transport::ChannelWriter;

use crate::{
    client::{self, JsonCall},
    config::Limits,
    control_api::{self, Answer, Query},
    failure::CallError,
    node::{
        NodeInner, Peer,
        link::Link,
        questions::{self, QUESTIONS_MAX},
    },
    service::Caller,
    telemetry::Trace,
    wire::{
        frame::{self, FrameError, Frames, kind},
        messages::{CallHead, Control, Request, Response, control::Kind},
        outbox::Outbox,
    },
};

/// The largest question or answer in bytes: arguments or an answer, with what JSON adds around them.
pub(crate) const fn question_bytes_max(limits: &Limits) -> usize {
    limits.message_bytes_max + 64 * 1024
}

/// Runs the control channel until it ends; returns why. `peer` is none for a command line, which is no member.
pub(crate) async fn run(
    node: &Arc<NodeInner>,
    peer: Option<&Peer>,
    link: &Link,
    frames: &mut Frames,
    writer: &mut ChannelWriter,
) -> String {
    if peer.is_none() {
        // A question may carry the arguments of a call.
        frames.set_limit(question_bytes_max(&node.config().limits));
    }
    tokio::select! {
        biased;
        ended = read(node, peer, link, frames) => match ended {
            Ok(()) => "the peer closed the control channel".to_owned(),
            Err(error) => error.to_string(),
        },
        ended = link.control.write_to(writer) => match ended {
            Ok(()) => "the control channel was closed here".to_owned(),
            Err(error) => error.to_string(),
        },
    }
}

/// Tells the peer.
pub(crate) fn send(outbox: &Outbox, kind: Kind) {
    let message = Control { kind: Some(kind) };
    // Without the channel there is nobody to tell.
    let _ended = outbox.push(|buffer| {
        frame::put(buffer, kind::CONTROL, |buffer| message.encode_raw(buffer));
    });
}

async fn read(
    node: &Arc<NodeInner>,
    peer: Option<&Peer>,
    link: &Link,
    frames: &mut Frames,
) -> Result<(), FrameError> {
    let guest = Caller::proven(link.session().peer().clone());
    let mut answers = FuturesUnordered::new();
    loop {
        frames.rest();
        let frame = tokio::select! {
            biased;
            Some(response) = answers.next() => {
                send(&link.control, Kind::Response(response));
                continue;
            }
            frame = frames.first(), if answers.len() < QUESTIONS_MAX => frame?,
        };
        let Some((kind, payload)) = frame else { return Ok(()) };
        if kind != kind::CONTROL {
            return Err(FrameError::Unexpected(kind));
        }
        let message = Control::decode(payload).map_err(|_bad| FrameError::Malformed(kind))?;
        match message.kind {
            Some(Kind::Ping(number)) => send(&link.control, Kind::Pong(number)),
            Some(Kind::GoAway(_)) => {
                link.retire();
                peer.inspect(|peer| peer.drains());
                node.bump();
            }
            Some(Kind::Request(request)) if peer.is_none() => answers.push(answer(node, &guest, request)),
            // Members ask on channels of their own, and what a newer peer says beside this is for newer nodes.
            Some(Kind::Pong(_) | Kind::Request(_) | Kind::Response(_)) | None => {}
        }
        link.control.room().await;
    }
}

async fn answer(node: &Arc<NodeInner>, guest: &Caller, request: Request) -> Response {
    let answer = match serde_json::from_slice(&request.query) {
        Ok(query) => answer_to(node, guest, query).await,
        Err(error) => Answer::Unknown(error.to_string()),
    };
    let answer = questions::encode(&answer, question_bytes_max(&node.config().limits));
    Response { id: request.id, answer: answer.into() }
}

/// Answers a question of that guest.
pub(crate) async fn answer_to(node: &Arc<NodeInner>, guest: &Caller, query: Query) -> Answer {
    match query {
        Query::Methods { service, timeout_ms } => {
            match client::methods(node, &service, control_api::timeout(timeout_ms)).await {
                Ok(methods) => Answer::Methods(methods),
                Err(failure) => Answer::Failed(failure.of(&service, "")),
            }
        }
        Query::Call { service, method, arguments, timeout_ms, head } => {
            let timeout = control_api::timeout(timeout_ms);
            let json = JsonCall { service: &service, method: &method, arguments: &arguments, timeout };
            // What cannot be read is as if it had not been said.
            let mut head = CallHead::decode(&head[..]).unwrap_or_default();
            call(node, guest, json, Trace::take(&mut head)).await
        }
        Query::Of { node: other, query } => questions::of(node, &other, *query).await,
        Query::Everywhere { query } => Answer::Everywhere(questions::everywhere(node, &query).await),
        about => questions::answer(node, about).await,
    }
}

/// Calls a method for that guest, in a trace of its own.
pub(crate) async fn call(node: &Arc<NodeInner>, guest: &Caller, call: JsonCall<'_>, trace: Trace) -> Answer {
    match client::call_json(node, Some(guest.clone()), call, trace).await {
        Ok(value) => Answer::Value(value),
        Err(CallError::Service(error)) => Answer::ServiceError(error.0),
        Err(CallError::Failed(failure)) => Answer::Failed(failure),
    }
}
