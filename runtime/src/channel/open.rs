//! Opening a call channel: the caller says which service, codec and methods it means; the service answers for each
//! method, so that two versions of a contract agree on all they have in common.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use prost::{DecodeError, Message};
use qmesh_transport::{Channel, Session, WriteError};
use tokio::time::{Instant, timeout_at};

use crate::{
    authorize,
    channel::{FRAME_OVERHEAD, failure_code, head::Head},
    codec::Codec,
    config::Limits,
    failure::{Failure, Reason},
    service::{Caller, Endpoint, Method},
    wire::{
        frame::{self, FrameError, Frames, LargeFrames, kind},
        messages::{Open, OpenMethod, Opened, OpenedMethod, WireFailure},
    },
};

/// A channel that both sides agree on, from the caller's side.
#[derive(Debug)]
pub(crate) struct OpenChannel {
    pub(crate) opened: Opened,
    pub(crate) frames: Frames,
    pub(crate) writer: qmesh_transport::ChannelWriter,
}

/// The methods that a caller asks for.
pub(crate) fn methods_of(contract: &[Method]) -> Vec<OpenMethod> {
    contract
        .iter()
        .map(|method| OpenMethod { name: method.name.to_owned(), signature: method.to_string() })
        .collect()
}

/// Opens a call channel. Whatever large frames the service sends on it count against `share`, if there is one.
///
/// A failure is *not sent* or *not executed*: no call has begun.
pub(crate) async fn open(
    session: &Arc<dyn Session>,
    request: Open,
    limits: &Limits,
    share: Option<Arc<LargeFrames>>,
    deadline: Instant,
) -> Result<OpenChannel, Failure> {
    // Another endpoint may be faster, if there is time for it.
    let late = |_| {
        let reason = if Instant::now() < deadline { Reason::Unreachable } else { Reason::DeadlineExceeded };
        Failure::not_sent(reason, "the channel was not opened in time")
    };
    let lost = |error: &dyn std::fmt::Display| Failure::not_sent(Reason::ConnectionLost, error.to_string());
    let opening = async {
        let Channel { reader, mut writer, .. } = session.open().await.map_err(|error| lost(&error))?;
        writer.write_all(message(kind::OPEN, &request)).await.map_err(|error: WriteError| lost(&error))?;
        let mut frames = Frames::new(reader, limits.message_bytes_max + FRAME_OVERHEAD);
        if let Some(share) = share {
            frames.set_share(share);
        }
        match frames.first().await.map_err(|error| lost(&error))? {
            Some((kind::OPENED, payload)) => {
                let opened = Opened::decode(payload).map_err(|error| lost(&error))?;
                Ok(OpenChannel { opened, frames, writer })
            }
            Some((kind::REFUSED, payload)) => Err(refused(payload)),
            Some((kind, _)) => Err(lost(&FrameError::Unexpected(kind))),
            None => Err(lost(&"the peer closed the channel")),
        }
    };
    // A node that has to find an endpoint first takes as long as it was given.
    let soon = Instant::now() + OPEN_MAX;
    let until = if request.patience_ms > 0 { deadline } else { deadline.min(soon) };
    timeout_at(until, opening).await.map_err(late)?
}

/// Why the service refuses calls of a method, if it does.
#[inline]
pub(crate) fn check(opened: &Opened, method: usize) -> Result<(), Failure> {
    let Some(answer) = opened.methods.get(method) else {
        return Err(Failure::not_sent(Reason::Protocol, "the service did not answer for this method"));
    };
    if answer.refused.is_empty() {
        return Ok(());
    }
    let reason = if answer.unknown { Reason::UnknownMethod } else { Reason::Incompatible };
    Err(Failure::not_executed(reason, answer.refused.clone()))
}

/// How large a message may be, if what the call says is not too large.
#[inline]
pub(crate) fn check_size(opened: &Opened, head: &Head, arguments: usize) -> Result<usize, Failure> {
    let too_large = |what, length, limit| {
        let detail = format!("the {what} are {length} bytes; the limit is {limit}");
        Err(Failure::not_sent(Reason::TooLarge, detail))
    };
    if arguments as u64 > opened.message_bytes_max {
        return too_large("arguments", arguments, opened.message_bytes_max);
    }
    let metadata = head.metadata_bytes();
    if metadata as u64 > opened.metadata_bytes_max {
        return too_large("metadata", metadata, opened.metadata_bytes_max);
    }
    Ok(usize::try_from(opened.message_bytes_max).unwrap_or(usize::MAX))
}

/// Methods of a contract.
const METHODS_MAX: usize = 256;
/// A peer that does not answer for so long does not serve us.
const OPEN_MAX: Duration = Duration::from_secs(5);

/// Who opens a channel: a peer, and the command line for which it calls, if it does. The policies must allow both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Callers<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) guest: Option<&'a Caller>,
}

impl Callers<'_> {
    fn allow(self, endpoint: &dyn Endpoint, method: usize) -> bool {
        endpoint.admits(self.caller, method) && self.guest.is_none_or(|guest| endpoint.admits(guest, method))
    }

    fn refusal(self, endpoint: &dyn Endpoint, method: usize) -> String {
        let method = endpoint.methods().get(method).map_or("", |method| method.name);
        authorize::refusal(self.caller, self.guest, (endpoint.name(), method))
    }
}

/// Our side of one of the caller's methods.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AgreedMethod {
    pub(crate) number: usize,
    /// Whether the policies let this caller call it: who calls does not change on a channel.
    pub(crate) is_allowed: bool,
}

/// What the service offers of what the caller asks: the answer, and for each of the caller's methods our own.
pub(crate) fn negotiate(
    open: &Open,
    endpoint: &dyn Endpoint,
    limits: &Limits,
    callers: Callers<'_>,
) -> Result<(Codec, Vec<Option<AgreedMethod>>, Opened), Failure> {
    let Some(codec) = Codec::from_name(&open.codec) else {
        let detail = format!("{} speaks msgpack and json, not `{}`", open.service, open.codec);
        return Err(Failure::not_executed(Reason::UnknownCodec, detail));
    };
    if open.methods.len() > METHODS_MAX {
        let detail =
            format!("{} methods are asked for; a contract has {METHODS_MAX} at most", open.methods.len());
        return Err(Failure::not_executed(Reason::Protocol, detail));
    }
    let agreed = |number, mut method: OpenedMethod| {
        let is_allowed = callers.allow(endpoint, number);
        if method.one_way && !is_allowed {
            method.forbidden = callers.refusal(endpoint, number);
        }
        (Some(AgreedMethod { number, is_allowed }), method)
    };
    let (numbers, methods) = if open.methods.is_empty() {
        let all = endpoint.methods().iter().map(described).enumerate();
        all.map(|(number, method)| agreed(number, method)).unzip()
    } else {
        let answer = |asked| match answer_for(asked, endpoint) {
            (Some(number), method) => agreed(number, method),
            (None, refused) => (None, refused),
        };
        open.methods.iter().map(answer).unzip()
    };
    let opened = Opened {
        methods,
        one_way_window: limits.one_way_window,
        calls_max: limits.calls_per_channel as u64,
        message_bytes_max: limits.message_bytes_max as u64,
        metadata_bytes_max: limits.metadata_bytes_max as u64,
    };
    Ok((codec, numbers, opened))
}

fn answer_for(asked: &OpenMethod, endpoint: &dyn Endpoint) -> (Option<usize>, OpenedMethod) {
    match find(asked, endpoint) {
        Ok((number, method)) => (Some(number), shape_of(method)),
        Err(failure) => {
            let unknown = failure.reason() == Reason::UnknownMethod;
            let refused = failure.detail().to_owned();
            (None, OpenedMethod { refused, unknown, ..OpenedMethod::default() })
        }
    }
}

/// The endpoint's method that is asked for, and its number.
///
/// # Errors
/// It has none, or means something else by it: *not executed*.
pub(crate) fn find(asked: &OpenMethod, endpoint: &dyn Endpoint) -> Result<(usize, &'static Method), Failure> {
    let service = endpoint.name();
    let found = endpoint.methods().iter().enumerate().find(|(_, method)| method.name == asked.name);
    let Some((number, method)) = found else {
        let known: Vec<_> = endpoint.methods().iter().map(|method| method.name).collect();
        let detail = format!("{service} has no method `{}`; it has {}", asked.name, known.join(", "));
        return Err(Failure::not_executed(Reason::UnknownMethod, detail));
    };
    let ours = method.to_string();
    if !asked.signature.is_empty() && asked.signature != ours {
        let detail =
            format!("the method differs: the caller means `{}`, the service has `{ours}`", asked.signature);
        return Err(Failure::not_executed(Reason::Incompatible, detail));
    }
    Ok((number, method))
}

fn shape_of(method: &Method) -> OpenedMethod {
    OpenedMethod {
        one_way: method.one_way,
        idempotent: method.idempotent,
        upload: method.upload,
        download: method.download,
        ..OpenedMethod::default()
    }
}

/// A method for somebody who has not named it.
pub(crate) fn described(method: &Method) -> OpenedMethod {
    OpenedMethod { name: method.name.to_owned(), signature: method.to_string(), ..shape_of(method) }
}

/// The first frame of a channel that can only be a call channel; `None` if there is none.
pub(crate) async fn read_request(frames: &mut Frames) -> Result<Option<Open>, FrameError> {
    match frames.first().await? {
        Some((kind::OPEN, payload)) => {
            Open::decode(payload).map(Some).map_err(|_bad| FrameError::Malformed(kind::OPEN))
        }
        Some((other, _)) => Err(FrameError::Unexpected(other)),
        None => Ok(None),
    }
}

/// A frame around a Protobuf message.
pub(crate) fn message(kind: u8, message: &impl Message) -> Bytes {
    let mut bytes = BytesMut::with_capacity(frame::HEAD + message.encoded_len());
    frame::put(&mut bytes, kind, |buffer| message.encode_raw(buffer));
    bytes.freeze()
}

/// The frame that refuses a channel.
pub(crate) fn refusal(failure: &Failure) -> Bytes {
    message(kind::REFUSED, &failure_code::to_wire(failure))
}

/// What such a frame says.
pub(crate) fn refused(payload: Bytes) -> Failure {
    let unreadable = |error: DecodeError| Failure::not_sent(Reason::ConnectionLost, error.to_string());
    WireFailure::decode(payload).map_or_else(unreadable, failure_code::from_wire)
}
