//! The serving end of a streaming call, which has its channel to itself.

use std::{future::ready, sync::Arc, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::Either;
use prost::Message;
use qmesh_transport::{ChannelWriter, ResetCode};
use tokio::{sync::oneshot, time::Instant};

use crate::{
    channel::{
        failure_code,
        head::Head,
        items,
        open::AgreedMethod,
        serve::{Agreed, ServedChannel},
    },
    config::deadline_after,
    failure::Failure,
    service::{
        Answered, CallScope, CancelOnDrop, Conditions, Contract, Envelope, LocalEndpoint, Ports,
        StreamAnswer, method_name, put_reply_head, unreadable,
    },
    wire::{
        frame::{self, Chunk, FrameError, kind, status},
        unread::Unread,
    },
};

/// How long a call waits for a slot that says no time of its own.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves the call whose frame `chunk` begins with, to the end of its streams. An error if the caller broke the
/// protocol.
pub(crate) async fn run<C: Contract>(
    endpoint: Arc<LocalEndpoint<C>>,
    mut channel: ServedChannel,
    chunk: Chunk,
) -> Result<(), FrameError> {
    let ended = serve(endpoint, &mut channel, chunk).await;
    ended.inspect_err(|error| {
        channel.frames.stop(error.reset_code());
        channel.writer.reset(error.reset_code());
    })
}

async fn serve<C: Contract>(
    endpoint: Arc<LocalEndpoint<C>>,
    channel: &mut ServedChannel,
    mut chunk: Chunk,
) -> Result<(), FrameError> {
    let ServedChannel { link, frames, writer, caller, guest, agreed } = channel;
    let Begin { method, head, remaining, arguments } = begin(&mut chunk, agreed)?;
    let deadline = remaining.map(|remaining| deadline_after(Instant::now(), remaining));
    let conditions = Conditions { deadline, cancel: Some(Arc::default()), head };
    let _streams = link.streams();
    let drained = endpoint.core.node.inner().drain().awaits();
    let unread = link.unread(&agreed.limits);
    // However the channel ends.
    let _cancelled = CancelOnDrop(conditions.cancel.clone());
    let (to, answer) = oneshot::channel();
    let codec = agreed.codec;
    let mut ports = Ports::new(codec, agreed.limits.message_bytes_max, to);
    let (caller, guest) = (caller.clone(), guest.clone());
    let scope = CallScope { caller, guest, core: Arc::clone(&endpoint.core), replies: None };
    let decoded = if method.is_allowed {
        C::decode_stream(method.number, codec, &arguments, &mut ports)
            .map_err(|error| unreadable::<C>(method.number, &error))
    } else {
        Err(scope.refuse(method_name::<C>(method.number)))
    };
    let (is_refused, trace) = (decoded.is_err(), conditions.head.trace.clone());
    let admitted = match decoded {
        Ok(call) => {
            let admitted = admit(&endpoint, deadline, &unread).await;
            admitted.map(|()| Envelope::new(call, method.number, conditions))
        }
        Err(failure) => Err(failure),
    };
    let answer = match admitted {
        Ok(envelope) => Either::Left(endpoint.run(&Arc::new(scope), envelope, answer, Instant::now())),
        Err(failure) => {
            scope.turned_away((method.number, C::METHODS), &trace, &failure);
            Either::Right(ready((Err(failure), 0)))
        }
    };
    chunk.let_go();
    let incoming = ports.incoming.take();
    drop(ports);
    let receiving = async {
        match incoming {
            Some(items) => items::receive(chunk, frames, items, drained.cut()).await,
            // Its caller may send a stream and not know yet.
            None if is_refused => {
                frames.stop(ResetCode::DROPPED);
                Ok(())
            }
            None => items::nothing_follows(chunk, frames).await,
        }
    };
    let streams = async {
        let answering = respond(answer, &unread, writer, drained.cut());
        tokio::pin!(receiving, answering);
        let answered = tokio::select! {
            biased;
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
        // Streams that notice it by themselves say so to their other ends.
        biased;
        ended = streams => ended,
        // One that waits for the service would not.
        _ = link.session().closed() => Ok(()),
    }
}

/// Takes a slot for the call.
async fn admit<C: Contract>(
    endpoint: &LocalEndpoint<C>,
    deadline: Option<Instant>,
    unread: &Unread,
) -> Result<(), Failure> {
    if unread.is_full() {
        return Err(unread.not_begun());
    }
    let now = Instant::now();
    endpoint.inbox.admit(deadline.unwrap_or(now + PATIENCE), now).await
}

/// How a streaming call begins.
struct Begin {
    method: AgreedMethod,
    head: Head,
    remaining: Option<Duration>,
    arguments: Bytes,
}

fn begin(chunk: &mut Chunk, agreed: &Agreed) -> Result<Begin, FrameError> {
    let Some((kind::STREAM, payload)) = chunk.next() else {
        return Err(FrameError::Malformed(kind::STREAM));
    };
    let end = payload.end;
    let mut bytes = &chunk.bytes[payload];
    let (method, head) = agreed.take_call(&mut bytes, kind::STREAM)?;
    let remaining = frame::take_varint(&mut bytes, kind::STREAM)?;
    let remaining = (remaining > 0).then(|| Duration::from_millis(remaining));
    Ok(Begin { method, head, remaining, arguments: chunk.bytes.slice(end - bytes.len()..end) })
}

/// Sends the answer and the stream that follows it; `false` if the caller has given up before it had the answer.
async fn respond(
    answer: impl Future<Output = StreamAnswer>,
    unread: &Unread,
    writer: &mut ChannelWriter,
    cut: impl Future<Output = Failure>,
) -> bool {
    let mut answer = tokio::select! {
        biased;
        answer = answer => answer,
        _ = writer.stopped() => return false,
    };
    if let Ok(Answered { body, .. }) = &answer.0
        && !unread.fits(body.len())
    {
        answer.0 = Err(unread.not_kept(body.len()));
    }
    let reply = reply(&answer);
    let waits = unread.hold(reply.len());
    if writer.write_all(reply).await.is_err() {
        return false;
    }
    drop(waits);
    let whole = match answer.0 {
        Ok(Answered { items: Some(items), .. }) => items::send(items, writer, cut).await.is_ok(),
        _ => true,
    };
    if whole {
        // A session that has ended needs no half-close. One that lives is to live until the stream is there.
        if writer.finish().is_ok() {
            writer.delivered().await;
        }
    } else {
        // What was cut off is not to look complete while the caller's stream goes on.
        writer.reset(ResetCode::DROPPED);
    }
    true
}

/// The frame of an answer.
fn reply((answer, spent): &StreamAnswer) -> Bytes {
    let mut buffer = BytesMut::new();
    frame::put(&mut buffer, kind::REPLY, |buffer| {
        // A channel with one call needs no number, and a call that is over no place in the balance.
        frame::put_varint(buffer, 0);
        match answer {
            Ok(Answered { status, body, .. }) => {
                put_reply_head(buffer, *status, 0, *spent);
                buffer.put_slice(body);
            }
            Err(failure) => {
                put_reply_head(buffer, status::FAILURE, 0, *spent);
                failure_code::to_wire(failure).encode_raw(buffer);
            }
        }
    });
    buffer.freeze()
}
