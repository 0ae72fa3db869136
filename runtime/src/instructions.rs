//! The hot pieces that are not public, for the benchmarks that count their instructions (`tests/instructions`).

use bytes::{Bytes, BytesMut};

use crate::{
    client::ServiceClient,
    service::{Contract, Inbox},
    wire::frame::{self, Chunk, kind},
};

/// Bytes of so many frames with that payload.
#[must_use]
pub fn encode_frames(count: usize, payload: &[u8]) -> Bytes {
    let mut buffer = BytesMut::new();
    for _ in 0..count {
        frame::put(&mut buffer, kind::CALL, |buffer| buffer.extend_from_slice(payload));
    }
    buffer.freeze()
}

/// Goes through frames; how many bytes their payloads have.
#[must_use]
pub fn decode_frames(bytes: Bytes) -> usize {
    let mut chunk = Chunk::of(bytes);
    let mut length = 0;
    while let Some((_, payload)) = chunk.next() {
        length += payload.len();
    }
    length
}

/// The queue of a service.
#[derive(Debug)]
pub struct Queue<C: Contract>(Inbox<C>);

impl<C: Contract> Queue<C> {
    /// A queue of so many places.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self(Inbox::new(capacity, std::sync::Arc::default()))
    }

    /// Takes a place and gives it back, so often; how often there was one.
    #[must_use]
    pub fn admit(&self, count: usize) -> usize {
        let admitted = (0..count).filter(|_| {
            let admitted = self.0.admit_at_once(1);
            if admitted {
                self.0.release(1);
            }
            admitted
        });
        admitted.count()
    }
}

/// Picks an endpoint so often; how often there was one on another node.
#[must_use]
pub fn pick<T: ServiceClient>(client: &T, count: usize) -> usize {
    let client = client.as_client();
    (0..count).filter(|_| client.route().table(client.node()).pick(&[]).is_some()).count()
}
