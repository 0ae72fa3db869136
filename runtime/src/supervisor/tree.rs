//! What the supervisors of a node know of its actors, for people to look at.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::duration::millis;
use crate::events::{self, Chronicle, MeshEvent};

/// A look at an actor with a queue.
pub(crate) type Look = Arc<dyn Fn(Instant) -> Glance + Send + Sync>;

/// What an actor with a queue has to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glance {
    /// How many calls wait or run.
    pub(crate) depth: usize,
    /// How long the oldest has waited.
    pub(crate) oldest: Duration,
    pub(crate) is_warming: bool,
}

/// What an actor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Node,
    Gossip,
    Seeds,
    Peers,
    Renewal,
    Listener,
    Connection,
    Session,
    Channel,
    Service,
}

/// All actors of a node by path. What fails and is restarted becomes an event here.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    actors: Mutex<BTreeMap<String, Entry>>,
    events: Arc<Chronicle>,
}

struct Entry {
    kind: Kind,
    state: ActorState,
    restarts: u64,
    since: Instant,
    last_failure: Option<String>,
    look: Option<Look>,
}

/// One actor of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ActorInfo {
    /// Its place in the supervision tree, for example `node/service/chat.Chat`.
    pub path: String,
    /// `node`, `gossip`, `seeds`, `peers`, `renewal`, `listener`, `connection`, `session`, `channel` or `service`.
    pub kind: String,
    /// What it does.
    pub state: ActorState,
    /// How often it was restarted.
    pub restarts: u64,
    /// For how long it has been in this state, in milliseconds.
    pub since_ms: u64,
    /// Why it failed last.
    pub last_failure: Option<String>,
    /// How many calls wait in its queue or run; `None` for an actor without one.
    pub queue_depth: Option<usize>,
    /// How long the oldest call in its queue has waited, in milliseconds.
    pub oldest_ms: Option<u64>,
}

/// What an actor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ActorState {
    /// It works.
    Running,
    /// It prepares, and takes no calls yet.
    Warming,
    /// It failed and waits for its restart.
    Restarting,
    /// It failed more often than its policy allows and was given up.
    Failed,
}

impl Tree {
    pub(crate) fn new(events: Arc<Chronicle>) -> Self {
        Self { actors: Mutex::default(), events }
    }

    pub(crate) fn started(&self, path: &str, kind: Kind, look: Option<Look>) {
        let state = ActorState::Running;
        let entry = Entry { kind, state, restarts: 0, since: Instant::now(), last_failure: None, look };
        self.actors.lock().insert(path.to_owned(), entry);
    }

    pub(crate) fn restarted(&self, path: &str) {
        let restarted = self.change(path, |entry| {
            entry.restarts += 1;
            entry.state = ActorState::Running;
            let (restarts, why) =
                (entry.restarts, events::why(entry.last_failure.as_deref().unwrap_or_default()));
            match entry.service(path) {
                Some(service) => MeshEvent::ServiceRestarted { service, restarts, why },
                None => MeshEvent::ActorRestarted { actor: path.to_owned(), restarts, why },
            }
        });
        restarted.into_iter().for_each(|event| self.events.tell(event));
    }

    pub(crate) fn waits(&self, path: &str, reason: &str) {
        let _known = self.change(path, |entry| {
            entry.state = ActorState::Restarting;
            entry.last_failure = Some(reason.to_owned());
        });
    }

    pub(crate) fn failed(&self, path: &str, reason: &str) {
        let stopped = self.change(path, |entry| {
            entry.state = ActorState::Failed;
            entry.last_failure = Some(reason.to_owned());
            let why = events::why(reason);
            match entry.service(path) {
                Some(service) => MeshEvent::ServiceStopped { service, why },
                None => MeshEvent::ActorStopped { actor: path.to_owned(), why },
            }
        });
        stopped.into_iter().for_each(|event| self.events.tell(event));
    }

    fn change<T>(&self, path: &str, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let mut actors = self.actors.lock();
        let entry = actors.get_mut(path)?;
        entry.since = Instant::now();
        Some(change(entry))
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.actors.lock().contains_key(path)
    }

    /// Removes an actor and all below it.
    pub(crate) fn ended_below(&self, path: &str) {
        let below = format!("{path}/");
        self.actors.lock().retain(|known, _| known != path && !known.starts_with(&below));
    }

    /// All actors, by path.
    pub(crate) fn list(&self) -> Vec<ActorInfo> {
        let now = Instant::now();
        self.actors.lock().iter().map(|(path, entry)| entry.info(path, now)).collect()
    }
}

impl Entry {
    /// The name of the service, if the actor at that path is one.
    fn service(&self, path: &str) -> Option<String> {
        let name = path.split_once("/service/").map(|(_, name)| name.to_owned());
        name.filter(|_| self.kind == Kind::Service)
    }

    fn info(&self, path: &str, now: Instant) -> ActorInfo {
        let glance = self.look.as_ref().map(|look| look(now));
        let warms = self.state == ActorState::Running && glance.is_some_and(|glance| glance.is_warming);
        ActorInfo {
            path: path.to_owned(),
            kind: format!("{:?}", self.kind).to_lowercase(),
            state: if warms { ActorState::Warming } else { self.state },
            restarts: self.restarts,
            since_ms: millis(now.saturating_duration_since(self.since)),
            last_failure: self.last_failure.clone(),
            queue_depth: glance.map(|glance| glance.depth),
            oldest_ms: glance.map(|glance| millis(glance.oldest)),
        }
    }
}

// === impl Entry ===

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("kind", &self.kind).field("state", &self.state).finish_non_exhaustive()
    }
}
