//! How two nodes introduce themselves: the first frame on the first channel of a session, from both sides.
//!
//! The handshake has proven who the peer is. The hello says what it speaks, and which life of it this is.

use std::{sync::Arc, time::Duration};

use prost::Message;
use qmesh_discovery::Protocol as GossipProtocol;
use qmesh_transport::{Channel, ChannelWriter, CloseCode, Credentials, Session};
use tokio::time::timeout;

use crate::{
    channel::open,
    codec::Codec,
    node::link::{Dial, Link},
    wire::{
        frame::{Frames, kind},
        messages::{Hello, PROTOCOL},
    },
};

/// The largest first frame on a channel, in bytes: a gossip message fits.
pub(crate) const FIRST_FRAME_MAX: usize = 128 * 1024;

/// The feature that says how a node gossips begins so.
const GOSSIP: &str = "gossip/";
/// A node with this feature answers questions about itself.
const QUESTIONS: &str = "questions";

/// A session whose peer has introduced itself, with its control channel.
#[derive(Debug)]
pub(crate) struct Introduced {
    pub(crate) link: Arc<Link>,
    pub(crate) name: String,
    pub(crate) frames: Frames,
    pub(crate) writer: ChannelWriter,
}

/// Who introduces itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own<'a> {
    pub(crate) credentials: &'a Credentials,
    /// 0 from a command line, which has no lives.
    pub(crate) incarnation: u64,
    /// Which of its dials this is; 0 where it was dialled, and from a command line.
    pub(crate) dial: u64,
    /// None from a command line.
    pub(crate) gossip: Option<GossipProtocol>,
    pub(crate) timeout: Duration,
}

/// Why a session came to nothing. It is closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HelloError {
    #[error("the peer did not introduce itself in time")]
    TimedOut,
    #[error("the peer broke the protocol: {0}")]
    Protocol(String),
    #[error("{0}")]
    Refused(String),
    #[error("a node does not talk to itself")]
    Itself,
    #[error("the peer refused the session: {0}")]
    RefusedByPeer(String),
}

/// The dialler's side.
pub(crate) async fn introduce(own: Own<'_>, session: Arc<dyn Session>) -> Result<Introduced, HelloError> {
    if session.peer().id() == own.credentials.id() {
        session.close(CloseCode::UNEXPECTED_PEER, "a node does not talk to itself");
        return Err(HelloError::Itself);
    }
    let introduction = async {
        let Channel { reader, mut writer, .. } = session.open().await.map_err(broken)?;
        writer.write_all(open::message(kind::HELLO, &hello(own, String::new()))).await.map_err(broken)?;
        let mut frames = Frames::new(reader, FIRST_FRAME_MAX);
        let theirs = read_hello(&mut frames).await?;
        if !theirs.refused.is_empty() {
            return Err(HelloError::RefusedByPeer(theirs.refused));
        }
        check(own, &theirs).map_err(HelloError::Refused)?;
        Ok(introduced(Arc::clone(&session), Dial::Ours(own.dial), theirs, frames, writer))
    };
    finish(own, &*session, introduction).await
}

/// The side that was dialled.
pub(crate) async fn receive(own: Own<'_>, session: Arc<dyn Session>) -> Result<Introduced, HelloError> {
    let introduction = async {
        let Channel { reader, mut writer, .. } = session.accept().await.map_err(broken)?;
        let mut frames = Frames::new(reader, FIRST_FRAME_MAX);
        let theirs = read_hello(&mut frames).await?;
        let refused = check(own, &theirs).err().unwrap_or_default();
        writer.write_all(open::message(kind::HELLO, &hello(own, refused.clone()))).await.map_err(broken)?;
        if !refused.is_empty() {
            // The dialler reads the reason and closes; it has the opening timeout for that.
            session.closed().await;
            return Err(HelloError::Refused(refused));
        }
        let dial = Dial::Theirs(theirs.dial);
        Ok(introduced(Arc::clone(&session), dial, theirs, frames, writer))
    };
    finish(own, &*session, introduction).await
}

async fn finish(
    own: Own<'_>,
    session: &dyn Session,
    introduction: impl Future<Output = Result<Introduced, HelloError>>,
) -> Result<Introduced, HelloError> {
    let introduced = timeout(own.timeout, introduction).await;
    let introduced = introduced.unwrap_or(Err(HelloError::TimedOut));
    if let Err(error) = &introduced {
        session.close(CloseCode::PROTOCOL, &error.to_string());
    }
    introduced
}

async fn read_hello(frames: &mut Frames) -> Result<Hello, HelloError> {
    match frames.first().await.map_err(broken)? {
        Some((kind::HELLO, payload)) => Hello::decode(payload).map_err(broken),
        Some((kind, _)) => Err(HelloError::Protocol(format!("a frame of kind {kind:#04x} before the hello"))),
        None => Err(HelloError::Protocol("the control channel ended before the hello".to_owned())),
    }
}

/// What a node says of itself; `refused` says why it does not want the session, if it does not.
pub(crate) fn hello(own: Own<'_>, refused: String) -> Hello {
    let features = |protocol| [format!("{GOSSIP}{protocol}"), QUESTIONS.to_owned()];
    Hello {
        protocol: PROTOCOL,
        mesh: own.credentials.mesh().to_owned(),
        name: own.credentials.name().to_owned(),
        incarnation: own.incarnation,
        codecs: [Codec::MessagePack, Codec::Json].map(|codec| codec.name().to_owned()).to_vec(),
        features: own.gossip.into_iter().flat_map(features).collect(),
        refused,
        dial: own.dial,
    }
}

/// Why we do not want this peer, if we do not.
fn check(own: Own<'_>, theirs: &Hello) -> Result<(), String> {
    let credentials = own.credentials;
    if theirs.protocol != PROTOCOL {
        let (name, theirs, own) = (&theirs.name, theirs.protocol, credentials.name());
        return Err(format!("{name} speaks version {theirs} of the protocol, {own} speaks {PROTOCOL}"));
    }
    if theirs.mesh != credentials.mesh() {
        return Err(format!(
            "{} belongs to mesh `{}`, not `{}`",
            theirs.name,
            theirs.mesh,
            credentials.mesh()
        ));
    }
    let gossips = theirs.features.iter().find_map(|feature| feature.strip_prefix(GOSSIP));
    if let (Some(own), Some(gossips)) = (own.gossip, gossips)
        && gossips != own.to_string()
    {
        let (theirs, name) = (&theirs.name, credentials.name());
        return Err(format!(
            "{theirs} gossips by {gossips}, {name} by {own}; all nodes of a mesh have to do it alike"
        ));
    }
    Ok(())
}

fn introduced(
    session: Arc<dyn Session>,
    dial: Dial,
    theirs: Hello,
    frames: Frames,
    writer: ChannelWriter,
) -> Introduced {
    let name = session.peer().name().to_owned();
    let answers = theirs.features.iter().any(|feature| feature == QUESTIONS);
    Introduced { link: Arc::new(Link::new(session, theirs.incarnation, dial, answers)), name, frames, writer }
}

fn broken(error: impl std::fmt::Display) -> HelloError {
    HelloError::Protocol(error.to_string())
}

#[cfg(test)]
mod tests {
    use qmesh_transport::{Authority, Identity};

    use super::*;

    #[test]
    fn nodes_that_gossip_otherwise_are_refused_by_name_and_command_lines_are_not() {
        let identity = Identity::issued_by(&Authority::ephemeral("test").unwrap());
        let (one, other) = (identity.credentials("one").unwrap(), identity.credentials("other").unwrap());
        let timeout = Duration::ZERO;
        let own = |credentials, gossip| Own { credentials, incarnation: 1, dial: 0, gossip, timeout };
        let (chitchat, pulse) = (Some(GossipProtocol::Chitchat), Some(GossipProtocol::Pulse));
        let meet = |ours, theirs| check(own(&one, ours), &hello(own(&other, theirs), String::new()));
        assert_eq!(
            meet(chitchat, pulse).unwrap_err(),
            "other gossips by pulse, one by chitchat; all nodes of a mesh have to do it alike"
        );
        for (ours, theirs) in [(chitchat, chitchat), (pulse, pulse), (pulse, None), (None, chitchat)] {
            assert_eq!(meet(ours, theirs), Ok(()));
        }
    }
}
