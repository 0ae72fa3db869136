//! The loop of a connection: one session with one peer, dialled when it is wanted, replaced when it is lost.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::FutureExt;
use qmesh_transport::{CloseCode, NodeId, SessionClosed};
use tokio::{
    sync::{MutexGuard, mpsc},
    time::{Instant, sleep, timeout},
};

use crate::{
    events::{self, MeshEvent},
    node::{
        NodeInner, Peer, accept, control, gossip, hello::Introduced, inner::DialProblem, link::Link,
        peer::Unreached, peers::PeerEvent,
    },
    task,
};

/// How long a replaced session may go on for the calls under way on it. Those with streams take as long as they take.
const RETIREMENT: Duration = Duration::from_secs(5);
/// A session that ended sooner is dialled anew only after a pause: whatever ended it may do so again.
const SHORT_LIVED: Duration = Duration::from_secs(1);
/// How long the side whose dial is to stay goes on with it when the other side's session is there already.
const PATIENCE: Duration = Duration::from_millis(300);
/// How long it goes on at least.
const RETIREMENT_MIN: Duration = Duration::from_millis(500);
/// A peer that is in no directory, and of whom nothing is heard, is forgotten after this long.
const FORGET_AFTER: Duration = Duration::from_secs(30);

/// Why a session is closed for another one.
const ANOTHER_STAYS: &str = "another session of these two nodes stays";

enum Ended {
    Lost(String),
    /// The peer, which lives, has another one, or is to have one.
    GivenUp(String),
    Replaced(Introduced),
}

/// A loop that runs. However it ends, its session ends with it.
struct Running<'a> {
    node: &'a NodeInner,
    peer: &'a Peer,
    adopted: MutexGuard<'a, mpsc::Receiver<Box<Introduced>>>,
}

/// Keeps the session with `peer` for as long as the connection's actor lives.
pub(crate) async fn run(node: Arc<NodeInner>, peer: Arc<Peer>) -> Result<(), String> {
    let mut running = Running { node: &node, peer: &peer, adopted: peer.adopted.lock().await };
    let adopted = &mut *running.adopted;
    let (first_pause, longest_pause) = node.config().redial;
    let (mut next, mut pause) = (None, Duration::ZERO);
    loop {
        let introduced = match next.take() {
            Some(introduced) => introduced,
            None => establish(&node, &peer, adopted, jittered(&node, pause)).await,
        };
        let since = Instant::now();
        match hold(&node, &peer, introduced, adopted).await {
            Ended::Replaced(newer) => {
                next = Some(newer);
                continue;
            }
            Ended::GivenUp(why) => peer.down(&why),
            Ended::Lost(why) => {
                peer.down(&why);
                suspect(&node, peer.id());
            }
        }
        let was_short = since.elapsed() < SHORT_LIVED;
        pause = if was_short { (pause * 2).clamp(first_pause, longest_pause) } else { Duration::ZERO };
        node.bump();
    }
}

/// Whoever has lost a session so, may be dead; not if this node has ended it, which stops.
fn suspect(node: &NodeInner, peer: NodeId) {
    if node.has_ended() {
        return;
    }
    if let Some(record) = node.snapshot().node(peer) {
        let event = || MeshEvent::Suspected { peer: record.name.clone() };
        node.events().tell_at(&node.events().sessions, event);
    }
    node.gopher_map().suspect(peer);
}

fn jittered(node: &NodeInner, pause: Duration) -> Duration {
    pause.mul_f64(node.random().share(0.5..1.0))
}

/// Waits for a session that the peer dialled, or dials when one is wanted, not before `first` is over.
async fn establish(
    node: &Arc<NodeInner>,
    peer: &Peer,
    adopted: &mut mpsc::Receiver<Box<Introduced>>,
    first: Duration,
) -> Introduced {
    if !first.is_zero() {
        tokio::select! {
            biased;
            Some(introduced) = adopted.recv() => return *introduced,
            () = sleep(first) => {}
        }
    }
    let (first_pause, longest_pause) = node.config().redial;
    let mut pause = first_pause;
    let mut idle_since = Instant::now();
    loop {
        let known = node.snapshot().node(peer.id()).is_some();
        if known && !peer.is_usable() && !node.is_draining() {
            // Lost, but the mesh believes it alive: try again after a while, for ever.
            peer.want(node);
        }
        tokio::select! {
            biased;
            Some(introduced) = adopted.recv() => return *introduced,
            () = wish(peer) => {}
            () = sleep(FORGET_AFTER / 4) => {
                if known {
                    idle_since = Instant::now();
                } else if idle_since.elapsed() >= FORGET_AFTER {
                    node.tell_peers(PeerEvent::Idle(peer.id()));
                }
                continue;
            }
        }
        let problem = match dial_or_adopt(node, peer, adopted).await {
            Ok(introduced) => return introduced,
            Err(problem) => problem,
        };
        unreached(node, peer, problem);
        tokio::select! {
            biased;
            Some(introduced) = adopted.recv() => return *introduced,
            () = sleep(jittered(node, pause)) => pause = (pause * 2).min(longest_pause),
        }
    }
}

/// No session could be had.
fn unreached(node: &NodeInner, peer: &Peer, problem: DialProblem) {
    let (silent, why) = (matches!(problem, DialProblem::Silent(_)), problem.to_string());
    peer.down(&why);
    let snapshot = node.snapshot();
    match snapshot.node(peer.id()) {
        Some(record) if peer.unreached(Unreached { why: events::why(&why), silent }) => {
            let (peer, addresses) = (record.name.clone(), events::addresses(&record.addresses));
            let event = || MeshEvent::Unreachable { peer, addresses, why: events::why(why) };
            node.events().tell_at(&node.events().sessions, event);
        }
        _ => tracing::debug!(target: "qmesh::runtime", peer = %peer.id(), why, "cannot be reached"),
    }
    node.bump();
}

/// Resolves when a session is asked for.
async fn wish(peer: &Peer) {
    while !peer.is_wanted() {
        peer.wish.notified().await;
    }
}

/// Dials, and takes what comes in meanwhile.
///
/// When both sides dial at once, each would give up its own dial for the other's session, and both sessions would end.
/// So the lower id, whose session is to stay, goes on with its dial for a while. So does whoever finds that it has dialled
/// the peer already, by a seed's address: the peer may have adopted this dial as the later one by now.
async fn dial_or_adopt(
    node: &Arc<NodeInner>,
    peer: &Peer,
    adopted: &mut mpsc::Receiver<Box<Introduced>>,
) -> Result<Introduced, DialProblem> {
    let mut dialling = pin!(dial(node, peer));
    let came = tokio::select! {
        biased;
        Some(introduced) = adopted.recv() => *introduced,
        dialled = &mut dialling => return dialled,
    };
    let own_id_is_lower = node.id() < peer.id();
    if (own_id_is_lower || came.link.is_dialled())
        && let Ok(Ok(own)) = timeout(PATIENCE, dialling).await
    {
        let gives_way = came.link.gives_way_to(&own.link, own_id_is_lower);
        let (stays, ends) = if gives_way { (own, came) } else { (came, own) };
        ends.link.close(CloseCode::REPLACED, ANOTHER_STAYS);
        return Ok(stays);
    }
    Ok(came)
}

async fn dial(node: &Arc<NodeInner>, peer: &Peer) -> Result<Introduced, DialProblem> {
    let snapshot = node.snapshot();
    let unknown = || DialProblem::Other("its address is not known".to_owned());
    let record = snapshot.node(peer.id()).ok_or_else(unknown)?;
    let mut problem = DialProblem::Other("it announces no address".to_owned());
    for address in &record.addresses {
        match node.dial(address, Some(peer.id())).await {
            Ok(introduced) => return Ok(introduced),
            Err(error) => problem = error,
        }
    }
    Err(problem)
}

/// Uses a session until it ends or another one takes its place.
async fn hold(
    node: &Arc<NodeInner>,
    peer: &Arc<Peer>,
    introduced: Introduced,
    adopted: &mut mpsc::Receiver<Box<Introduced>>,
) -> Ended {
    let Introduced { link, name, mut frames, mut writer } = introduced;
    let tell = |event: MeshEvent| node.events().tell_at(&node.events().sessions, || event);
    let path = link.session().local_address().scheme().to_owned();
    tell(MeshEvent::SessionUp { peer: name.clone(), path, dialled: link.is_dialled() });
    peer.up(Arc::clone(&link));
    node.bump();
    node.gopher_map().greet(peer.id());
    let ended = tokio::select! {
        biased;
        closed = link.session().closed() => Ended::Lost(closed.to_string()),
        newer = successor(node, &link, adopted) => Ended::Replaced(newer),
        why = accept::run(node, peer, &link) => Ended::Lost(why),
        why = control::run(node, Some(peer), &link, &mut frames, &mut writer) => Ended::Lost(why),
        why = gossip::write(&link) => Ended::Lost(why),
    };
    // Whoever of them heard of it first.
    let ended = match (ended, link.session().closed().now_or_never()) {
        (Ended::Lost(why), Some(SessionClosed::Peer { code: CloseCode::REPLACED, .. })) => {
            Ended::GivenUp(why)
        }
        (ended, _) => ended,
    };
    match &ended {
        Ended::Lost(why) | Ended::GivenUp(why) => {
            tell(MeshEvent::SessionDown { peer: name, why: events::why(why) });
            link.close(CloseCode::PROTOCOL, why);
        }
        Ended::Replaced(newer) if newer.link.incarnation() != link.incarnation() => {
            let why = "the node has started anew";
            tell(MeshEvent::SessionReplaced { peer: name, why: why.to_owned() });
            link.close(CloseCode::REPLACED, why);
        }
        Ended::Replaced(_) => {
            tell(MeshEvent::SessionReplaced { peer: name.clone(), why: ANOTHER_STAYS.to_owned() });
            retire(node, peer, Introduced { link, name, frames, writer });
        }
    }
    ended
}

/// A session that replaces `current`; others are closed.
async fn successor(
    node: &NodeInner,
    current: &Link,
    adopted: &mut mpsc::Receiver<Box<Introduced>>,
) -> Introduced {
    loop {
        let Some(newer) = adopted.recv().await else { std::future::pending().await };
        let own_id_is_lower = node.id() < current.session().peer().id();
        if current.gives_way_to(&newer.link, own_id_is_lower) {
            return *newer;
        }
        newer.link.close(CloseCode::REPLACED, ANOTHER_STAYS);
    }
}

/// A replaced session goes on, both ways, until the calls under way on it have ended.
fn retire(node: &Arc<NodeInner>, peer: &Arc<Peer>, replaced: Introduced) {
    node.counters().retired_session();
    if peer.retires(&replaced.link) {
        node.counters().cut_session();
        let event = || MeshEvent::SessionCut { peer: replaced.name.clone() };
        node.events().tell_at(&node.events().sessions, event);
    }
    let (weak, peer) = (Arc::downgrade(node), Arc::clone(peer));
    task::spawn_in(node.tasks(), async move {
        let Introduced { link, mut frames, mut writer, .. } = replaced;
        let Some(node) = weak.upgrade() else { return };
        tokio::select! {
            biased;
            _ = link.session().closed() => {}
            _ = accept::run(&node, &peer, &link) => {}
            _ = control::run(&node, Some(&peer), &link, &mut frames, &mut writer) => {}
            () = idle(&link) => {}
        }
        link.close(CloseCode::REPLACED, ANOTHER_STAYS);
    });
}

/// Resolves when nothing is under way on a retired session, in either direction, or only calls whose time is over.
async fn idle(link: &Link) {
    let end = Instant::now() + RETIREMENT;
    // The peer may not have retired it yet, and open a channel.
    sleep(RETIREMENT_MIN).await;
    while link.has_streams() || (link.is_busy() && Instant::now() < end) {
        sleep(Duration::from_millis(50)).await;
    }
}

// === impl Running ===

impl Drop for Running<'_> {
    fn drop(&mut self) {
        const WHY: &str = "its connection has ended";
        if let Some(link) = self.peer.current() {
            link.close(CloseCode::DROPPED, WHY);
        }
        self.peer.down(WHY);
        if self.node.has_ended() {
            Peer::let_go(&mut self.adopted);
        }
        self.node.bump();
    }
}
