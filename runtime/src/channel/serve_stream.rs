//! The serving end of a streaming call, which has its channel to itself.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use qmesh_transport::ChannelWriter;
use tokio::{sync::oneshot, time::Instant};

use crate::{
    channel::{
        failure_code, items,
        serve::{LONGEST_MS, ServedChannel, take_method},
    },
    failure::{Failure, Reason},
    service::{
        Answered, Batch, CallScope, Cancel, CancelOnDrop, Contract, Envelope, LocalEndpoint, Ports,
        StreamAnswer, unreadable,
    },
    wire::frame::{self, Chunk, FrameError, kind, status},
};

/// How long a call waits for a slot that says no time of its own.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves the call whose frame `chunk` begins with, to the end of its streams. An error if the caller broke the
/// protocol.
pub(crate) async fn run<C: Contract>(
    endpoint: Arc<LocalEndpoint<C>>,
    channel: ServedChannel,
    mut chunk: Chunk,
) -> Result<(), FrameError> {
    let (method, remaining, arguments) = begin(&mut chunk, &channel.methods)?;
    let ServedChannel { link, mut frames, writer, codec, caller, limits, .. } = channel;
    let cancel = Arc::<Cancel>::default();
    // However the channel ends.
    let _cancelled = CancelOnDrop(Some(Arc::clone(&cancel)));
    let (to, answer) = oneshot::channel();
    let mut ports = Ports::new(codec, limits.message_bytes_max, to);
    match C::decode_stream(method, codec, &arguments, &mut ports) {
        Ok(call) => {
            let scope = CallScope { caller, core: Arc::clone(&endpoint.core), replies: None };
            let now = Instant::now();
            let deadline = remaining.map(|remaining| now + remaining);
            let envelope = Envelope::new(call, method, deadline, Some(cancel));
            match endpoint.inbox.admit(deadline.unwrap_or(now + PATIENCE), now).await {
                Ok(()) => endpoint.inbox.push_one(&Arc::new(scope), envelope, Instant::now()),
                Err(failure) => {
                    Batch::new(Arc::new(scope), VecDeque::from([envelope]), now).refuse(&failure);
                }
            }
        }
        Err(error) => ports.refuse(unreadable::<C>(method, &error)),
    }
    let incoming = ports.incoming.take();
    drop(ports);
    let receiving = async {
        match incoming {
            Some(items) => items::receive(chunk, &mut frames, items).await,
            None => Ok(()),
        }
    };
    let streams = async {
        let answering = respond(answer, writer);
        tokio::pin!(receiving, answering);
        let answered = tokio::select! {
            ended = &mut receiving => {
                ended?;
                answering.await;
                return Ok(());
            }
            answered = &mut answering => answered,
        };
        // What is left of the caller's stream still has its receiver, unless the caller gave up.
        if answered { receiving.await } else { Ok(()) }
    };
    tokio::select! {
        ended = streams => ended,
        _ = link.session().closed() => Ok(()),
    }
}

/// Our number of the method, how long the caller waits, and the arguments.
fn begin(
    chunk: &mut Chunk,
    methods: &[Option<usize>],
) -> Result<(usize, Option<Duration>, Bytes), FrameError> {
    let Some((kind::STREAM, payload)) = chunk.next() else {
        return Err(FrameError::Malformed(kind::STREAM));
    };
    let end = payload.end;
    let mut bytes = &chunk.bytes[payload];
    let method = take_method(methods, &mut bytes, kind::STREAM)?;
    let remaining = frame::take_varint(&mut bytes, kind::STREAM)?;
    let remaining = (remaining > 0).then(|| Duration::from_millis(remaining.min(LONGEST_MS)));
    Ok((method, remaining, chunk.bytes.slice(end - bytes.len()..end)))
}

/// Sends the answer and the stream that follows it; `false` if the caller has given up before it had the answer.
async fn respond(answer: oneshot::Receiver<StreamAnswer>, mut writer: ChannelWriter) -> bool {
    let without_a_word = || Failure::unknown(Reason::Unavailable, "the service ended without a word");
    let answer = tokio::select! {
        answer = answer => answer.unwrap_or_else(|_| Err(without_a_word())),
        _ = writer.stopped() => return false,
    };
    if writer.write_all(reply(&answer)).await.is_err() {
        return false;
    }
    let whole = match answer {
        Ok(Answered { items: Some(items), .. }) => items::send(items, &mut writer).await.is_ok(),
        _ => true,
    };
    if whole {
        // A session that has ended needs no half-close.
        drop(writer.finish());
    }
    true
}

/// The frame of an answer.
fn reply(answer: &StreamAnswer) -> Bytes {
    let mut buffer = BytesMut::new();
    frame::put(&mut buffer, kind::REPLY, |buffer| {
        // A channel with one call needs no number, and a call that is over no place in the balance.
        frame::put_varint(buffer, 0);
        match answer {
            Ok(Answered { status, body, .. }) => {
                buffer.put_slice(&[*status, 0]);
                buffer.put_slice(body);
            }
            Err(failure) => {
                buffer.put_slice(&[status::FAILURE, 0]);
                failure_code::to_wire(failure).encode_raw(buffer);
            }
        }
    });
    buffer.freeze()
}
