//! The calling end of a streaming call, which has its channel to itself.

use std::future::pending;

use bytes::{BufMut, Bytes, BytesMut};
use qmesh_transport::{ChannelWriter, ResetCode};
use tokio::{sync::oneshot, time::Instant};

use crate::{
    channel::{
        caller::{Answer, take_spent},
        head::Head,
        items::{self, Incoming, Outgoing},
        lost,
    },
    failure::Failure,
    service::RawReply,
    wire::frame::{self, Chunk, FrameError, Frames, kind, status},
};

/// A streaming call whose channel is open.
pub(crate) struct StreamCaller {
    pub(crate) frames: Frames,
    pub(crate) writer: ChannelWriter,
    pub(crate) outgoing: Option<Box<dyn Outgoing>>,
    pub(crate) incoming: Option<Box<dyn Incoming>>,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// The frame that begins the call, which the service has to answer by `deadline`, if there is one.
pub(crate) fn begin(head: &Head, deadline: Option<Instant>, arguments: &[u8]) -> Bytes {
    let remaining = deadline.map_or(0, |deadline| {
        let left = deadline.saturating_duration_since(Instant::now()).as_millis().max(1);
        u64::try_from(left).unwrap_or(u64::MAX)
    });
    let mut buffer = BytesMut::new();
    frame::put(&mut buffer, kind::STREAM, |buffer| {
        head.put(buffer, 0);
        frame::put_varint(buffer, remaining);
        buffer.put_slice(arguments);
    });
    buffer.freeze()
}

impl StreamCaller {
    /// Runs the call to the end of its streams.
    pub(crate) async fn run(self, begin: Bytes) {
        let Self { mut frames, mut writer, outgoing, incoming, mut answer } = self;
        let sending = async {
            let begun = writer.write_all(begin).await;
            if begun.is_ok() {
                let whole = match outgoing {
                    Some(items) => items::send(items, &mut writer, pending()).await.is_ok(),
                    None => true,
                };
                // A session that has ended needs no half-close.
                if whole {
                    drop(writer.finish());
                }
            }
        };
        let receiving = async {
            let first = tokio::select! {
                biased;
                first = first_reply(&mut frames) => first,
                // The caller has given up.
                () = answer.closed() => {
                    frames.stop(ResetCode::CANCELLED);
                    return false;
                }
            };
            match first {
                Ok((Answer { result: Ok(reply), spent }, rest)) => {
                    let streams = reply.status == status::VALUE;
                    let wanted = answer.send(Answer { result: Ok(reply), spent }).is_ok();
                    match incoming {
                        Some(items) if streams && wanted => {
                            // Whoever receives the stream has been told what broke.
                            if let Err(broken) = items::receive(rest, &mut frames, items, pending()).await {
                                frames.stop(broken.reset_code());
                            }
                        }
                        _ => {}
                    }
                    wanted
                }
                Ok((refused, _)) => {
                    frames.stop(ResetCode::CANCELLED);
                    drop(answer.send(refused));
                    false
                }
                Err(failure) => {
                    frames.stop(ResetCode::CANCELLED);
                    drop(answer.send(Answer { result: Err(failure), spent: None }));
                    false
                }
            }
        };
        tokio::pin!(sending, receiving);
        let mut whole = false;
        tokio::select! {
            // Where the session has ended, the caller's stream is told so before the answer is given up.
            biased;
            () = &mut sending => whole = true,
            // A call that has failed, or that nobody wants, takes its stream back.
            answered = &mut receiving => if answered { sending.await },
        }
        if whole {
            receiving.await;
        }
    }
}

/// The answer, and what follows it.
pub(crate) async fn first_reply(frames: &mut Frames) -> Result<(Answer, Chunk), Failure> {
    let mut chunk = match frames.next().await {
        Ok(Some(chunk)) => chunk,
        Ok(None) => return Err(lost::lost("the peer closed the channel without an answer")),
        Err(error) => {
            frames.stop(error.reset_code());
            return Err(lost::unread(&error));
        }
    };
    let broken = || lost::lost(FrameError::Malformed(kind::REPLY));
    let Some((kind::REPLY, payload)) = chunk.next() else { return Err(broken()) };
    let end = payload.end;
    let mut bytes = &chunk.bytes[payload];
    let head = frame::take_varint(&mut bytes, kind::REPLY)
        .and_then(|_call| frame::take_u8(&mut bytes, kind::REPLY))
        .and_then(|status| frame::take_u8(&mut bytes, kind::REPLY).map(|_age| status));
    let (status, spent) = head.and_then(|status| take_spent(status, &mut bytes)).map_err(|_bad| broken())?;
    let body = chunk.bytes.slice(end - bytes.len()..end);
    let result = RawReply::read(status, body).map_err(|_bad| broken())?;
    Ok((Answer { result, spent: Some(spent) }, chunk))
}
