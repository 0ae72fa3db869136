//! Frames: the length of the payload (u32, big-endian), an id (u32, big-endian), the payload.

use anyhow::Result;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The id of a frame that wants no answer.
pub(super) const ONE_WAY: u32 = u32::MAX;
/// The id of a frame that orders items, which come as the only frames of their stream.
pub(super) const ORDER: u32 = u32::MAX - 1;

const HEADER_BYTES: usize = 8;
/// The buffer that reads fill.
const BUFFER_BYTES: usize = 128 * 1024;
/// With less room than this the buffer is renewed before the next read.
const ROOM_MIN: usize = 32 * 1024;

/// Appends one frame.
///
/// # Panics
///
/// If the payload is 4 GiB or more.
#[inline]
pub(super) fn put(buffer: &mut BytesMut, id: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("a payload of this bench is small");
    buffer.reserve(HEADER_BYTES + payload.len());
    buffer.put_u32(length);
    buffer.put_u32(id);
    buffer.put_slice(payload);
}

/// Reads frames: all that one read brought are taken before the next read.
pub(super) struct Frames<R> {
    reader: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, buffer: BytesMut::with_capacity(BUFFER_BYTES) }
    }

    /// Reads what has arrived, at least one byte; false at the end.
    pub(super) async fn fill(&mut self) -> Result<bool> {
        if self.buffer.capacity() - self.buffer.len() < ROOM_MIN {
            self.buffer.reserve(BUFFER_BYTES);
        }
        Ok(self.reader.read_buf(&mut self.buffer).await? > 0)
    }

    /// The next frame that is there as a whole.
    #[inline]
    pub(super) fn next(&mut self) -> Option<(u32, Bytes)> {
        let (length, rest) = self.buffer.split_first_chunk()?;
        let (length, id) = (u32::from_be_bytes(*length) as usize, u32::from_be_bytes(*rest.first_chunk()?));
        if self.buffer.len() - HEADER_BYTES < length {
            return None;
        }
        self.buffer.advance(HEADER_BYTES);
        Some((id, self.buffer.split_to(length).freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> Vec<(u32, Bytes)> {
        let mut frames = Frames::new(bytes);
        let mut found = Vec::new();
        while frames.fill().await.unwrap() {
            found.extend(std::iter::from_fn(|| frames.next()));
        }
        found
    }

    #[tokio::test]
    async fn frames_come_out_as_they_were_put() {
        let mut buffer = BytesMut::new();
        put(&mut buffer, 7, b"seven");
        put(&mut buffer, ONE_WAY, b"");
        let found = read(&buffer).await;
        assert_eq!(found, [(7, Bytes::from_static(b"seven")), (ONE_WAY, Bytes::new())]);
    }

    #[tokio::test]
    async fn half_a_frame_waits_for_the_rest() {
        let mut buffer = BytesMut::new();
        put(&mut buffer, 7, b"seven");
        for end in 0..buffer.len() {
            assert!(read(&buffer[..end]).await.is_empty());
        }
    }
}
