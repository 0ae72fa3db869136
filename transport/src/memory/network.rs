//! What a memory network is at this moment: who is bound, how the links are, what is under way.
//!
//! It is a pure value: every change takes `now`, and what is to happen later stands in an agenda that a driver works off.
//! With links that do not delay, the agenda is empty but for the silences of cut links, and no timer runs.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use rand::{SeedableRng, rngs::StdRng};
use tokio::time::Instant;

use super::{
    Link, MemoryConfig,
    handshake::Knock,
    mux::{Mux, Role},
};
use crate::{NodeId, SessionClosed};

/// A name, as a number: links are looked up for every frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place(u32);

/// One life of an endpoint: a name that is bound anew is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Life(u64);

/// One side of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SideId {
    session: u64,
    role: Role,
}

pub(super) struct Network {
    pub(super) config: MemoryConfig,
    rng: StdRng,
    places: BTreeMap<String, Place>,
    bound: BTreeMap<Place, Bound>,
    default_link: Link,
    links: HashMap<(Place, Place), Link>,
    cuts: BTreeSet<(Place, Place)>,
    sessions: BTreeMap<u64, [Side; 2]>,
    agenda: BinaryHeap<Reverse<(Instant, u64, Due)>>,
    /// Numbers for lives, sessions and entries of the agenda, never used twice.
    next: u64,
}

/// An endpoint that others can dial.
pub(super) struct Bound {
    pub(super) life: Life,
    pub(super) node: NodeId,
    /// Dialers that nobody has accepted; `None` once the listener is closed.
    pub(super) knocks: Option<VecDeque<Knock>>,
}

struct Side {
    mux: Mux,
    place: Place,
    node: NodeId,
    /// The endpoint lost its memory: this side neither hears nor speaks.
    crashed: bool,
    /// Frames that we sent and the peer has not got, each with when it arrives, or what keeps it from arriving.
    under_way: VecDeque<(Instant, Bytes)>,
    /// When the agenda looks at `under_way` next.
    arrival_due: Option<Instant>,
    /// When the peer was last to be heard, unless it is now.
    deaf_since: Option<Instant>,
    /// Handles that someone holds: of the session and its channels' halves.
    handles: usize,
    sent: u64,
    received: u64,
}

/// What is to be looked at, later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// The first frame that this side sent may have arrived.
    Arrival(SideId),
    /// This side may have heard nothing for the idle timeout.
    Silence(SideId),
    /// This side may have learnt that its peer does not remember it.
    Restart(SideId),
}

// === impl Network: the driver's view ===

impl Network {
    pub(super) fn new(seed: u64, config: MemoryConfig) -> Self {
        Self {
            config,
            rng: StdRng::seed_from_u64(seed),
            places: BTreeMap::new(),
            bound: BTreeMap::new(),
            default_link: Link::default(),
            links: HashMap::new(),
            cuts: BTreeSet::new(),
            sessions: BTreeMap::new(),
            agenda: BinaryHeap::new(),
            next: 0,
        }
    }

    /// When to call [`advance`](Self::advance) next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.agenda.peek().map(|Reverse((at, ..))| *at)
    }

    /// Does what is due by `now`.
    pub(super) fn advance(&mut self, now: Instant) {
        while self.next_due().is_some_and(|at| at <= now) {
            let Some(Reverse((at, _, due))) = self.agenda.pop() else { return };
            match due {
                Due::Arrival(side) => self.arrive(side, at, now),
                Due::Silence(side) => self.check_silence(side, now),
                Due::Restart(side) => self.check_restart(side, now),
            }
        }
    }

    fn plan(&mut self, at: Instant, due: Due) {
        let number = self.number();
        self.agenda.push(Reverse((at, number, due)));
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

// === impl Network: endpoints ===

impl Network {
    /// Binds `name`, or returns `None` where it is taken.
    pub(super) fn bind(&mut self, name: &str, node: NodeId, now: Instant) -> Option<(Place, Life)> {
        let place = self.place(name);
        if self.bound.contains_key(&place) {
            return None;
        }
        let life = Life(self.number());
        self.bound.insert(place, Bound { life, node, knocks: Some(VecDeque::new()) });
        self.plan_restarts(now);
        Some((place, life))
    }

    /// The endpoint goes, in order: its sessions live on.
    pub(super) fn unbind(&mut self, place: Place, life: Life) -> Option<Bound> {
        if self.bound(place, life).is_some() { self.bound.remove(&place) } else { None }
    }

    /// The endpoint goes without a word, and its sessions' sides with it.
    pub(super) fn crash(&mut self, name: &str, now: Instant) -> Option<Bound> {
        let place = self.place(name);
        let gone = self.bound.remove(&place);
        for id in self.side_ids() {
            let Some(side) = self.side_mut(id).filter(|side| side.place == place) else { continue };
            side.crashed = true;
            side.mux.end(SessionClosed::Transport("this endpoint crashed".to_owned()));
            self.settle(id, now);
        }
        gone
    }

    pub(super) fn bound(&mut self, place: Place, life: Life) -> Option<&mut Bound> {
        self.bound.get_mut(&place).filter(|bound| bound.life == life)
    }

    pub(super) fn bound_at(&mut self, place: Place) -> Option<&mut Bound> {
        self.bound.get_mut(&place)
    }

    pub(super) fn place(&mut self, name: &str) -> Place {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = Place(u32::try_from(self.places.len()).expect("fewer than four billion names"));
        self.places.insert(name.to_owned(), place);
        place
    }
}

// === impl Network: links ===

impl Network {
    pub(super) fn set_link(&mut self, from: Place, to: Place, link: Link) {
        self.links.insert((from, to), link);
    }

    pub(super) fn set_default_link(&mut self, link: Link) {
        self.default_link = link;
    }

    pub(super) fn is_cut(&self, from: Place, to: Place) -> bool {
        !self.cuts.is_empty() && self.cuts.contains(&(from, to))
    }

    /// How long the next thing that leaves `from` travels to `to`.
    pub(super) fn travel(&mut self, from: Place, to: Place) -> Duration {
        self.link(from, to).sample(&mut self.rng)
    }

    pub(super) fn round_trip(&self, a: Place, b: Place) -> Duration {
        self.link(a, b).delay + self.link(b, a).delay
    }

    fn link(&self, from: Place, to: Place) -> Link {
        self.links.get(&(from, to)).copied().unwrap_or(self.default_link)
    }

    pub(super) fn cut(&mut self, directions: impl IntoIterator<Item = (Place, Place)>, now: Instant) {
        self.cuts.extend(directions);
        self.relisten(now);
    }

    pub(super) fn heal(&mut self, directions: &[(Place, Place)], now: Instant) {
        for direction in directions {
            self.cuts.remove(direction);
        }
        self.after_heal(now);
    }

    pub(super) fn heal_all(&mut self, now: Instant) {
        self.cuts.clear();
        self.after_heal(now);
    }

    fn after_heal(&mut self, now: Instant) {
        self.relisten(now);
        self.plan_restarts(now);
        for id in self.side_ids() {
            let Some((side, peer)) = self.pair(id) else { continue };
            let (from, to) = (side.place, peer.place);
            if let Some((arrival, _)) = side.under_way.front().filter(|_| !self.is_cut(from, to)) {
                // What could not pass is sent again now.
                let at = (*arrival).max(now + self.link(from, to).delay);
                self.plan_arrival(id, at);
            }
        }
    }

    /// Who can hear whom has changed.
    fn relisten(&mut self, now: Instant) {
        for id in self.side_ids() {
            self.listen(id, now);
        }
    }
}

// === impl Network: sessions ===

impl Network {
    /// A session between two endpoints that have believed each other. Each side starts with one handle.
    pub(super) fn connect(&mut self, dialer: (Place, NodeId), acceptor: (Place, NodeId)) -> [SideId; 2] {
        let session = self.number();
        let side = |role, (place, node)| Side {
            mux: Mux::new(role, self.config.window, self.config.channels_max),
            place,
            node,
            crashed: false,
            under_way: VecDeque::new(),
            arrival_due: None,
            deaf_since: None,
            handles: 1,
            sent: 0,
            received: 0,
        };
        self.sessions.insert(session, [side(Role::Dialer, dialer), side(Role::Acceptor, acceptor)]);
        [Role::Dialer, Role::Acceptor].map(|role| SideId { session, role })
    }

    /// Lets a handle act on its side, then sends what came of it.
    pub(super) fn act<T>(&mut self, id: SideId, now: Instant, act: impl FnOnce(&mut Mux) -> T) -> T {
        let side = self.side_mut(id).expect("a side lives as long as its handles");
        let result = act(&mut side.mux);
        self.settle(id, now);
        result
    }

    pub(super) fn hold(&mut self, id: SideId) {
        self.side_mut(id).expect("a side lives as long as its handles").handles += 1;
    }

    /// A handle was dropped.
    pub(super) fn release(&mut self, id: SideId) {
        self.side_mut(id).expect("a side lives as long as its handles").handles -= 1;
        self.forget_if_over(id);
    }

    /// Bytes sent and received, and the round trip.
    pub(super) fn traffic(&self, id: SideId) -> Option<(u64, u64, Duration)> {
        let (side, peer) = self.pair(id)?;
        Some((side.sent, side.received, self.round_trip(side.place, peer.place)))
    }

    /// After anything happened to a side: its frames leave, and its peer may no longer hear it.
    fn settle(&mut self, id: SideId, now: Instant) {
        let Some((side, peer)) = self.pair_mut(id) else { return };
        let frames = side.mux.take_out();
        let (ended, from, to) = (side.mux.ended().is_some(), side.place, peer.place);
        if !side.crashed {
            self.dispatch(id, (from, to), frames, now);
        }
        if ended {
            self.listen(id.peer(), now);
            self.forget_if_over(id);
        }
    }

    fn dispatch(&mut self, id: SideId, (from, to): (Place, Place), frames: Vec<Bytes>, now: Instant) {
        for frame in frames {
            let arrival = now + self.travel(from, to);
            let Some(side) = self.side_mut(id) else { return };
            // Frames keep their order, like a stream's.
            let arrival = side.under_way.back().map_or(arrival, |(last, _)| arrival.max(*last));
            side.sent += frame.len() as u64;
            side.under_way.push_back((arrival, frame));
            if side.under_way.len() > 1 {
                continue;
            }
            if arrival <= now {
                self.deliver(id, now);
            } else {
                self.plan_arrival(id, arrival);
            }
        }
    }

    fn plan_arrival(&mut self, id: SideId, at: Instant) {
        let Some(side) = self.side_mut(id).filter(|side| side.arrival_due.is_none_or(|due| at < due)) else {
            return;
        };
        side.arrival_due = Some(at);
        self.plan(at, Due::Arrival(id));
    }

    fn arrive(&mut self, id: SideId, at: Instant, now: Instant) {
        // One that an earlier one has overtaken finds nothing to do.
        if let Some(side) = self.side_mut(id).filter(|side| side.arrival_due == Some(at)) {
            side.arrival_due = None;
            self.deliver(id, now);
        }
    }

    /// Hands the peer what has arrived of the frames that side `id` sent.
    fn deliver(&mut self, id: SideId, now: Instant) {
        while let Some((side, peer)) = self.pair(id) {
            let cut = self.is_cut(side.place, peer.place);
            let Some((arrival, _)) = side.under_way.front().filter(|_| !cut) else { return };
            if *arrival > now {
                let at = *arrival;
                return self.plan_arrival(id, at);
            }
            let Some((side, peer)) = self.pair_mut(id) else { return };
            let Some((_, frame)) = side.under_way.pop_front() else { return };
            if !peer.crashed {
                peer.received += frame.len() as u64;
                peer.mux.handle(frame);
                self.settle(id.peer(), now);
            }
        }
    }

    /// Notes since when a side cannot hear its peer, if it cannot.
    fn listen(&mut self, id: SideId, now: Instant) {
        let idle_timeout = self.config.idle_timeout;
        let Some((side, peer)) = self.pair(id) else { return };
        let audible = peer.mux.ended().is_none() && !self.is_cut(peer.place, side.place);
        let over = side.mux.ended().is_some();
        let Some(side) = self.side_mut(id).filter(|_| !over) else { return };
        if audible {
            side.deaf_since = None;
        } else if side.deaf_since.is_none() {
            side.deaf_since = Some(now);
            self.plan(now + idle_timeout, Due::Silence(id));
        }
    }

    fn check_silence(&mut self, id: SideId, now: Instant) {
        let idle_timeout = self.config.idle_timeout;
        let Some(side) = self.side_mut(id) else { return };
        if side.deaf_since.is_some_and(|since| since + idle_timeout <= now) {
            side.mux.end(SessionClosed::Silent);
            self.settle(id, now);
        }
    }

    /// Sides whose peers crashed and run again learn of it with their next packet.
    fn plan_restarts(&mut self, now: Instant) {
        for id in self.side_ids() {
            let Some((side, peer)) = self.pair(id) else { continue };
            if side.mux.ended().is_none() && peer.crashed {
                let at = now + self.round_trip(side.place, peer.place);
                self.plan(at, Due::Restart(id));
            }
        }
    }

    fn check_restart(&mut self, id: SideId, now: Instant) {
        let Some((side, peer)) = self.pair(id) else { return };
        let (here, there, node) = (side.place, peer.place, peer.node);
        // Only the key that made the session can disown it.
        let runs_again = self.bound.get(&there).is_some_and(|bound| bound.node == node);
        if runs_again && !self.is_cut(here, there) && !self.is_cut(there, here) {
            let Some(side) = self.side_mut(id) else { return };
            side.mux.end(SessionClosed::Restarted);
            self.settle(id, now);
        }
    }

    fn forget_if_over(&mut self, id: SideId) {
        let over = |side: &Side| side.handles == 0 && side.mux.ended().is_some();
        if self.sessions.get(&id.session).is_some_and(|sides| sides.iter().all(over)) {
            self.sessions.remove(&id.session);
        }
    }

    fn side_ids(&self) -> Vec<SideId> {
        let both =
            |session: &u64| [Role::Dialer, Role::Acceptor].map(|role| SideId { session: *session, role });
        self.sessions.keys().flat_map(both).collect()
    }

    fn side_mut(&mut self, id: SideId) -> Option<&mut Side> {
        self.pair_mut(id).map(|(side, _)| side)
    }

    /// A side and its peer.
    fn pair(&self, id: SideId) -> Option<(&Side, &Side)> {
        let [dialer, acceptor] = self.sessions.get(&id.session)?;
        Some(if id.role == Role::Dialer { (dialer, acceptor) } else { (acceptor, dialer) })
    }

    fn pair_mut(&mut self, id: SideId) -> Option<(&mut Side, &mut Side)> {
        let [dialer, acceptor] = self.sessions.get_mut(&id.session)?;
        Some(if id.role == Role::Dialer { (dialer, acceptor) } else { (acceptor, dialer) })
    }
}

// === impl SideId ===

impl SideId {
    const fn peer(self) -> Self {
        let role = match self.role {
            Role::Dialer => Role::Acceptor,
            Role::Acceptor => Role::Dialer,
        };
        Self { session: self.session, role }
    }
}
