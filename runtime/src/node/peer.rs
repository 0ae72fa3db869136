//! What a node knows of another one: whether there is a session, and how to ask for one.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use qmesh_transport::{ChannelWriter, CloseCode, NodeId};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::{Instant, timeout_at},
};

use crate::{
    channel::{caller::ChannelCaller, lost},
    failure::{Failure, Reason},
    node::{NodeInner, hello::Introduced, link::Link, peers::PeerEvent},
    supervisor::{ChildSpec, Kind, SupervisorRef, Work, looper},
    task::Place,
    wire::frame::Frames,
};

/// Replaced sessions of one peer that go on for what is under way on them. Beyond them, the oldest is cut.
const RETIRED_MAX: usize = 8;
/// Sessions of one peer that wait to be taken over.
const ADOPTIONS: usize = 4;

/// Another node. It outlives its sessions, and the actor that owns them.
#[derive(Debug)]
pub(crate) struct Peer {
    id: NodeId,
    link: ArcSwapOption<Link>,
    /// Those that were replaced and go on, the oldest first.
    retired: Mutex<VecDeque<Weak<Link>>>,
    connected: AtomicBool,
    /// The last session was lost, or could not be had: no call goes here until there is one.
    lost: AtomicBool,
    wanted: AtomicBool,
    /// Wakes the connection's loop to dial.
    pub(crate) wish: Notify,
    pub(crate) adopt: mpsc::Sender<Box<Introduced>>,
    /// The connection's loop takes over what others introduced. One loop at a time holds it.
    pub(crate) adopted: tokio::sync::Mutex<mpsc::Receiver<Box<Introduced>>>,
    pub(crate) supervisor: Mutex<Option<SupervisorRef>>,
    channels: AtomicU64,
    last_error: Mutex<String>,
    /// What came of the last dial, if it failed and there was no session since.
    unreached: Mutex<Option<Unreached>>,
}

/// Why a dial gave no session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreached {
    pub(crate) why: String,
    /// Nothing came back.
    pub(crate) silent: bool,
}

impl Peer {
    pub(crate) fn new(id: NodeId) -> Self {
        let (adopt, adopted) = mpsc::channel(ADOPTIONS);
        Self {
            id,
            link: ArcSwapOption::empty(),
            retired: Mutex::default(),
            connected: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            wanted: AtomicBool::new(false),
            wish: Notify::new(),
            adopt,
            adopted: tokio::sync::Mutex::new(adopted),
            supervisor: Mutex::default(),
            channels: AtomicU64::new(0),
            last_error: Mutex::default(),
            unreached: Mutex::default(),
        }
    }

    pub(crate) const fn id(&self) -> NodeId {
        self.id
    }

    /// Whether a call may go here: the session lives, or has not been tried yet.
    #[inline]
    pub(crate) fn is_usable(&self) -> bool {
        !self.lost.load(Relaxed)
    }

    /// Whether there is a session.
    #[inline]
    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Relaxed)
    }

    pub(crate) fn current(&self) -> Option<Arc<Link>> {
        self.link.load_full()
    }

    pub(crate) fn up(&self, link: Arc<Link>) {
        *self.unreached.lock() = None;
        self.link.store(Some(link));
        self.connected.store(true, Relaxed);
        self.lost.store(false, Relaxed);
        self.wanted.store(false, Relaxed);
    }

    /// A replaced session goes on for what is under way on it; whether the oldest such one was cut for it.
    pub(crate) fn retires(&self, link: &Arc<Link>) -> bool {
        link.retire();
        let mut retired = self.retired.lock();
        retired.retain(|link| link.strong_count() > 0);
        retired.push_back(Arc::downgrade(link));
        let oldest = if retired.len() > RETIRED_MAX { retired.pop_front() } else { None };
        drop(retired);
        let Some(oldest) = oldest.and_then(|oldest| oldest.upgrade()) else { return false };
        let why =
            format!("replaced, and cut: {RETIRED_MAX} newer replaced sessions of these two nodes go on");
        oldest.close(CloseCode::LIMIT, &why);
        true
    }

    /// All its sessions, replaced ones too.
    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        let retired = self.retired.lock();
        retired.iter().filter_map(Weak::upgrade).chain(self.current()).collect()
    }

    pub(crate) fn down(&self, why: &str) {
        self.link.store(None);
        self.connected.store(false, Relaxed);
        why.clone_into(&mut self.last_error.lock());
        self.wanted.store(false, Relaxed);
        self.lost.store(true, Relaxed);
    }

    /// The node has ended. Sessions hold its sockets, and whoever keeps a handle of it keeps the peer: none waits here to be
    /// taken over, also where the connection's loop never ran. One that still runs does the same when it ends.
    pub(crate) fn end(&self) {
        if let Ok(mut adopted) = self.adopted.try_lock() {
            Self::let_go(&mut adopted);
        }
    }

    /// Drops sessions that wait to be taken over, and takes no more.
    pub(crate) fn let_go(adopted: &mut mpsc::Receiver<Box<Introduced>>) {
        adopted.close();
        while adopted.try_recv().is_ok() {}
    }

    /// A dial failed; whether that is news.
    pub(crate) fn unreached(&self, why: Unreached) -> bool {
        let why = Some(why);
        let mut known = self.unreached.lock();
        let is_news = *known != why;
        *known = why;
        is_news
    }

    /// Why it cannot be dialled, if that is so.
    pub(crate) fn problem(&self) -> Option<Unreached> {
        self.unreached.lock().clone()
    }

    /// The peer takes no new calls in this life.
    pub(crate) fn drains(&self) {
        self.lost.store(true, Relaxed);
        "the node drains".clone_into(&mut self.last_error.lock());
    }

    /// The peer may be tried anew: it has started again.
    pub(crate) fn forgive(&self) {
        if self.link.load().is_none() {
            self.lost.store(false, Relaxed);
        }
    }

    /// The session that was asked for cannot be had now; it may be asked for anew.
    pub(crate) fn unwanted(&self) {
        self.wanted.store(false, Relaxed);
    }

    pub(crate) fn is_in_use(&self) -> bool {
        self.link.load().is_some() || self.is_wanted() || self.supervisor.lock().is_some()
    }

    /// Whether a session is asked for and not there yet.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Relaxed)
    }

    /// Asks for a session, at most once until there is one or it failed. Never blocks.
    pub(crate) fn want(&self, node: &NodeInner) {
        if self.link.load().is_some() || self.wanted.swap(true, Relaxed) {
            return;
        }
        self.wish.notify_one();
        if !node.tell_peers(PeerEvent::Wanted(self.id)) {
            // Its queue is full: whoever still wants the session asks again.
            self.wanted.store(false, Relaxed);
        }
    }

    /// The session; asks for it and waits where need be.
    pub(crate) async fn link(&self, node: &NodeInner, deadline: Instant) -> Result<Arc<Link>, Failure> {
        let mut changed = node.changed();
        loop {
            if let Some(link) = self.current() {
                return Ok(link);
            }
            if node.has_ended() {
                return Err(Failure::not_sent(Reason::Unavailable, "this node has stopped"));
            }
            if !self.is_usable() {
                return Err(Failure::not_sent(Reason::Unreachable, self.last_error.lock().clone()));
            }
            self.want(node);
            if timeout_at(deadline, changed.changed()).await.is_err() {
                return Err(Failure::not_sent(Reason::DeadlineExceeded, "no session in time"));
            }
        }
    }

    /// Starts a channel's actor below the connection's; its loop runs at `place`, where its session does.
    pub(crate) async fn start_channel(&self, place: &Place, work: Work) -> Result<(), String> {
        let supervisor = self.supervisor.lock().clone().ok_or("the connection has ended")?;
        let number = self.channels.fetch_add(1, Relaxed) + 1;
        let work = Mutex::new(Some(work));
        let spawn = looper(place.clone(), move || {
            let work = work.lock().take();
            work.unwrap_or_else(|| Box::pin(std::future::ready(Err("a channel starts once".to_owned()))))
        });
        let spec = ChildSpec {
            name: format!("channel/{number}"),
            kind: Kind::Channel,
            restart: None,
            spawn,
            gave_up: None,
            look: None,
        };
        supervisor.start(spec).await
    }

    /// Starts the actor of a channel on which this node calls.
    pub(crate) async fn start_caller(
        &self,
        place: &Place,
        channel: Arc<ChannelCaller>,
        (frames, writer): (Frames, ChannelWriter),
    ) -> Result<(), Failure> {
        let ending = Ending(Arc::clone(&channel));
        let work: Work = Box::pin(async move {
            let why = Arc::clone(&ending.0).run(frames, writer).await;
            ending.0.end(&why);
            Ok(())
        });
        self.start_channel(place, work).await.map_err(|why| Failure::not_sent(Reason::ConnectionLost, why))
    }

    /// Starts the actor of a call with streams. Nothing leaves before the actor is known to run: a call that fails here was
    /// *not sent*, whatever has become of the actor.
    pub(crate) async fn start_stream(&self, place: &Place, work: Work) -> Result<(), Failure> {
        let (go, told) = oneshot::channel();
        let begins: Work = Box::pin(async move {
            match told.await {
                Ok(()) => work.await,
                Err(_gave_up) => Ok(()),
            }
        });
        let started = self.start_channel(place, begins).await;
        started.map_err(|why| Failure::not_sent(Reason::ConnectionLost, why))?;
        // One that was stopped meanwhile has dropped the call, whose caller hears of it.
        let _stopped = go.send(());
        Ok(())
    }
}

/// Ends the channel in whatever way its actor ends.
struct Ending(Arc<ChannelCaller>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end(&lost::lost("the channel's actor was stopped"));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use qmesh_transport::{Authority, Identity};
    use tokio::time::sleep;

    use super::*;
    use crate::supervisor::Tree;

    /// Were it otherwise, a start that fails midway would be *not sent* while frames are on their way.
    #[tokio::test(start_paused = true)]
    async fn a_stream_leaves_only_when_its_caller_knows_that_it_runs() {
        let identity = Identity::issued_by(&Authority::ephemeral("tests").unwrap());
        let peer = Peer::new(identity.credentials("peer").unwrap().id());
        let supervisor = SupervisorRef::root("node", Arc::new(Tree::default())).await.unwrap();
        *peer.supervisor.lock() = Some(supervisor.clone());
        for knows in [true, false] {
            let left = Arc::new(AtomicBool::new(false));
            let leaves = Arc::clone(&left);
            let mut starting = Box::pin(peer.start_stream(
                &Place::Ambient,
                Box::pin(async move {
                    leaves.store(true, Relaxed);
                    Ok(())
                }),
            ));
            assert!(
                starting.as_mut().now_or_never().is_none(),
                "the supervisor was told, and has not answered"
            );
            sleep(Duration::from_millis(10)).await;
            assert!(!left.load(Relaxed), "it has started by now, and nothing has left");
            if knows {
                starting.await.unwrap();
            } else {
                drop(starting);
            }
            sleep(Duration::from_millis(10)).await;
            assert_eq!(left.load(Relaxed), knows);
        }
        supervisor.end().await;
        let failure =
            peer.start_stream(&Place::Ambient, Box::pin(async { unreachable!() })).await.unwrap_err();
        assert_eq!(failure.outcome(), crate::failure::Outcome::NotSent, "{failure}");
    }
}
