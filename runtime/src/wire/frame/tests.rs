//! Frames, however their bytes come.

use std::task::{Context, Poll};

use proptest::{collection::vec, prelude::*};
use qmesh_transport::{RawReader, ResetCode};

use super::*;

/// A peer that sends these bytes in pieces of this size, then the end.
struct Script(Vec<u8>, usize);

impl RawReader for Script {
    fn poll_read(
        &mut self,
        _: &mut Context<'_>,
        buffer: &mut BytesMut,
        limit: usize,
    ) -> Poll<Result<usize, ReadError>> {
        let count = self.1.min(limit).min(self.0.len());
        buffer.extend(self.0.drain(..count));
        Poll::Ready(Ok(count))
    }

    fn stop(&mut self, _: ResetCode) {}
}

async fn read(bytes: &[u8], piece: usize) -> Result<Vec<(u8, Vec<u8>)>, FrameError> {
    let mut frames = Frames::new(ChannelReader::new(Script(bytes.to_vec(), piece)), 16);
    let mut seen = Vec::new();
    while let Some(mut chunk) = frames.next().await? {
        while let Some((kind, payload)) = chunk.next() {
            seen.push((kind, chunk.bytes[payload].to_vec()));
        }
    }
    Ok(seen)
}

fn two_frames() -> BytesMut {
    let mut bytes = BytesMut::new();
    put(&mut bytes, kind::CALL, |buffer| {
        put_varint(buffer, 300);
        buffer.put_slice(b"hi");
    });
    put(&mut bytes, kind::CANCEL, |buffer| put_varint(buffer, 7));
    bytes
}

#[test]
fn the_bytes_of_frames_never_change() {
    assert_eq!(two_frames().to_vec(), b"\x20\x00\x00\x00\x04\xac\x02hi\x22\x00\x00\x00\x01\x07");
}

#[tokio::test]
async fn frames_are_read_however_they_are_cut() {
    let bytes = two_frames();
    let whole = vec![(kind::CALL, b"\xac\x02hi".to_vec()), (kind::CANCEL, vec![7])];
    for piece in 1..=bytes.len() {
        assert_eq!(read(&bytes, piece).await, Ok(whole.clone()), "in pieces of {piece}");
    }
}

#[tokio::test]
async fn an_end_in_the_middle_of_a_frame_is_an_error() {
    let bytes = two_frames();
    for cut in [1, HEAD, bytes.len() - 1] {
        assert_eq!(read(&bytes[..cut], 64).await, Err(FrameError::Truncated), "cut at {cut}");
    }
}

#[tokio::test]
async fn a_length_past_the_limit_is_refused_before_it_is_read() {
    let claim = [kind::CALL, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(read(&claim, 64).await, Err(FrameError::TooLarge { length: 0xffff_ffff, limit: 16 }));
}

#[tokio::test]
async fn frames_before_one_that_is_too_large_are_read_first() {
    let mut bytes = two_frames().to_vec();
    bytes.extend([kind::CALL, 0xff, 0xff, 0xff, 0xff]);
    let mut frames = Frames::new(ChannelReader::new(Script(bytes, 64)), 16);
    let mut chunk = frames.next().await.unwrap().unwrap();
    assert_eq!(std::iter::from_fn(|| chunk.next()).count(), 2);
    assert!(matches!(frames.next().await, Err(FrameError::TooLarge { .. })));
}

#[test]
fn varints_survive_and_endless_ones_are_refused() {
    for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
        let mut bytes = BytesMut::new();
        put_varint(&mut bytes, value);
        assert_eq!(take_varint(&mut &bytes[..], 0), Ok(value));
    }
    assert_eq!(take_varint(&mut &[0xff; 11][..], 9), Err(FrameError::Malformed(9)));
    assert_eq!(take_varint(&mut &[][..], 9), Err(FrameError::Malformed(9)));
}

/// A peer that sends pieces of these sizes, over and over, then the end.
struct Pieces(Bytes, Vec<usize>, usize);

impl RawReader for Pieces {
    fn poll_read(
        &mut self,
        _: &mut Context<'_>,
        buffer: &mut BytesMut,
        limit: usize,
    ) -> Poll<Result<usize, ReadError>> {
        let Self(bytes, pieces, at) = self;
        let count = pieces[*at % pieces.len()].min(limit).min(bytes.len());
        *at += 1;
        buffer.extend(bytes.split_to(count));
        Poll::Ready(Ok(count))
    }

    fn stop(&mut self, _: ResetCode) {}
}

type Seen = (Vec<(u8, Vec<u8>)>, Option<FrameError>);

/// Everything that is read, and the error that ended it.
fn read_in(bytes: &[u8], pieces: &[usize], limit: usize) -> Seen {
    let script = Pieces(Bytes::copy_from_slice(bytes), pieces.to_vec(), 0);
    let mut frames = Frames::new(ChannelReader::new(script), limit);
    let mut seen = Vec::new();
    let read = async {
        while let Some(mut chunk) = frames.next().await? {
            while let Some((kind, payload)) = chunk.next() {
                seen.push((kind, chunk.bytes[payload].to_vec()));
            }
        }
        Ok(())
    };
    let ended = futures_util::FutureExt::now_or_never(read).expect("the script never waits");
    (seen, ended.err())
}

fn written(frames: &[(u8, Vec<u8>)]) -> BytesMut {
    let mut bytes = BytesMut::new();
    for (kind, payload) in frames {
        put(&mut bytes, *kind, |buffer| buffer.put_slice(payload));
    }
    bytes
}

proptest! {
    #[test]
    fn any_cutting_gives_the_frames_that_were_written(
        frames in vec((any::<u8>(), vec(any::<u8>(), 0..50)), 0..20),
        pieces in vec(1_usize..40, 1..10),
    ) {
        prop_assert_eq!(read_in(&written(&frames), &pieces, 50), (frames, None));
    }

    #[test]
    fn a_cut_or_a_length_too_large_ends_what_is_read_there_and_not_before(
        frames in vec((any::<u8>(), vec(any::<u8>(), 0..50)), 0..10),
        last in (any::<u8>(), 51_u32..),
        keep in any::<prop::sample::Index>(),
        pieces in vec(1_usize..40, 1..10),
    ) {
        let mut bytes = written(&frames);
        let keep = keep.index(bytes.len() + 1);
        let (seen, error) = read_in(&bytes[..keep], &pieces, 50);
        prop_assert_eq!(&frames[..seen.len()], &seen[..]);
        let rest = keep - written(&seen).len();
        prop_assert_eq!(error, (rest > 0).then_some(FrameError::Truncated));

        bytes.put_u8(last.0);
        bytes.put_u32(last.1);
        let large = FrameError::TooLarge { length: last.1 as usize, limit: 50 };
        prop_assert_eq!(read_in(&bytes, &pieces, 50), (frames, Some(large)));
    }

    #[test]
    fn any_number_is_a_varint(value: u64) {
        let mut bytes = BytesMut::new();
        put_varint(&mut bytes, value);
        let mut rest = &bytes[..];
        prop_assert_eq!(take_varint(&mut rest, 0), Ok(value));
        prop_assert!(rest.is_empty());
        for cut in 0..bytes.len() {
            prop_assert_eq!(take_varint(&mut &bytes[..cut], 0), Err::<u64, _>(FrameError::Malformed(0)));
        }
    }
}
