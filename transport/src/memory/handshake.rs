//! How two memory endpoints come to believe each other: the steps of TLS 1.3, without its secrets, because in one process
//! there is nobody to keep them from.
//!
//! ```text
//! dialer                                  acceptor
//!   |--- knock: hello with certificates ---->|
//!   |<-- hello with certificates ------------|
//!   |    judges the acceptor                 |
//!   |--- accept, or refuse ----------------->|
//!   |                    judges the dialer   |
//!   |<-- accept, or refuse ------------------|
//! ```

use bytes::Bytes;
use rustls::AlertDescription;
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};

use super::{
    endpoint::Inner,
    frame::Frame,
    network::{Life, Place},
    session::MemorySession,
    shared::Shared,
};
use crate::{
    Address, DialError, HandshakeError, NodeId,
    handshake::{Refusal, judge_acceptor, judge_dialer, sentence},
};

/// A dialer at the door.
pub(super) struct Knock {
    pub(super) dialer: Caller,
    hello: Bytes,
    wire: Wire,
    session: oneshot::Sender<MemorySession>,
}

/// Who dials.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) life: Life,
}

/// One end of the line between two endpoints during a handshake.
struct Wire {
    tx: mpsc::Sender<Bytes>,
    rx: mpsc::Receiver<Bytes>,
    shared: Shared,
    from: Place,
    to: Place,
}

/// Why the other end said nothing more.
enum Silence {
    /// It hung up.
    HungUp,
    /// It said something that does not belong there.
    Nonsense,
}

// === the dialer ===

/// Opens a session from `ours` to the endpoint `name`.
pub(super) async fn dial(
    ours: &Inner,
    name: &str,
    expected: Option<NodeId>,
) -> Result<MemorySession, DialError> {
    let address = Address::memory(name);
    let limit = ours.shared.with(|network, _| network.config.handshake_timeout);
    match timeout(limit, attempt(ours, name, expected, &address)).await {
        Ok(result) => result,
        Err(_elapsed) => Err(DialError::Unreachable(address)),
    }
}

async fn attempt(
    ours: &Inner,
    name: &str,
    expected: Option<NodeId>,
    address: &Address,
) -> Result<MemorySession, DialError> {
    let to = ours.shared.with(|network, _| network.place(name));
    let (near, far) = Wire::pair(&ours.shared, ours.place, to);
    let (tx, session) = oneshot::channel();
    let dialer = Caller { name: ours.name.clone(), place: ours.place, life: ours.life };
    travel(&ours.shared, ours.place, to).await;
    let mut wire = near;
    if !knock(&ours.shared, to, Knock { dialer, hello: hello(ours), wire: far, session: tx }) {
        return Err(DialError::Unreachable(address.clone()));
    }
    let hung_up = |silence| match silence {
        Silence::HungUp => DialError::RefusedByPeer {
            address: address.clone(),
            reason: "it takes no sessions now".to_owned(),
        },
        Silence::Nonsense => {
            DialError::Transport { address: address.clone(), reason: "an unexpected frame".to_owned() }
        }
    };
    let chain =
        chain_of(&wire.receive().await.map_err(hung_up)?).ok_or_else(|| hung_up(Silence::Nonsense))?;
    if let Err(refusal) = judge_acceptor(&ours.credentials, &chain, expected, UnixTime::now()) {
        wire.refuse(&refusal).await;
        return Err(refusal.into_dial_error(address));
    }
    wire.send(&Frame::Accept).await;
    match wire.receive().await.map_err(hung_up)? {
        Frame::Accept => session.await.map_err(|_dropped| hung_up(Silence::HungUp)),
        Frame::Refuse { alert } => {
            let reason = sentence(AlertDescription::from(alert));
            Err(DialError::RefusedByPeer { address: address.clone(), reason })
        }
        _ => Err(hung_up(Silence::Nonsense)),
    }
}

/// Whether the knock reached a door.
fn knock(shared: &Shared, to: Place, knock: Knock) -> bool {
    let refused = shared.with(|network, _| {
        let limit = network.config.incoming_max;
        match network
            .bound_at(to)
            .and_then(|bound| bound.knocks.as_mut())
            .filter(|knocks| knocks.len() < limit)
        {
            Some(knocks) => {
                knocks.push_back(knock);
                None
            }
            None => Some(knock),
        }
    });
    shared.knocked().notify_waiters();
    refused.is_none()
}

// === the acceptor ===

impl Knock {
    /// Completes the handshake as `ours`.
    pub(super) async fn answer(self, ours: &Inner) -> Result<MemorySession, HandshakeError> {
        let remote = Address::memory(self.dialer.name.clone());
        let limit = ours.shared.with(|network, _| network.config.handshake_timeout);
        match timeout(limit, self.judge(ours, &remote)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(HandshakeError::TimedOut { remote }),
        }
    }

    async fn judge(mut self, ours: &Inner, remote: &Address) -> Result<MemorySession, HandshakeError> {
        let failed =
            |reason: &str| HandshakeError::Transport { remote: remote.clone(), reason: reason.to_owned() };
        self.wire.send_bytes(hello(ours)).await;
        match self.wire.receive().await {
            Ok(Frame::Accept) => {}
            Ok(Frame::Refuse { alert }) => {
                let reason = sentence(AlertDescription::from(alert));
                return Err(HandshakeError::RefusedByPeer { remote: remote.clone(), reason });
            }
            Ok(_) | Err(Silence::Nonsense) => return Err(failed("an unexpected frame")),
            Err(Silence::HungUp) => return Err(failed("the dialer gave up")),
        }
        let hello = Frame::decode(self.hello.clone()).map_err(|error| failed(&error.to_string()))?;
        let chain = chain_of(&hello).ok_or_else(|| failed("an unexpected frame"))?;
        let peer = match judge_dialer(&ours.credentials, &chain, UnixTime::now()) {
            Ok(peer) => peer,
            Err(refusal) => {
                self.wire.refuse(&refusal).await;
                return Err(refusal.into_handshake_error(remote.clone()));
            }
        };
        let sessions = MemorySession::pair(ours, &self.dialer, peer);
        let (theirs, accepted) = sessions.ok_or_else(|| failed("this endpoint is gone"))?;
        // A dialer that has given up drops its session, and so ends ours.
        drop(self.session.send(theirs));
        self.wire.send(&Frame::Accept).await;
        Ok(accepted)
    }
}

// === impl Wire ===

impl Wire {
    fn pair(shared: &Shared, a: Place, b: Place) -> (Self, Self) {
        // No more than two frames go either way, so that sending never waits.
        let (to_b, from_a) = mpsc::channel(2);
        let (to_a, from_b) = mpsc::channel(2);
        let near = Self { tx: to_b, rx: from_b, shared: shared.clone(), from: a, to: b };
        let far = Self { tx: to_a, rx: from_a, shared: shared.clone(), from: b, to: a };
        (near, far)
    }

    async fn send(&self, frame: &Frame) {
        self.send_bytes(frame.encode()).await;
    }

    async fn send_bytes(&self, bytes: Bytes) {
        travel(&self.shared, self.from, self.to).await;
        // Whoever hung up is noticed at the next receive.
        drop(self.tx.send(bytes).await);
    }

    async fn refuse(&self, refusal: &Refusal) {
        self.send(&Frame::Refuse { alert: refusal.alert().into() }).await;
    }

    async fn receive(&mut self) -> Result<Frame, Silence> {
        let bytes = self.rx.recv().await.ok_or(Silence::HungUp)?;
        Frame::decode(bytes).map_err(|_bad_frame| Silence::Nonsense)
    }
}

// === helpers ===

fn hello(ours: &Inner) -> Bytes {
    Frame::Hello { chain: ours.credentials.certificate_chain().to_vec() }.encode()
}

fn chain_of(frame: &Frame) -> Option<Vec<CertificateDer<'static>>> {
    if let Frame::Hello { chain } = frame { Some(chain.clone()) } else { None }
}

/// Takes as long as the link does; on a cut one, for ever.
async fn travel(shared: &Shared, from: Place, to: Place) {
    let takes = shared.with(|network, _| network.travel(from, to));
    if !takes.is_zero() {
        sleep(takes).await;
    }
    if shared.with(|network, _| network.is_cut(from, to)) {
        std::future::pending::<()>().await;
    }
}
