//! Questions that nodes ask about each other, for whoever looks at the mesh through one of them.
//!
//! Each has a channel of its own, so that no answer stands in front of a ping or a call. A node answers for itself alone:
//! what another one asks is not passed on.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use qmesh_discovery::{NodeRecord, Snapshot};
use qmesh_transport::{Channel, ChannelWriter, NodeId};
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    channel::open,
    control_api::{Answer, Query},
    failure::{Failure, Reason},
    node::{NodeInner, accept, link::Link, traffic},
    supervisor::Work,
    wire::frame::{self, FrameError, Frames, kind},
};

/// Questions of one peer or command line that are being answered, at a time.
pub(crate) const QUESTIONS_MAX: usize = 32;
/// Nodes that are asked at a time.
const ASKED_MAX: usize = 128;
/// The largest answer of a node about itself, in bytes; of all nodes together.
const ANSWER_BYTES_MAX: usize = 2 * 1024 * 1024;
const ANSWERS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long a node has for its answer, beside what it was told to wait.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// What this node says of itself.
pub(crate) async fn answer(node: &Arc<NodeInner>, query: Query) -> Answer {
    let patience = query.patience();
    match query.of_node(Some(node.name()), &full_name(node.name(), node.id())) {
        Query::Nodes => Answer::Nodes(node.node_infos()),
        Query::Services => Answer::Services(node.service_infos()),
        Query::Tree => Answer::Tree(node.tree().list()),
        Query::Traffic => Answer::Traffic(traffic::traffic(node)),
        Query::Tap(asked) => traffic::tap(node, &asked).await.map_or_else(Answer::Failed, Answer::Tapped),
        Query::About => Answer::About(Box::new(node.about())),
        Query::Events { after, max, .. } => {
            let told = node.events().after_patiently(after, max as usize, patience).await;
            Answer::Events { events: told.events, missed: told.missed }
        }
        Query::Traces(filter) => {
            let recorder = node.telemetry().recorder();
            Answer::Traces(recorder.map(|recorder| recorder.traces(&filter)).unwrap_or_default())
        }
        Query::Trace { trace } => {
            let recorder = node.telemetry().recorder();
            Answer::Spans(recorder.map(|recorder| recorder.spans(&trace)).unwrap_or_default())
        }
        Query::Methods { .. } | Query::Call { .. } | Query::Of { .. } | Query::Everywhere { .. } => {
            Answer::Unknown("a node answers for itself alone".to_owned())
        }
    }
}

/// As JSON of at most so many bytes.
pub(crate) fn encode(answer: &Answer, bytes_max: usize) -> Vec<u8> {
    let unknown = |why: String| serde_json::to_vec(&Answer::Unknown(why)).unwrap_or_default();
    match serde_json::to_vec(answer) {
        Ok(encoded) if encoded.len() <= bytes_max => encoded,
        Ok(encoded) => {
            unknown(format!("the answer has {} bytes; {bytes_max} is the limit: ask for less", encoded.len()))
        }
        Err(error) => unknown(error.to_string()),
    }
}

/// Another node's answer, by its name or id.
pub(crate) async fn of(node: &Arc<NodeInner>, name: &str, query: Query) -> Answer {
    let snapshot = node.snapshot();
    let record = snapshot.nodes().find(|record| record.name == name || record.id.to_string() == name);
    let Some(record) = record else {
        let mut known: Vec<_> = snapshot.nodes().map(|record| record.name.as_str()).collect();
        known.sort_unstable();
        let detail = format!("there is no node {name}; known are {}", known.join(", "));
        return Answer::Failed(Failure::not_sent(Reason::NoEndpoint, detail));
    };
    let deadline = Instant::now() + ANSWER_TIME + query.patience();
    match ask(node, record, query, deadline).await {
        Ok(answer) => {
            serde_json::from_slice(&answer).unwrap_or_else(|error| Answer::Unknown(error.to_string()))
        }
        Err(failure) => Answer::Failed(failure.at(&record.name)),
    }
}

/// What all nodes answer that are in the directory. Those that do not answer in the time that one of them has are there with why.
pub(crate) async fn everywhere(node: &Arc<NodeInner>, query: &Query) -> BTreeMap<String, Answer> {
    let snapshot = node.snapshot();
    let snapshot = &*snapshot;
    let deadline = Instant::now() + ANSWER_TIME + query.patience();
    let asking: Vec<BoxFuture<'_, _>> = snapshot
        .nodes()
        .map(|record| ask_by_name(node, (snapshot, record), query, deadline).boxed())
        .collect();
    let mut asked = stream::iter(asking).buffer_unordered(ASKED_MAX);
    let (mut answers, mut room) = (BTreeMap::new(), ANSWERS_BYTES_MAX);
    while let Some((name, answer)) = asked.next().await {
        let answer = match answer {
            Err(failure) => Answer::Failed(failure),
            Ok(answer) if answer.len() > room => {
                Answer::Unknown(format!("left out: the answers have more than {ANSWERS_BYTES_MAX} bytes"))
            }
            Ok(answer) => {
                room -= answer.len();
                serde_json::from_slice(&answer).unwrap_or_else(|error| Answer::Unknown(error.to_string()))
            }
        };
        answers.insert(name, answer);
    }
    answers
}

/// What tells a node from its namesakes.
fn full_name(name: &str, id: NodeId) -> String {
    format!("{name} ({id})")
}

/// A node's answer, and the name by which it is told from all others.
async fn ask_by_name(
    node: &Arc<NodeInner>,
    (snapshot, record): (&Snapshot, &NodeRecord),
    query: &Query,
    deadline: Instant,
) -> (String, Result<Bytes, Failure>) {
    let full_name = full_name(&record.name, record.id);
    let has_namesakes = snapshot.nodes().filter(|other| other.name == record.name).count() > 1;
    let name = (!has_namesakes).then_some(record.name.as_str());
    let answer = ask(node, record, query.of_node(name, &full_name), deadline).await;
    (name.map_or(full_name, str::to_owned), answer.map_err(|failure| failure.at(&record.name)))
}

/// A node's answer as JSON.
///
/// # Errors
/// It gave none in time.
async fn ask(
    node: &Arc<NodeInner>,
    record: &NodeRecord,
    query: Query,
    deadline: Instant,
) -> Result<Bytes, Failure> {
    if record.id == node.id() {
        return Ok(encode(&answer(node, query).await, ANSWER_BYTES_MAX).into());
    }
    let lost = |why: &dyn std::fmt::Display| Failure::unknown(Reason::ConnectionLost, why.to_string());
    let link = node.peer(record.id).link(node, deadline).await?;
    if !link.answers {
        return Err(Failure::not_sent(Reason::Incompatible, "it is of a version that answers no questions"));
    }
    let asking = async {
        let Channel { reader, mut writer, .. } = link.session().open().await.map_err(|error| lost(&error))?;
        let question = serde_json::to_vec(&query).map_err(|error| lost(&error))?;
        writer.write_all(framed(kind::QUESTION, &question)).await.map_err(|error| lost(&error))?;
        match Frames::new(reader, ANSWER_BYTES_MAX).first().await.map_err(|error| lost(&error))? {
            Some((kind::ANSWER, answer)) => Ok(answer),
            Some((kind::REFUSED, refused)) => Err(open::refused(refused)),
            Some((kind, _)) => Err(lost(&FrameError::Unexpected(kind))),
            None => Err(lost(&"the peer closed the channel")),
        }
    };
    let late = |_| Failure::unknown(Reason::DeadlineExceeded, "the node did not answer in time");
    timeout_at(deadline, asking).await.map_err(late)?
}

/// A peer asks about this node: what is left is to answer it, unless it asks too much at a time.
pub(crate) async fn asked(
    node: &Arc<NodeInner>,
    link: &Link,
    question: Bytes,
    mut writer: ChannelWriter,
) -> Option<Work> {
    let Ok(right) = Arc::clone(&link.questions).try_acquire_owned() else {
        let detail = format!("{QUESTIONS_MAX} questions are being answered");
        accept::refuse(node, &mut writer, &Failure::not_executed(Reason::Overloaded, detail)).await;
        return None;
    };
    let node = Arc::clone(node);
    Some(Box::pin(async move {
        let answer = match serde_json::from_slice(&question) {
            Ok(query) => answer(&node, query).await,
            Err(error) => Answer::Unknown(error.to_string()),
        };
        let answer = framed(kind::ANSWER, &encode(&answer, ANSWER_BYTES_MAX));
        // Whoever asked may have gone, or not read.
        if let Ok(Ok(())) = timeout(ANSWER_TIME, writer.write_all(answer)).await {
            drop(writer.finish());
        }
        drop(right);
        Ok(())
    }))
}

pub(crate) fn framed(kind: u8, json: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(frame::HEAD + json.len());
    frame::put(&mut bytes, kind, |buffer| buffer.put_slice(json));
    bytes.freeze()
}
