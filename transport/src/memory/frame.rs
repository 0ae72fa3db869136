//! The frames that memory sessions exchange, as bytes.
//!
//! ```text
//! kind u8 | payload                          all integers big-endian
//!   1 hello   certificates, each u32 length + DER     both sides, before anything else
//!   2 accept                                          the acceptor believes the dialer; the session begins
//!   3 refuse  alert u8                                why not, as a TLS alert
//!   4 data    channel u64, bytes                      the first frame of a channel opens it
//!   5 window  channel u64, bytes u32                  so many more may be sent
//!   6 finish  channel u64                             the end of the data
//!   7 reset   channel u64, code u32                   the data ends here, incomplete
//!   8 stop    channel u64, code u32                   the data is no longer read
//!   9 close   code u32, reason as UTF-8               the end of the session
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};
use rustls_pki_types::CertificateDer;

use crate::{CloseCode, ResetCode};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Hello { chain: Vec<CertificateDer<'static>> },
    Accept,
    Refuse { alert: u8 },
    Data { channel: u64, bytes: Bytes },
    Window { channel: u64, bytes: u32 },
    Finish { channel: u64 },
    Reset { channel: u64, code: ResetCode },
    Stop { channel: u64, code: ResetCode },
    Close { code: CloseCode, reason: String },
}

/// Bytes that are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("the frame is cut short")]
    Short,
    #[error("bytes follow the frame")]
    Long,
    #[error("no frame is of kind {0}")]
    Kind(u8),
    #[error("a reason is not UTF-8")]
    Text,
}

// === impl Frame ===

impl Frame {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(16 + self.payload_bytes());
        match self {
            Self::Hello { chain } => {
                out.put_u8(1);
                for certificate in chain {
                    out.put_u32(
                        u32::try_from(certificate.len()).expect("a certificate is a few hundred bytes"),
                    );
                    out.put_slice(certificate);
                }
            }
            Self::Accept => out.put_u8(2),
            Self::Refuse { alert } => {
                out.put_u8(3);
                out.put_u8(*alert);
            }
            Self::Data { channel, bytes } => {
                put_channel(&mut out, 4, *channel);
                out.put_slice(bytes);
            }
            Self::Window { channel, bytes } => {
                put_channel(&mut out, 5, *channel);
                out.put_u32(*bytes);
            }
            Self::Finish { channel } => put_channel(&mut out, 6, *channel),
            Self::Reset { channel, code } => {
                put_channel(&mut out, 7, *channel);
                out.put_u32(code.0);
            }
            Self::Stop { channel, code } => {
                put_channel(&mut out, 8, *channel);
                out.put_u32(code.0);
            }
            Self::Close { code, reason } => {
                out.put_u8(9);
                out.put_u32(code.0);
                out.put_slice(reason.as_bytes());
            }
        }
        out.freeze()
    }

    pub(super) fn decode(mut bytes: Bytes) -> Result<Self, FrameError> {
        let bytes = &mut bytes;
        let frame = match bytes.try_get_u8().map_err(short)? {
            1 => Self::Hello { chain: get_chain(bytes)? },
            2 => Self::Accept,
            3 => Self::Refuse { alert: bytes.try_get_u8().map_err(short)? },
            4 => Self::Data { channel: get_u64(bytes)?, bytes: bytes.split_off(0) },
            5 => Self::Window { channel: get_u64(bytes)?, bytes: get_u32(bytes)? },
            6 => Self::Finish { channel: get_u64(bytes)? },
            7 => Self::Reset { channel: get_u64(bytes)?, code: ResetCode(get_u32(bytes)?) },
            8 => Self::Stop { channel: get_u64(bytes)?, code: ResetCode(get_u32(bytes)?) },
            9 => Self::Close { code: CloseCode(get_u32(bytes)?), reason: get_text(bytes)? },
            kind => return Err(FrameError::Kind(kind)),
        };
        if bytes.is_empty() { Ok(frame) } else { Err(FrameError::Long) }
    }

    /// About how many bytes follow the kind, the channel and a code.
    fn payload_bytes(&self) -> usize {
        match self {
            Self::Hello { chain } => chain.iter().map(|certificate| 4 + certificate.len()).sum(),
            Self::Data { bytes, .. } => bytes.len(),
            Self::Close { reason, .. } => reason.len(),
            _ => 0,
        }
    }
}

// === helpers ===

fn put_channel(out: &mut BytesMut, kind: u8, channel: u64) {
    out.put_u8(kind);
    out.put_u64(channel);
}

fn short(_error: bytes::TryGetError) -> FrameError {
    FrameError::Short
}

fn get_u32(bytes: &mut Bytes) -> Result<u32, FrameError> {
    bytes.try_get_u32().map_err(short)
}

fn get_u64(bytes: &mut Bytes) -> Result<u64, FrameError> {
    bytes.try_get_u64().map_err(short)
}

fn get_text(bytes: &mut Bytes) -> Result<String, FrameError> {
    String::from_utf8(bytes.split_off(0).into()).map_err(|_not_utf8| FrameError::Text)
}

fn get_chain(bytes: &mut Bytes) -> Result<Vec<CertificateDer<'static>>, FrameError> {
    let mut chain = Vec::new();
    while !bytes.is_empty() {
        let length = usize::try_from(get_u32(bytes)?).map_err(|_beyond| FrameError::Short)?;
        if bytes.len() < length {
            return Err(FrameError::Short);
        }
        chain.push(CertificateDer::from(Vec::from(bytes.split_to(length))));
    }
    Ok(chain)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn every_kind() -> Vec<Frame> {
        vec![
            Frame::Hello { chain: vec![vec![1, 2, 3].into(), vec![].into()] },
            Frame::Accept,
            Frame::Refuse { alert: 48 },
            Frame::Data { channel: 7, bytes: Bytes::from_static(b"hello") },
            Frame::Data { channel: u64::MAX, bytes: Bytes::new() },
            Frame::Window { channel: 1, bytes: u32::MAX },
            Frame::Finish { channel: 2 },
            Frame::Reset { channel: 3, code: ResetCode(4) },
            Frame::Stop { channel: 5, code: ResetCode(6) },
            Frame::Close { code: CloseCode(1), reason: "auf Wiedersehen, später".to_owned() },
        ]
    }

    #[test]
    fn frames_survive_their_bytes() {
        for frame in every_kind() {
            assert_eq!(Frame::decode(frame.encode()), Ok(frame));
        }
    }

    #[test]
    fn the_bytes_are_these() {
        let frame = Frame::Reset { channel: 3, code: ResetCode(4) };
        assert_eq!(&frame.encode()[..], [7, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 4]);
    }

    #[test]
    fn a_frame_cut_short_is_refused_wherever_it_is_cut() {
        for frame in every_kind() {
            let whole = frame.encode();
            let fixed = match frame {
                Frame::Data { .. } => 9,
                Frame::Close { .. } => 5,
                _ => whole.len(),
            };
            for cut in 0..fixed {
                let decoded = Frame::decode(whole.slice(..cut));
                let empty_hello = matches!(decoded, Ok(Frame::Hello { .. }));
                assert!(
                    empty_hello || decoded == Err(FrameError::Short),
                    "{frame:?} cut at {cut}: {decoded:?}"
                );
            }
        }
    }

    #[test]
    fn bytes_that_are_no_frame_are_refused() {
        assert_eq!(Frame::decode(Bytes::from_static(&[0])), Err(FrameError::Kind(0)));
        assert_eq!(Frame::decode(Bytes::from_static(&[2, 0])), Err(FrameError::Long));
        assert_eq!(Frame::decode(Bytes::from_static(&[9, 0, 0, 0, 0, 0xff])), Err(FrameError::Text));
    }

    fn any_frame() -> impl Strategy<Value = Frame> {
        let bytes = || vec(any::<u8>(), 0..50);
        prop_oneof![
            vec(bytes(), 0..3).prop_map(|chain| Frame::Hello {
                chain: chain.into_iter().map(CertificateDer::from).collect()
            }),
            any::<u8>().prop_map(|alert| Frame::Refuse { alert }),
            (any::<u64>(), bytes()).prop_map(|(channel, bytes)| Frame::Data { channel, bytes: bytes.into() }),
            any::<(u64, u32)>().prop_map(|(channel, bytes)| Frame::Window { channel, bytes }),
            any::<u64>().prop_map(|channel| Frame::Finish { channel }),
            any::<(u64, u32)>().prop_map(|(channel, code)| Frame::Reset { channel, code: ResetCode(code) }),
            any::<(u64, u32)>().prop_map(|(channel, code)| Frame::Stop { channel, code: ResetCode(code) }),
            (any::<u32>(), ".{0,30}")
                .prop_map(|(code, reason)| Frame::Close { code: CloseCode(code), reason }),
        ]
    }

    proptest! {
        #[test]
        fn any_frame_survives_its_bytes(frame in any_frame()) {
            assert_eq!(Frame::decode(frame.encode()), Ok(frame));
        }

        #[test]
        fn any_bytes_are_one_frame_or_none(kind in 0u8..12, payload: Vec<u8>) {
            let bytes = Bytes::from([&[kind], &payload[..]].concat());
            if let Ok(frame) = Frame::decode(bytes.clone()) {
                assert_eq!(frame.encode(), bytes, "{frame:?}");
            }
        }
    }
}
