//! A command line's view of a mesh: a client of one node's control channel, never a member.

mod diagnostics;
mod streams;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use prost::Message;
use qmesh_transport::{
    Address, BindError, ChannelWriter, CloseCode, DialError, Identity, IdentityError, QuicConfig,
    QuicEndpoint, Session,
};
use serde_json::Value;
use tokio::time::timeout;

pub use diagnostics::EventsAnswer;
pub use streams::{StreamAnswer, StreamTimes};

use crate::{
    channel::open,
    client::{DynamicError, ServiceError},
    config::Limits,
    control_api::{
        Answer, MethodInfo, NodeInfo, Query, ServiceInfo, SpanInfo, Tap, TapRequest, TraceFilter, TraceInfo,
        Traffic,
    },
    duration::millis,
    failure::{CallError, Failure, Reason},
    node::{
        control::question_bytes_max,
        hello::{self, HelloError, Introduced, Own},
    },
    random::Random,
    supervisor::ActorInfo,
    telemetry::{self, Keeping, Recorded, Shape, Telemetry, Trace},
    wire::{
        frame::{Frames, kind},
        messages::{CallHead, Control, Request, control::Kind},
    },
};

/// What an answer of that kind says; any other is given back.
macro_rules! told {
    ($kind:ident) => {
        |answer| match answer {
            Answer::$kind(told) => Ok(told),
            other => Err(Box::new(other)),
        }
    };
}

/// A connection to one node of a mesh, for questions about the mesh and calls through that node.
#[derive(Debug)]
pub struct ControlClient {
    session: Arc<dyn Session>,
    node: String,
    frames: Frames,
    writer: ChannelWriter,
    questions: u64,
    endpoint: QuicEndpoint,
    telemetry: Telemetry,
    /// Where ids of traces come from.
    random: Random,
    trace: Mutex<Option<String>>,
}

/// Why a question has no answer. The connection may be used again only after [`ControlError::NoAnswer`]'s kin: open a
/// new one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The identity cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// No socket.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The node cannot be reached, or refuses us.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The node does not want us.
    #[error("{0}")]
    Hello(String),
    /// The node is gone, or answered something else.
    #[error("{0} gave no answer: {1}")]
    NoAnswer(String, String),
}

/// How long a node may take to answer a question about itself.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Calls of one node that are shown at once, and how long all wait for one.
const TAPPED_AT_ONCE: u32 = 1000;
const TAP_PATIENCE_MAX: Duration = Duration::from_secs(1);
/// How long a goodbye takes to leave.
const GOODBYE: Duration = Duration::from_millis(5);

impl ControlClient {
    /// Connects to the node at `address`, as the client `name` of the identity.
    ///
    /// # Errors
    /// [`ControlError`]; nothing is left.
    pub async fn connect(address: &Address, identity: &Identity, name: &str) -> Result<Self, ControlError> {
        let credentials = identity.client_credentials(name)?;
        let endpoint = QuicEndpoint::client(credentials.clone(), QuicConfig::lan())?;
        let session = endpoint.dialer().dial(address, None).await?;
        let (incarnation, dial, timeout) = (0, 0, ANSWER_MAX);
        let own = Own { credentials: &credentials, incarnation, dial, gossip: None, timeout };
        let introduced = hello::introduce(own, Arc::clone(&session)).await;
        let Introduced { name: node, mut frames, writer, .. } =
            introduced.map_err(|error: HelloError| ControlError::Hello(error.to_string()))?;
        frames.set_limit(question_bytes_max(&Limits::default()));
        let telemetry = Telemetry::none();
        let (random, trace) = (Random::default(), Mutex::default());
        Ok(Self { session, node, frames, writer, questions: 0, endpoint, telemetry, random, trace })
    }

    /// Where the telemetry of its calls goes (default: nowhere).
    pub fn set_telemetry(&mut self, telemetry: Telemetry) {
        self.telemetry = telemetry;
    }

    /// The name of the node that answers.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The nodes of the mesh, by name.
    ///
    /// # Errors
    /// [`ControlError::NoAnswer`].
    pub async fn nodes(&mut self) -> Result<Vec<NodeInfo>, ControlError> {
        let answer = self.ask(&Query::Nodes, ANSWER_MAX).await?;
        told!(Nodes)(answer).map_err(|other| self.unexpected(&other))
    }

    /// The services of the mesh, by name.
    ///
    /// # Errors
    /// [`ControlError::NoAnswer`].
    pub async fn services(&mut self) -> Result<Vec<ServiceInfo>, ControlError> {
        let answer = self.ask(&Query::Services, ANSWER_MAX).await?;
        told!(Services)(answer).map_err(|other| self.unexpected(&other))
    }

    /// The node's supervision tree, by path.
    ///
    /// # Errors
    /// [`ControlError::NoAnswer`].
    pub async fn tree(&mut self) -> Result<Vec<ActorInfo>, ControlError> {
        let answer = self.ask(&Query::Tree, ANSWER_MAX).await?;
        told!(Tree)(answer).map_err(|other| self.unexpected(&other))
    }

    /// The supervision tree of another node of the mesh, which this node asks; by name or id.
    ///
    /// # Errors
    /// The outer error when this node gave no answer; the inner one when the other gave none, or there is none.
    pub async fn tree_of(&mut self, node: &str) -> Result<Result<Vec<ActorInfo>, Failure>, ControlError> {
        let query = Query::Of { node: node.to_owned(), query: Box::new(Query::Tree) };
        let answer = self.ask(&query, ANSWER_MAX).await?;
        self.told(answer, told!(Tree))
    }

    /// The supervision trees of all nodes of the mesh, by name; or why a node gave none.
    ///
    /// # Errors
    /// [`ControlError::NoAnswer`].
    pub async fn trees(&mut self) -> Result<BTreeMap<String, Result<Vec<ActorInfo>, Failure>>, ControlError> {
        self.everywhere(Query::Tree, ANSWER_MAX, told!(Tree)).await
    }

    /// The calls that each node of the mesh keeps, made by it or served by it, as far as they are as asked; the latest first. By
    /// the node's name; or why it told none.
    ///
    /// # Errors
    /// [`ControlError::NoAnswer`].
    pub async fn traces(
        &mut self,
        filter: &TraceFilter,
    ) -> Result<BTreeMap<String, Result<Vec<TraceInfo>, Failure>>, ControlError> {
        self.everywhere(Query::Traces(filter.clone()), ANSWER_MAX, told!(Traces)).await
    }

    /// The spans that each node of the mesh keeps of a trace, which may be named by the first of its 32 hexadecimal digits: those
    /// of all traces whose id begins so. By the node's name; or why it told none.
    ///
    /// # Errors
    /// [`ControlError::NoAnswer`].
    pub async fn trace(
        &mut self,
        id: &str,
    ) -> Result<BTreeMap<String, Result<Vec<SpanInfo>, Failure>>, ControlError> {
        self.everywhere(Query::Trace { trace: id.to_owned() }, ANSWER_MAX, told!(Spans)).await
    }

    /// The node's traffic. It measures from the first question on, and for ten seconds after each.
    ///
    /// # Errors
    /// [`ControlError::NoAnswer`].
    pub async fn traffic(&mut self) -> Result<Traffic, ControlError> {
        let answer = self.ask(&Query::Traffic, ANSWER_MAX).await?;
        told!(Traffic)(answer).map_err(|other| self.unexpected(&other))
    }

    /// The traffic of all nodes of the mesh, by name; or why a node tells nothing. Each measures as for
    /// [`traffic`](Self::traffic).
    ///
    /// # Errors
    /// [`ControlError::NoAnswer`].
    pub async fn traffic_everywhere(
        &mut self,
    ) -> Result<BTreeMap<String, Result<Traffic, Failure>>, ControlError> {
        self.everywhere(Query::Traffic, ANSWER_MAX, told!(Traffic)).await
    }

    /// The id of the trace of the call that it has begun last, as 32 hexadecimal digits. All nodes that the call comes to
    /// keep it for a while, if they keep traces at all.
    #[must_use]
    pub fn last_trace(&self) -> Option<String> {
        self.trace.lock().clone()
    }

    /// The methods of a service, as one of its endpoints describes them; waits for one until its time is over.
    ///
    /// # Errors
    /// The outer error when the node gave no answer; the inner one when it found no endpoint.
    pub async fn methods(
        &mut self,
        service: &str,
        patience: Duration,
    ) -> Result<Result<Vec<MethodInfo>, Failure>, ControlError> {
        let query = Query::Methods { service: service.to_owned(), timeout_ms: millis(patience) };
        match self.ask(&query, patience.saturating_add(ANSWER_MAX)).await? {
            Answer::Methods(methods) => Ok(Ok(methods)),
            Answer::Failed(failure) => Ok(Err(failure)),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Calls a method of any service of the mesh through this node, with JSON arguments by parameter name.
    ///
    /// # Errors
    /// The outer error when the node gave no answer, so that the outcome is unknown; the inner one when the call
    /// failed, or the service answered with its own error.
    pub async fn call(
        &mut self,
        service: &str,
        method: &str,
        arguments: Value,
        patience: Duration,
    ) -> Result<Result<Value, DynamicError>, ControlError> {
        let (trace, recorded) = self.begin((service, method));
        let mut head = CallHead::default();
        trace.put(&mut head);
        let query = Query::Call {
            service: service.to_owned(),
            method: method.to_owned(),
            arguments,
            timeout_ms: millis(patience),
            head: head.encode_to_vec(),
        };
        let answer = match self.ask(&query, patience.saturating_add(ANSWER_MAX)).await? {
            Answer::Value(value) => Ok(Ok(value)),
            Answer::ServiceError(error) => Ok(Err(ServiceError(error))),
            Answer::Failed(failure) => Err(failure),
            Answer::Unknown(why) => Err(Failure::not_executed(Reason::Protocol, why)),
            other => return Err(self.unexpected(&other)),
        };
        if let Some(recorded) = recorded {
            recorded.end(&answer);
        }
        Ok(answer.map_err(CallError::Failed).and_then(|answer| answer.map_err(CallError::Service)))
    }

    /// The calls of a service (of all, where it is empty) that passed on each node of the mesh, by the node that made them; or
    /// why a node shows none. Of each node those after the `next` of its last answer in `after_of`, up to 1000 of them, and all that
    /// it still has where it is not in there. A node without any waits for one for up to `patience`, a second at most.
    ///
    /// # Errors
    /// [`ControlError::NoAnswer`].
    pub async fn tap_everywhere(
        &mut self,
        service: &str,
        after_of: BTreeMap<String, u64>,
        payload: bool,
        patience: Duration,
    ) -> Result<BTreeMap<String, Result<Tap, Failure>>, ControlError> {
        let (service, wait_ms) = (service.to_owned(), millis(patience.min(TAP_PATIENCE_MAX)));
        let asked = TapRequest { service, after_of, max: TAPPED_AT_ONCE, wait_ms, payload, after: 0 };
        self.everywhere(Query::Tap(asked), patience.saturating_add(ANSWER_MAX), told!(Tapped)).await
    }

    /// The trace of a call that begins now.
    fn begin(&self, target: (&str, &str)) -> (Trace, Option<Recorded>) {
        let (trace, recorded) = telemetry::begin(&self.telemetry, target, Shape::Call, None, Keeping::No);
        let (trace, id) = trace.into_kept(&self.random);
        *self.trace.lock() = Some(id);
        (trace, recorded)
    }

    /// Says goodbye and gives it a moment to leave. After a drop alone, the node hears it only if the async runtime
    /// lives on; if it hears nothing, its side ends by the idle timeout.
    ///
    /// # Cancel safety
    /// Cancelled, it is as if the client had been dropped.
    pub async fn close(self) {
        let endpoint = self.endpoint.clone();
        drop(self);
        // Nobody acknowledges a goodbye, and the endpoint is idle only once nothing late can arrive any more.
        let _left = timeout(GOODBYE, endpoint.wait_idle()).await;
    }

    /// What every node says, by name; or why it does not.
    async fn everywhere<T>(
        &mut self,
        query: Query,
        patience: Duration,
        meant: fn(Answer) -> Result<T, Box<Answer>>,
    ) -> Result<BTreeMap<String, Result<T, Failure>>, ControlError> {
        match self.ask(&Query::Everywhere { query: Box::new(query) }, patience).await? {
            Answer::Everywhere(answers) => {
                answers.into_iter().map(|(node, answer)| Ok((node, self.told(answer, meant)?))).collect()
            }
            other => Err(self.unexpected(&other)),
        }
    }

    /// What an answer says that was asked of another node; or why that node says nothing.
    fn told<T>(
        &self,
        answer: Answer,
        meant: fn(Answer) -> Result<T, Box<Answer>>,
    ) -> Result<Result<T, Failure>, ControlError> {
        let other = match meant(answer) {
            Ok(told) => return Ok(Ok(told)),
            Err(other) => *other,
        };
        match other {
            Answer::Failed(failure) => Ok(Err(failure)),
            Answer::Unknown(why) => Ok(Err(Failure::unknown(Reason::Protocol, why))),
            other => Err(self.unexpected(&other)),
        }
    }

    async fn ask(&mut self, query: &Query, patience: Duration) -> Result<Answer, ControlError> {
        let answer = timeout(patience, self.exchange(query)).await;
        let answer = answer.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        answer.map_err(|why| ControlError::NoAnswer(self.node.clone(), why))
    }

    async fn exchange(&mut self, query: &Query) -> Result<Answer, String> {
        self.questions += 1;
        let id = self.questions;
        let query = serde_json::to_vec(query).map_err(|error| error.to_string())?;
        let request = Control { kind: Some(Kind::Request(Request { id, query: query.into() })) };
        let written = self.writer.write_all(open::message(kind::CONTROL, &request)).await;
        written.map_err(|error| error.to_string())?;
        loop {
            let Some((kind::CONTROL, payload)) =
                self.frames.first().await.map_err(|error| error.to_string())?
            else {
                return Err("the control channel ended".to_owned());
            };
            let message = Control::decode(payload).map_err(|error| error.to_string())?;
            match message.kind {
                Some(Kind::Response(response)) if response.id == id => {
                    return serde_json::from_slice(&response.answer).map_err(|error| error.to_string());
                }
                _ => {}
            }
        }
    }

    fn unexpected(&self, answer: &Answer) -> ControlError {
        let why = match answer {
            Answer::Unknown(why) => why.clone(),
            _ => "it answered another question".to_owned(),
        };
        ControlError::NoAnswer(self.node.clone(), why)
    }
}

// === impl ControlClient ===

impl Drop for ControlClient {
    fn drop(&mut self) {
        self.session.close(CloseCode::SHUTDOWN, "the command line is done");
    }
}
