//! A peer with valid credentials that says what it likes.
//!
//! The bytes are written by hand, from the documentation of the protocol: a change of it fails here.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use qmesh::{Address, Identity, MemoryNetwork};
use qmesh_transport::{Channel, Dialer, QuicEndpoint, Session};

use crate::Mesh;

/// The kinds of frames.
pub mod kind {
    /// Introduces a node, on the first channel of a session.
    pub const HELLO: u8 = 0x01;
    /// Everything else on that channel.
    pub const CONTROL: u8 = 0x02;
    /// Gossip.
    pub const GOSSIP: u8 = 0x08;
    /// Opens a call channel.
    pub const OPEN: u8 = 0x10;
    /// Answers it.
    pub const OPENED: u8 = 0x11;
    /// Refuses it.
    pub const REFUSED: u8 = 0x12;
    /// A call.
    pub const CALL: u8 = 0x20;
    /// A one-way send.
    pub const ONE_WAY: u8 = 0x21;
    /// Takes a call back.
    pub const CANCEL: u8 = 0x22;
    /// A call with streams.
    pub const STREAM: u8 = 0x23;
    /// An item of a stream.
    pub const ITEM: u8 = 0x24;
    /// The end of a stream.
    pub const END: u8 = 0x25;
    /// The early end of one.
    pub const CUT: u8 = 0x26;
    /// What came of a call.
    pub const REPLY: u8 = 0x28;
    /// What came of all one-way sends so far.
    pub const ACKNOWLEDGE: u8 = 0x29;
    /// A question about a node.
    pub const QUESTION: u8 = 0x30;
    /// Its answer.
    pub const ANSWER: u8 = 0x31;
}

/// Where a stranger knocks from.
#[derive(Debug)]
pub struct Stranger {
    dialer: Arc<dyn Dialer>,
    target: Address,
    /// Lives as long as its dialer is needed.
    _socket: Option<QuicEndpoint>,
}

impl Stranger {
    /// A stranger in a network in memory, before the door of `target`.
    ///
    /// # Errors
    /// The name is taken.
    pub fn in_memory(network: &MemoryNetwork, identity: &Identity, target: &str) -> Result<Self> {
        let endpoint = network.bind("stranger", identity.credentials("stranger")?)?;
        Ok(Self { dialer: endpoint.dialer(), target: Address::memory(target), _socket: None })
    }

    /// A command line in a network in memory, before the door of `target`.
    ///
    /// # Errors
    /// The name is taken.
    pub fn guest_in_memory(network: &MemoryNetwork, identity: &Identity, target: &str) -> Result<Self> {
        let endpoint = network.bind("stranger", identity.client_credentials("stranger")?)?;
        Ok(Self { dialer: endpoint.dialer(), target: Address::memory(target), _socket: None })
    }

    /// A stranger on this host.
    ///
    /// # Errors
    /// There is no socket to be had.
    pub fn over_quic(identity: &Identity, target: Address) -> Result<Self> {
        let here = "quic://127.0.0.1:0".parse()?;
        let endpoint =
            QuicEndpoint::bind(&here, identity.credentials("stranger")?, Mesh::quic_config().quic)?;
        Ok(Self { dialer: endpoint.dialer(), target, _socket: Some(endpoint) })
    }

    /// A command line on this host.
    ///
    /// # Errors
    /// There is no socket to be had.
    pub fn command_line(identity: &Identity, target: Address) -> Result<Self> {
        let endpoint =
            QuicEndpoint::client(identity.client_credentials("stranger")?, Mesh::quic_config().quic)?;
        Ok(Self { dialer: endpoint.dialer(), target, _socket: Some(endpoint) })
    }

    /// A session that has not said anything.
    ///
    /// # Errors
    /// The handshake failed.
    pub async fn knock(&self) -> Result<Arc<dyn Session>> {
        Ok(self.dialer.dial(&self.target, None).await?)
    }

    /// A session whose first channel says `bytes`, and the channel.
    ///
    /// # Errors
    /// The session ended.
    pub async fn say(&self, bytes: impl Into<Bytes>) -> Result<(Arc<dyn Session>, Channel)> {
        let session = self.knock().await?;
        let channel = open(&*session, bytes).await?;
        Ok((session, channel))
    }

    /// A session with a proper introduction, and its control channel.
    ///
    /// # Errors
    /// The introduction was refused.
    pub async fn introduce(&self, mesh: &str) -> Result<(Arc<dyn Session>, Channel)> {
        let (session, mut control) = self.say(frame(kind::HELLO, &hello(1, mesh))).await?;
        let (kind, _) = read_frame(&mut control).await?.context("no hello came back")?;
        ensure!(kind == kind::HELLO, "a frame of kind {kind:#04x} instead of a hello");
        Ok((session, control))
    }
}

/// Asks on the control channel of a command line, and waits for the answer.
///
/// # Errors
/// The session ended, or the answer is none.
pub async fn ask(control: &mut Channel, question: &serde_json::Value) -> Result<serde_json::Value> {
    let request = [vec![0x08, 1], field(2, question.to_string().as_bytes())].concat();
    control.writer.write_all(frame(kind::CONTROL, &field(4, &request))).await?;
    let (kind, answer) = read_frame(control).await?.context("the control channel ended")?;
    ensure!(kind == kind::CONTROL, "a frame of kind {kind:#04x} on the control channel");
    // The answer's JSON is the last field of the message.
    let begin = answer.iter().position(|byte| *byte == b'{').context("an answer without JSON")?;
    Ok(serde_json::from_slice(&answer[begin..])?)
}

/// A channel of the session that says `bytes`.
///
/// # Errors
/// The session ended.
pub async fn open(session: &dyn Session, bytes: impl Into<Bytes>) -> Result<Channel> {
    let mut channel = session.open().await?;
    channel.writer.write_all(bytes.into()).await?;
    Ok(channel)
}

/// A frame.
#[must_use]
pub fn frame(kind: u8, payload: &[u8]) -> Bytes {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    header(kind, length, payload)
}

/// A frame whose header says what it likes.
#[must_use]
pub fn header(kind: u8, length: u32, payload: &[u8]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(kind);
    bytes.put_u32(length);
    bytes.put_slice(payload);
    bytes.freeze()
}

/// The introduction of a first life, in Protobuf.
#[must_use]
pub fn hello(protocol: u8, mesh: &str) -> Vec<u8> {
    [&[0x08, protocol][..], &text(2, mesh), &text(3, "stranger"), &[0x20, 1]].concat()
}

/// The opening of a call channel, in Protobuf: methods are names with signatures.
#[must_use]
pub fn opening(service: &str, codec: &str, methods: &[(&str, &str)]) -> Vec<u8> {
    let method = |(name, signature): &(&str, &str)| field(3, &[text(1, name), text(2, signature)].concat());
    [text(1, service), text(2, codec), methods.iter().flat_map(method).collect()].concat()
}

fn text(tag: u8, text: &str) -> Vec<u8> {
    field(tag, text.as_bytes())
}

/// A field of bytes.
fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![tag << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(u8::try_from(length & 0x7f).unwrap_or(0) | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap_or(0));
    out.extend_from_slice(bytes);
    out
}

/// The next frame; `None` at the end of the channel, in order or not.
///
/// # Errors
/// The channel ended in the middle of one.
pub async fn read_frame(channel: &mut Channel) -> Result<Option<(u8, Bytes)>> {
    let Some(mut head) = read_exactly(channel, 5).await? else { return Ok(None) };
    let kind = head.get_u8();
    let length = head.get_u32() as usize;
    let payload = read_exactly(channel, length).await?.context("a header without its payload")?;
    Ok(Some((kind, payload)))
}

async fn read_exactly(channel: &mut Channel, length: usize) -> Result<Option<Bytes>> {
    let mut bytes = BytesMut::new();
    while bytes.len() < length {
        let missing = length - bytes.len();
        match channel.reader.read(&mut bytes, missing).await {
            Ok(0) | Err(_) if bytes.is_empty() => return Ok(None),
            Ok(0) => bail!("the channel ended after {} of {length} bytes", bytes.len()),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(bytes.freeze()))
}
