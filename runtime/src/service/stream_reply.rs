//! Where the answer of a streaming call goes, and the stream with it.

use std::fmt;

use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::{
    call_tree,
    channel::items::{self, Incoming, Outgoing},
    client::Answers,
    codec::Codec,
    failure::Failure,
    layer::LayeredAnswer,
    service::{
        LocalAnswer, Settled,
        reply::{not_encodable, too_large, unanswered},
    },
    stream::Receiver,
    wire::frame::status,
};

/// Where the answer of one streaming call goes.
pub struct StreamReply<A: Answers> {
    to: Option<To<A>>,
    began: bool,
}

enum To<A: Answers> {
    Local(oneshot::Sender<LocalAnswer<A::Value, A::Error>>),
    Wire(oneshot::Sender<StreamAnswer>, Codec, usize),
}

/// What goes out on the channel of a streaming call: the answer and the stream that follows it, or why there is none;
/// and how many repeats were spent.
pub(crate) type StreamAnswer = Settled<Answered>;

pub(crate) struct Answered {
    pub(crate) status: u8,
    pub(crate) body: Vec<u8>,
    pub(crate) items: Option<Box<dyn Outgoing>>,
}

/// What a streaming call that came over the wire is connected to.
pub struct Ports {
    codec: Codec,
    item_bytes_max: usize,
    answer: Option<oneshot::Sender<StreamAnswer>>,
    pub(crate) incoming: Option<Box<dyn Incoming>>,
}

impl LayeredAnswer for Answered {
    fn is_service_error(&self) -> bool {
        self.status == status::SERVICE_ERROR
    }
}

impl<A: Answers> StreamReply<A> {
    pub(crate) fn local(to: oneshot::Sender<LocalAnswer<A::Value, A::Error>>) -> Self {
        Self { to: Some(To::Local(to)), began: false }
    }

    /// The handler begins: dropped from here on, the reply says *unknown*.
    #[must_use]
    pub const fn begin(mut self) -> Self {
        self.began = true;
        self
    }

    /// Answers with what the handler returned.
    pub fn answer(mut self, answer: Result<A::Value, A::Error>) {
        call_tree::answered(answer.is_ok());
        match self.to.take() {
            // The caller may be gone.
            Some(To::Local(to)) => drop(to.send((Ok(answer), call_tree::spent()))),
            Some(To::Wire(to, codec, limit)) => {
                drop(to.send((encode::<A>(answer, codec, limit), call_tree::spent())))
            }
            None => {}
        }
    }

    /// Answers that the call did not run.
    pub fn refuse(mut self, failure: Failure) {
        self.fail(failure, 0);
    }

    fn fail(&mut self, failure: Failure, spent: u32) {
        match self.to.take() {
            Some(To::Local(to)) => drop(to.send((Err(failure), spent))),
            Some(To::Wire(to, ..)) => drop(to.send((Err(failure), spent))),
            None => {}
        }
    }
}

fn encode<A: Answers>(
    answer: Result<A::Value, A::Error>,
    codec: Codec,
    limit: usize,
) -> Result<Answered, Failure> {
    let encoded = match answer {
        Ok(value) => A::encode(value, codec, limit).map(|(body, items)| (status::VALUE, body, items)),
        Err(error) => codec.encode(&error).map(|body| (status::SERVICE_ERROR, body, None)),
    };
    let (status, body, items) = encoded.map_err(|error| not_encodable(&error))?;
    if body.len() > limit {
        return Err(too_large(body.len(), limit));
    }
    Ok(Answered { status, body, items: items.map(|items| items.0) })
}

impl<A: Answers> Drop for StreamReply<A> {
    fn drop(&mut self) {
        if self.to.is_none() {
            return;
        }
        let spent = if self.began { call_tree::spent() } else { 0 };
        self.fail(unanswered(self.began), spent);
    }
}

impl Ports {
    pub(crate) const fn new(
        codec: Codec,
        item_bytes_max: usize,
        answer: oneshot::Sender<StreamAnswer>,
    ) -> Self {
        Self { codec, item_bytes_max, answer: Some(answer), incoming: None }
    }

    /// The stream that the caller sends.
    pub fn receiver<T: DeserializeOwned + Send + 'static>(&mut self) -> Receiver<T> {
        let (incoming, receiver) = items::incoming(self.codec);
        self.incoming = Some(incoming);
        receiver
    }

    /// Where the answer goes.
    ///
    /// # Panics
    /// If it is asked for twice.
    pub fn reply<A: Answers>(&mut self) -> StreamReply<A> {
        let answer = self.answer.take().expect("a call has one reply");
        StreamReply { to: Some(To::Wire(answer, self.codec, self.item_bytes_max)), began: false }
    }
}

impl<A: Answers> fmt::Debug for StreamReply<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamReply").field("began", &self.began).finish_non_exhaustive()
    }
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ports").field("codec", &self.codec).finish_non_exhaustive()
    }
}
