//! Frames: a kind (u8), a length (u32, big-endian) and that many bytes.
//!
//! ```text
//! +------+----------------+----------------+
//! | kind | length         | payload        |
//! | u8   | u32 big-endian | length bytes   |
//! +------+----------------+----------------+
//! ```
//!
//! The first frame on a channel says what the channel is for:
//!
//! | kind | from | payload |
//! |---|---|---|
//! | `HELLO`, then `CONTROL` | both | Protobuf: the control channel, the first of a session |
//! | `GOSSIP` | both | one gossip message |
//! | `OPEN` | caller | Protobuf: the service, codec and methods of a call channel |
//! | `OPENED`, `REFUSED` | service | Protobuf: what became of it |
//! | `CALL` | caller | call id (varint), method and head, milliseconds that remain (varint), arguments |
//! | `ONE_WAY` | caller | method and head, arguments |
//! | `CANCEL` | caller | call id (varint) |
//! | `STREAM` | caller | method and head, milliseconds that remain or 0 (varint), arguments: the one call of its channel |
//! | `ITEM` | both | one item of a stream |
//! | `END` | both | the stream is complete |
//! | `CUT` | both | Protobuf: the stream is broken, and why |
//! | `REPLY` | service | call id (varint), status (u8), queue age (u8, log2 of microseconds), repeats spent (varint, if the status has bit 0x80), body |
//! | `ACKNOWLEDGE` | service | one-way sends handled, refused, unknown so far (three varints) |
//! | `QUESTION` | a node | JSON: what it asks about the other, the one thing on its channel |
//! | `ANSWER` | the other | JSON |
//!
//! Method and head are a varint, twice the method's number, plus one if a head follows: its length (varint) and Protobuf,
//! for what is rare (see `channel/head.rs`).
//! Arguments are, in MessagePack, an array of the values in the order of the method's signature, which both sides agreed
//! on at the opening; in JSON an object by parameter name. Varints are Protobuf's. Every call gets exactly one reply, a cancelled one too: only then may its id be used again.

use std::{ops::Range, sync::Arc};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::encoding::{decode_varint, encode_varint};
use qmesh_transport::{ChannelReader, ReadError, ResetCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) const HEAD: usize = 5;
/// Bytes taken from the transport at most in one read.
const READ: usize = 64 * 1024;
/// A larger frame is a large one, and one of which more is there is read to its end before anything else is.
const LARGE: usize = 4 * 1024;

pub(crate) mod kind {
    pub(crate) const HELLO: u8 = 0x01;
    pub(crate) const CONTROL: u8 = 0x02;
    pub(crate) const GOSSIP: u8 = 0x08;
    pub(crate) const OPEN: u8 = 0x10;
    pub(crate) const OPENED: u8 = 0x11;
    pub(crate) const REFUSED: u8 = 0x12;
    pub(crate) const CALL: u8 = 0x20;
    pub(crate) const ONE_WAY: u8 = 0x21;
    pub(crate) const CANCEL: u8 = 0x22;
    pub(crate) const STREAM: u8 = 0x23;
    pub(crate) const ITEM: u8 = 0x24;
    pub(crate) const END: u8 = 0x25;
    pub(crate) const CUT: u8 = 0x26;
    pub(crate) const REPLY: u8 = 0x28;
    pub(crate) const ACKNOWLEDGE: u8 = 0x29;
    pub(crate) const QUESTION: u8 = 0x30;
    pub(crate) const ANSWER: u8 = 0x31;
}

/// The status byte of a reply: what its body is.
pub(crate) mod status {
    pub(crate) const VALUE: u8 = 0;
    pub(crate) const SERVICE_ERROR: u8 = 1;
    pub(crate) const FAILURE: u8 = 2;
    /// Beside one of these: the number of repeats that were spent follows.
    pub(crate) const SPENT: u8 = 0x80;
}

/// Bytes that are no frames. The channel is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame of {length} bytes; the limit is {limit}")]
    TooLarge { length: usize, limit: usize },
    #[error("the channel ended in the middle of a frame")]
    Truncated,
    #[error("a frame of kind {0:#04x} has no place here")]
    Unexpected(u8),
    #[error("a malformed frame of kind {0:#04x}")]
    Malformed(u8),
    #[error("more than {0} one-way sends are not acknowledged")]
    Uncredited(u64),
    #[error("too many large frames of the session have begun and wait")]
    Crowded,
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl FrameError {
    /// With what a channel ends that has failed so.
    pub(crate) fn reset_code(&self) -> ResetCode {
        match self {
            Self::Read(ReadError::Reset(code)) => *code,
            Self::Read(_) => ResetCode::DROPPED,
            Self::Crowded => ResetCode::CROWDED,
            _ => ResetCode::PROTOCOL,
        }
    }
}

/// Appends one frame whose payload `write` appends.
#[inline]
pub(crate) fn put(buffer: &mut BytesMut, kind: u8, write: impl FnOnce(&mut BytesMut)) {
    let length_at = buffer.len() + 1;
    buffer.extend_from_slice(&[kind, 0, 0, 0, 0]);
    let start = buffer.len();
    write(buffer);
    let length = u32::try_from(buffer.len() - start).expect("payloads are bounded far below 4 GiB");
    buffer[length_at..start].copy_from_slice(&length.to_be_bytes());
}

/// The frame whose payload follows the first [`HEAD`] bytes, which are room for the rest of it.
pub(crate) fn of_room(kind: u8, mut bytes: Vec<u8>) -> BytesMut {
    let length = u32::try_from(bytes.len() - HEAD).expect("payloads are bounded far below 4 GiB");
    bytes[0] = kind;
    bytes[1..HEAD].copy_from_slice(&length.to_be_bytes());
    // Nobody else has them, so that they are not copied.
    BytesMut::from(Bytes::from(bytes))
}

#[inline]
pub(crate) fn put_varint(buffer: &mut BytesMut, value: u64) {
    match u8::try_from(value) {
        Ok(byte) if byte < 0x80 => buffer.put_u8(byte),
        _ => encode_varint(value, buffer),
    }
}

/// Takes a varint off the front of `payload`.
#[inline]
pub(crate) fn take_varint(payload: &mut &[u8], kind: u8) -> Result<u64, FrameError> {
    match payload.first() {
        Some(&byte) if byte < 0x80 => {
            payload.advance(1);
            Ok(byte.into())
        }
        _ => decode_varint(payload).map_err(|_malformed| FrameError::Malformed(kind)),
    }
}

/// Takes a byte off the front of `payload`.
#[inline]
pub(crate) fn take_u8(payload: &mut &[u8], kind: u8) -> Result<u8, FrameError> {
    let (&byte, rest) = payload.split_first().ok_or(FrameError::Malformed(kind))?;
    *payload = rest;
    Ok(byte)
}

/// Room for the large frames of one session that have begun and not ended, or whose calls wait for a place.
///
/// What a frame that waits for room has sent lies in the session's window, and so takes it from those that have room.
/// Were there enough of them, nobody could go on any more: so few may wait, and further ones are refused.
#[derive(Debug)]
pub(crate) struct LargeFrames {
    room: Arc<Semaphore>,
    places: Semaphore,
}

impl LargeFrames {
    pub(crate) fn new(bytes: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(bytes)), places: Semaphore::new(LARGE_WAITING_MAX) }
    }

    async fn acquire(&self, bytes: u32) -> Result<OwnedSemaphorePermit, FrameError> {
        let room = Arc::clone(&self.room);
        if let Ok(held) = Arc::clone(&room).try_acquire_many_owned(bytes) {
            return Ok(held);
        }
        let _place = self.places.try_acquire().map_err(|_none| FrameError::Crowded)?;
        room.acquire_many_owned(bytes).await.map_err(|_closed| FrameError::Crowded)
    }
}

/// Large frames of one session that may wait for room: with the default windows, they hold 40 MB of its 64 MiB.
const LARGE_WAITING_MAX: usize = 32;

/// Reads frames: all that one read brought are handed on together.
#[derive(Debug)]
pub(crate) struct Frames {
    reader: ChannelReader,
    buffer: BytesMut,
    limit: usize,
    /// What the larger frames of all channels of a session may hold while they come; none where the peer is trusted
    /// with the limit.
    share: Option<Arc<LargeFrames>>,
    /// What the frame that comes has of it.
    held: Option<OwnedSemaphorePermit>,
}

/// Whole frames, in order.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) bytes: Bytes,
    at: usize,
    /// What they have of the session's share, if one of them is large.
    held: Option<OwnedSemaphorePermit>,
}

impl Frames {
    /// Frames with payloads of at most `limit` bytes.
    pub(crate) fn new(reader: ChannelReader, limit: usize) -> Self {
        Self { reader, buffer: BytesMut::new(), limit, share: None, held: None }
    }

    /// All frames that are there, at least one; `None` at the peer's half-close.
    ///
    /// Cancelling loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Option<Chunk>, FrameError> {
        loop {
            let whole = self.whole()?;
            if whole > 0 {
                let bytes = self.take(whole);
                return Ok(Some(Chunk { bytes, at: 0, held: self.held.take() }));
            }
            let room = self.room().await?;
            if self.reader.read(&mut self.buffer, room).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(FrameError::Truncated) };
            }
        }
    }

    /// The first `length` bytes. What was made room for them, if they are many, goes with them: it would be the channel's
    /// for as long as nothing else comes.
    fn take(&mut self, length: usize) -> Bytes {
        let bytes = self.buffer.split_to(length).freeze();
        if length > READ {
            self.buffer = BytesMut::from(&self.buffer[..]);
        }
        bytes
    }

    /// How much to read. Waits until the session's share has room for the frame that comes, if it is a large one.
    async fn room(&mut self) -> Result<usize, FrameError> {
        let Some(length) = self.claim() else { return Ok(READ) };
        if length > LARGE
            && self.held.is_none()
            && let Some(share) = &self.share
            && let Ok(bytes) = u32::try_from(length)
        {
            self.held = Some(share.acquire(bytes).await?);
        }
        if length > READ && self.buffer.len() >= READ {
            // All at once, for a peer that means it: what grows step by step is copied at some of them.
            self.buffer.reserve((HEAD + length).saturating_sub(self.buffer.len()));
        }
        Ok(if self.buffer.len() < LARGE { READ } else { (HEAD + length - self.buffer.len()).min(READ) })
    }

    /// The length that the frame which comes claims, once its header is there.
    fn claim(&self) -> Option<usize> {
        let header = self.buffer.get(..HEAD)?;
        Some(u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize)
    }

    /// The first frame alone, for the opening of a channel.
    pub(crate) async fn first(&mut self) -> Result<Option<(u8, Bytes)>, FrameError> {
        loop {
            if let Some(length) = self.length_at(0)? {
                self.held = None;
                let mut frame = self.take(length);
                let kind = frame.get_u8();
                frame.advance(HEAD - 1);
                return Ok(Some((kind, frame)));
            }
            let room = self.room().await?;
            if self.reader.read(&mut self.buffer, room).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(FrameError::Truncated) };
            }
        }
    }

    /// Another bound for the payloads to come.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Frames of more than 4 KiB wait for room in `share`, which has room for the largest.
    pub(crate) fn set_share(&mut self, share: Arc<LargeFrames>) {
        self.share = Some(share);
    }

    /// Gives back the room for what comes, if nothing of it is there: for channels on which little comes.
    pub(crate) fn rest(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    pub(crate) fn stop(&mut self, code: ResetCode) {
        self.reader.stop(code);
    }

    /// The length of the frame at `at`, header included, if it is there whole.
    fn length_at(&self, at: usize) -> Result<Option<usize>, FrameError> {
        let Some(header) = self.buffer.get(at..at + HEAD) else { return Ok(None) };
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
        if length > self.limit {
            return Err(FrameError::TooLarge { length, limit: self.limit });
        }
        Ok((self.buffer.len() - at >= HEAD + length).then_some(HEAD + length))
    }

    /// The bytes of all whole frames. One that is too large is an error once those before it are taken, however they
    /// came.
    fn whole(&self) -> Result<usize, FrameError> {
        let mut at = 0;
        loop {
            match self.length_at(at) {
                Ok(Some(length)) => at += length,
                Err(error) if at == 0 => return Err(error),
                Ok(None) | Err(_) => return Ok(at),
            }
        }
    }
}

impl Chunk {
    #[cfg(any(test, feature = "__instructions"))]
    pub(crate) const fn of(bytes: Bytes) -> Self {
        Self { bytes, at: 0, held: None }
    }

    /// Gives the bytes up, and keeps what they have of the session's share: until what they asked for has its place.
    pub(crate) fn into_held(self) -> Option<OwnedSemaphorePermit> {
        self.held
    }

    /// Gives back what they have of the session's share: who waits with them waits for this node, not for the peer.
    pub(crate) fn let_go(&mut self) {
        self.held = None;
    }

    /// The kind of the next frame.
    pub(crate) fn kind(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The next frame: its kind, and where its payload lies in `bytes`.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<(u8, Range<usize>)> {
        let header = self.bytes.get(self.at..self.at + HEAD)?;
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
        let kind = header[0];
        let start = self.at + HEAD;
        self.at = start + length;
        Some((kind, start..self.at))
    }
}

#[cfg(test)]
mod tests;
