//! A session with a peer that has introduced itself.

use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use qmesh_transport::{CloseCode, Session};
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};

use crate::{
    channel::{HIGH_WATER, caller::ChannelCaller, request_bytes_max},
    config::Limits,
    node::questions::QUESTIONS_MAX,
    task::Place,
    wire::{frame::LargeFrames, outbox::Outbox, unread::Unread},
};

/// A session with a peer that has introduced itself.
#[derive(Debug)]
pub(crate) struct Link {
    session: Arc<dyn Session>,
    /// Where the session is driven, and so its channels are.
    place: Place,
    /// Which life of the peer this is.
    incarnation: u64,
    dial: Dial,
    since: Instant,
    /// The peer answers questions about itself.
    pub(crate) answers: bool,
    pub(crate) gossip: GossipSlot,
    /// What goes out on the control channel.
    pub(crate) control: Outbox,
    /// The channels on which this node calls.
    callers: Mutex<Callers>,
    /// Channels on which the peer calls.
    served: AtomicUsize,
    /// Calls with streams, in either direction.
    streams: AtomicUsize,
    /// Room for large frames that the peer has begun, in bytes.
    large_frames: OnceLock<Arc<LargeFrames>>,
    /// The same for its answers: what waits for this node may not hold up what this node waits for.
    large_answers: OnceLock<Arc<LargeFrames>>,
    /// Answers that the peer has not read.
    unread: OnceLock<Arc<Unread>>,
    /// The peer's right to ask a question about this node.
    pub(crate) questions: Arc<Semaphore>,
}

/// Who dialled a session, and which of its dials in this life it was; 0 if it did not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dial {
    Ours(u64),
    Theirs(u64),
}

#[derive(Debug, Default)]
struct Callers {
    channels: Vec<Weak<ChannelCaller>>,
    retired: bool,
}

/// A channel on which the peer calls, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Served(Arc<Link>);

/// A call with streams, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Streams(Arc<Link>);

/// The gossip message that waits to be sent: a newer one replaces it.
#[derive(Debug, Default)]
pub(crate) struct GossipSlot {
    waiting: Mutex<Option<Bytes>>,
    filled: Notify,
}

impl Link {
    /// A link at this place.
    pub(crate) fn new(session: Arc<dyn Session>, incarnation: u64, dial: Dial, answers: bool) -> Self {
        Self {
            session,
            place: Place::here(),
            incarnation,
            dial,
            since: Instant::now(),
            answers,
            gossip: GossipSlot::default(),
            control: Outbox::new(HIGH_WATER),
            callers: Mutex::default(),
            served: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            large_frames: OnceLock::new(),
            large_answers: OnceLock::new(),
            unread: OnceLock::new(),
            questions: Arc::new(Semaphore::new(QUESTIONS_MAX)),
        }
    }

    pub(crate) const fn session(&self) -> &Arc<dyn Session> {
        &self.session
    }

    pub(crate) const fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) const fn incarnation(&self) -> u64 {
        self.incarnation
    }

    pub(crate) const fn is_dialled(&self) -> bool {
        matches!(self.dial, Dial::Ours(_))
    }

    /// For how long it has been up.
    pub(crate) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// The channels of calls on it, in both directions.
    pub(crate) fn channels(&self) -> usize {
        let callers = self.callers.lock().channels.iter().filter(|caller| caller.strong_count() > 0).count();
        callers + self.served.load(Relaxed)
    }

    /// Whether a session with the same peer is to replace this one.
    ///
    /// A newer life of the peer does. Of two sessions dialled by both sides at once, the one dialled by the lower id
    /// stays, so that both sides keep the same one; of two dialled by one side, the one that it dialled later, as it may
    /// have lost the older. Which one is adopted later does not count, as that may be another one on each side.
    pub(crate) fn gives_way_to(&self, newer: &Self, own_id_is_lower: bool) -> bool {
        if newer.incarnation != self.incarnation {
            return newer.incarnation > self.incarnation;
        }
        match (self.dial, newer.dial) {
            (Dial::Ours(current), Dial::Ours(newer)) | (Dial::Theirs(current), Dial::Theirs(newer)) => {
                newer >= current
            }
            (Dial::Theirs(_), Dial::Ours(_)) => own_id_is_lower,
            (Dial::Ours(_), Dial::Theirs(_)) => !own_id_is_lower,
        }
    }

    /// A channel on which this node calls belongs to this session.
    pub(crate) fn carries(&self, channel: &Arc<ChannelCaller>) {
        let mut callers = self.callers.lock();
        callers.channels.retain(|caller| caller.strong_count() > 0);
        callers.channels.push(Arc::downgrade(channel));
        if callers.retired {
            channel.retire();
        }
    }

    /// Begins no further call on this session; those under way go on.
    pub(crate) fn retire(&self) {
        let mut callers = self.callers.lock();
        callers.retired = true;
        for caller in callers.channels.iter().filter_map(Weak::upgrade) {
            caller.retire();
        }
    }

    /// Whether calls are under way on this session, or may be: in the other direction, while a channel lives.
    pub(crate) fn is_busy(&self) -> bool {
        self.served.load(Relaxed) > 0 || self.is_calling()
    }

    /// Whether calls of this node are unanswered on this session, or one-way sends unacknowledged.
    pub(crate) fn is_calling(&self) -> bool {
        self.any_caller(ChannelCaller::is_busy)
    }

    /// Whether one-way sends of this node are unacknowledged on this session.
    pub(crate) fn is_sending(&self) -> bool {
        self.any_caller(ChannelCaller::is_sending)
    }

    fn any_caller(&self, is: impl Fn(&ChannelCaller) -> bool) -> bool {
        self.callers.lock().channels.iter().filter_map(Weak::upgrade).any(|caller| is(&caller))
    }

    /// What the large frames of the peer share, on all channels that it has opened on this session.
    pub(crate) fn large_frames(&self, limits: &Limits) -> Arc<LargeFrames> {
        Arc::clone(self.large_frames.get_or_init(|| share(limits)))
    }

    /// What they share on all channels that this node has opened.
    pub(crate) fn large_answers(&self, limits: &Limits) -> Arc<LargeFrames> {
        Arc::clone(self.large_answers.get_or_init(|| share(limits)))
    }

    /// A channel on which the peer calls belongs to this session.
    pub(crate) fn serves(self: &Arc<Self>) -> Served {
        self.served.fetch_add(1, Relaxed);
        Served(Arc::clone(self))
    }

    /// A call with streams belongs to this session.
    pub(crate) fn streams(self: &Arc<Self>) -> Streams {
        self.streams.fetch_add(1, Relaxed);
        Streams(Arc::clone(self))
    }

    /// Whether streams are under way on this session.
    pub(crate) fn has_streams(&self) -> bool {
        self.streams.load(Relaxed) > 0
    }

    pub(crate) fn close(&self, code: CloseCode, reason: &str) {
        self.session.close(code, reason);
    }
}

fn share(limits: &Limits) -> Arc<LargeFrames> {
    Arc::new(LargeFrames::new(limits.large_frames_bytes_max.max(request_bytes_max(limits))))
}

impl Served {
    pub(crate) fn session(&self) -> &Arc<dyn Session> {
        &self.0.session
    }

    /// The answers that the peer has not read, on all channels of this session.
    pub(crate) fn unread(&self, limits: &Limits) -> Arc<Unread> {
        Arc::clone(self.0.unread.get_or_init(|| Arc::new(Unread::new(limits))))
    }

    /// The call of this channel has streams.
    pub(crate) fn streams(&self) -> Streams {
        self.0.streams()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.served.fetch_sub(1, Relaxed);
    }
}

impl Streams {
    /// Where their session is.
    pub(crate) fn place(&self) -> &Place {
        self.0.place()
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Relaxed);
    }
}

// === impl GossipSlot ===

impl GossipSlot {
    pub(crate) fn put(&self, message: Bytes) {
        *self.waiting.lock() = Some(message);
        self.filled.notify_one();
    }

    pub(crate) async fn take(&self) -> Bytes {
        loop {
            if let Some(message) = self.waiting.lock().take() {
                return message;
            }
            self.filled.notified().await;
        }
    }
}
