//! What fuzzers throw bytes at, one function for each decoder of this crate. Exists in tests and under `cfg(fuzzing)`,
//! which cargo-fuzz sets; nothing else may use it.
//!
//! Each takes any bytes and panics if the decoder does not keep its word: what it accepts, it writes again as the same.

mod served;

use std::{
    fmt::Debug,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use prost::Message;
use qmesh_transport::{ChannelReader, ChannelWriter, RawReader, RawWriter, ReadError, ResetCode, WriteError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    runtime::Runtime,
    sync::oneshot,
    time::{Instant, timeout},
};

pub use served::runtime_served;

use crate::{
    channel::{
        caller::{ChannelCaller, Outbound},
        failure_code,
        head::Head,
        items,
        stream_caller::{self, StreamCaller},
    },
    codec::Codec,
    config::Limits,
    control_api::{Answer, Query},
    stream::Receiver,
    wire::{
        frame::{Chunk, FrameError, Frames, kind},
        messages::{Control, Hello, Open, Opened, OpenedMethod, WireFailure},
    },
};

/// A peer that sends these bytes in pieces, then the end.
#[derive(Debug)]
struct Peer {
    bytes: Bytes,
    piece: usize,
}

/// Where what is said to the peer goes.
#[derive(Debug, Default)]
struct Sink {
    said: Arc<Mutex<BytesMut>>,
    finished: bool,
}

/// The largest payload here.
const LIMIT: usize = 1024;

impl Peer {
    /// The frames of a peer.
    fn frames(bytes: &[u8], piece: usize) -> Frames {
        let bytes = Bytes::copy_from_slice(bytes);
        Frames::new(ChannelReader::new(Self { bytes, piece: piece.max(1) }), LIMIT)
    }
}

/// The frames of a channel, in pieces of the first byte's size and in one: both times the same.
pub fn runtime_frames(bytes: &[u8]) {
    let Some((piece, bytes)) = bytes.split_first() else { return };
    let cut = run(all_frames(bytes, (*piece).into()));
    assert_eq!(cut, run(all_frames(bytes, bytes.len())), "in pieces of {piece}");
}

async fn all_frames(bytes: &[u8], piece: usize) -> (Vec<(u8, Bytes)>, Option<FrameError>) {
    let (mut frames, mut seen) = (Peer::frames(bytes, piece), Vec::new());
    loop {
        match frames.next().await {
            Ok(Some(mut chunk)) => {
                while let Some((kind, payload)) = chunk.next() {
                    seen.push((kind, chunk.bytes.slice(payload)));
                }
            }
            Ok(None) => return (seen, None),
            Err(error) => return (seen, Some(error)),
        }
    }
}

/// The introduction of a peer.
pub fn runtime_hello(bytes: &[u8]) {
    message::<Hello>(bytes);
}

/// A message of the control channel.
pub fn runtime_control(bytes: &[u8]) {
    message::<Control>(bytes);
}

/// The opening of a call channel.
pub fn runtime_open(bytes: &[u8]) {
    message::<Open>(bytes);
}

/// What a call begins with: its method and its head.
pub fn runtime_head(bytes: &[u8]) {
    let mut rest = bytes;
    let Ok((method, head)) = Head::take(&mut rest, kind::CALL, &Limits::default()) else { return };
    let mut written = BytesMut::new();
    head.put(&mut written, usize::try_from(method).unwrap_or(usize::MAX));
    let (again, same) =
        Head::take(&mut &written[..], kind::CALL, &Limits::default()).expect("it was just written");
    assert_eq!((again, same.allowance, same.metadata), (method, head.allowance, head.metadata));
    assert_eq!(same.trace.ids(), head.trace.ids());
}

/// The answer to it.
pub fn runtime_opened(bytes: &[u8]) {
    message::<Opened>(bytes);
}

/// A failure.
pub fn runtime_failure(bytes: &[u8]) {
    message::<WireFailure>(bytes);
    if let Ok(wire) = WireFailure::decode(bytes) {
        let failure = failure_code::from_wire(wire);
        let again = failure_code::from_wire(failure_code::to_wire(&failure));
        assert_eq!((again.outcome(), again.reason()), (failure.outcome(), failure.reason()));
    }
}

fn message<M: Message + Default + PartialEq + Debug>(bytes: &[u8]) {
    if let Ok(message) = M::decode(bytes) {
        assert_eq!(M::decode(&message.encode_to_vec()[..]), Ok(message));
    }
}

/// What a service says on a call channel to a caller with two calls and a one-way send under way.
pub fn runtime_caller(bytes: &[u8]) {
    let opened = Opened {
        methods: vec![OpenedMethod::default(); 2],
        one_way_window: 4,
        calls_max: 4,
        message_bytes_max: LIMIT as u64,
        metadata_bytes_max: 0,
    };
    let caller = Arc::new(ChannelCaller::new(opened, Arc::default(), Arc::default()));
    let now = Instant::now();
    let (head, deadline) = (&Head::USUAL, now + Duration::from_secs(1));
    let calls = [(); 2].map(|()| caller.start(Outbound { method: 0, head, arguments: b"", deadline }, now));
    let _sent = caller.try_send(1, head, b"");
    run(async {
        let why =
            Arc::clone(&caller).run(Peer::frames(bytes, 100), ChannelWriter::new(Sink::default())).await;
        caller.end(&why);
        assert!(!caller.is_live());
        for call in calls {
            let answer = call.expect("two calls may be under way").await;
            if let Ok(reply) = answer.result {
                // Whatever it is, it is the typed caller's to read.
                drop(Codec::MessagePack.decode::<Value>(&reply.body));
            }
        }
    });
}

/// What a service says to a call with a stream in either direction.
pub fn runtime_stream(bytes: &[u8]) {
    let sink = Sink::default();
    let said = sink.said.clone();
    run(async {
        let (to, answer) = oneshot::channel();
        let (incoming, mut receiver) = items::incoming::<u64>(Codec::MessagePack);
        let caller = StreamCaller {
            frames: Peer::frames(bytes, 100),
            writer: ChannelWriter::new(sink),
            outgoing: Some(items::outgoing(Receiver::of([1_u64, 2, 3]), Codec::MessagePack, LIMIT)),
            incoming: Some(incoming),
            answer: to,
        };
        let begin = stream_caller::begin(&Head::USUAL, None, b"\x90");
        let listening = async {
            let answered = answer.await;
            while let Ok(Some(_item)) = receiver.recv().await {}
            answered.is_ok()
        };
        let (_ended, told) = tokio::join!(caller.run(begin), listening);
        assert!(told, "the caller is told what came of its call");
    });
    let said = said.lock().split().freeze();
    let (said, cut) = run(all_frames(&said, said.len()));
    assert_eq!(cut, None, "what it says are frames");
    let kinds: Vec<_> = said.iter().map(|(kind, _)| *kind).collect();
    let whole = [kind::STREAM, kind::ITEM, kind::ITEM, kind::ITEM, kind::END];
    assert!(whole.starts_with(&kinds), "{kinds:?}");
}

/// The items of a stream, in the codec that the first byte chooses.
pub fn runtime_items(bytes: &[u8]) {
    run(async {
        let mut frames = Peer::frames(bytes, 7);
        if let Ok(Some(chunk)) = frames.next().await {
            receive::<Value>(chunk, &mut frames).await;
        }
    });
}

async fn receive<T: DeserializeOwned + Debug + Send + 'static>(chunk: Chunk, frames: &mut Frames) {
    let (incoming, mut receiver) = items::incoming::<T>(Codec::MessagePack);
    let drained = async {
        let mut count = 0;
        while let Ok(Some(_item)) = receiver.recv().await {
            count += 1;
        }
        count
    };
    let (_ended, _count) =
        tokio::join!(items::receive(chunk, frames, incoming, std::future::pending()), drained);
}

/// Something of every shape that values have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Value {
    text: String,
    numbers: Vec<u64>,
    #[serde(default)]
    maybe: Option<Box<Self>>,
    #[serde(default)]
    choice: Choice,
    #[serde(default)]
    map: std::collections::BTreeMap<String, i64>,
    #[serde(default)]
    fraction: f32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
enum Choice {
    #[default]
    Nothing,
    One(i32),
    Two(String, bool),
    Named {
        tuple: (u8, char),
    },
}

/// Values in MessagePack.
pub fn runtime_msgpack(bytes: &[u8]) {
    value(Codec::MessagePack, bytes);
}

/// Values in JSON.
pub fn runtime_json(bytes: &[u8]) {
    value(Codec::Json, bytes);
}

fn value(codec: Codec, bytes: &[u8]) {
    if let Ok(value) = codec.decode::<Value>(bytes) {
        let written = codec.encode(&value).expect("what was read can be written");
        let again: Value = codec.decode(&written).expect("what was written can be read");
        assert_eq!(codec.encode(&again).ok(), Some(written), "{value:?}");
    }
}

/// A question of a command line, or the answer to one.
pub fn runtime_question(bytes: &[u8]) {
    json::<Query>(bytes);
    json::<Answer>(bytes);
}

fn json<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    if let Ok(value) = serde_json::from_slice::<T>(bytes) {
        let written = serde_json::to_vec(&value).expect("what was read can be written");
        let again: T = serde_json::from_slice(&written).expect("what was written can be read");
        assert_eq!(serde_json::to_vec(&again).ok(), Some(written), "{value:?}");
    }
}

/// Runs work that ends soon, in virtual time.
fn run<T>(work: impl Future<Output = T>) -> T {
    let ended = runtime().block_on(async { timeout(Duration::from_secs(60), work).await });
    ended.expect("it ends when the peer's bytes are over")
}

fn runtime() -> Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime in virtual time needs nothing")
}

// === impl Peer, Sink ===

impl RawWriter for Sink {
    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &mut Bytes) -> Poll<Result<(), WriteError>> {
        assert!(!self.finished, "something was said after the end");
        self.said.lock().extend_from_slice(&bytes.split_to(bytes.len()));
        Poll::Ready(Ok(()))
    }

    fn finish(&mut self) -> Result<(), WriteError> {
        self.finished = true;
        Ok(())
    }

    fn reset(&mut self, _: ResetCode) {
        self.finished = true;
    }

    fn poll_stopped(&mut self, _: &mut Context<'_>) -> Poll<WriteError> {
        Poll::Pending
    }

    fn poll_delivered(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn set_priority(&mut self, _: i32) {}
}

impl RawReader for Peer {
    fn poll_read(
        &mut self,
        _: &mut Context<'_>,
        buffer: &mut BytesMut,
        limit: usize,
    ) -> Poll<Result<usize, ReadError>> {
        let count = self.piece.min(limit).min(self.bytes.len());
        buffer.extend_from_slice(&self.bytes.split_to(count));
        Poll::Ready(Ok(count))
    }

    fn stop(&mut self, _: ResetCode) {}
}

#[cfg(test)]
mod tests {
    use qmesh_trial::fuzz::{Target, try_all};

    use super::*;

    #[test]
    fn no_bytes_break_a_decoder() {
        let target = |name, run, held_max| Target { name, run, held_max };
        // The node that it takes is no input's.
        runtime_served(b"");
        try_all(
            "runtime_",
            &[
                target("runtime_caller", runtime_caller, 16 << 10),
                target("runtime_control", runtime_control, 8 << 10),
                target("runtime_failure", runtime_failure, 8 << 10),
                target("runtime_frames", runtime_frames, 32 << 10),
                target("runtime_hello", runtime_hello, 8 << 10),
                target("runtime_items", runtime_items, 2 << 20),
                target("runtime_json", runtime_json, 16 << 10),
                // A length that is claimed makes room for 1 MiB at most, and only for as long as the decoding takes.
                target("runtime_msgpack", runtime_msgpack, 2 << 20),
                target("runtime_open", runtime_open, 8 << 10),
                target("runtime_head", runtime_head, 64 << 10),
                target("runtime_opened", runtime_opened, 8 << 10),
                target("runtime_question", runtime_question, 32 << 10),
                // As with any value in MessagePack.
                target("runtime_served", runtime_served, 2 << 20),
                target("runtime_stream", runtime_stream, 16 << 10),
            ],
        );
    }
}
