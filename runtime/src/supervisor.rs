//! Supervision: an actor that starts children by name, restarts them by their policy, and reports what it gives up.
//!
//! ractor tells a supervisor what happened to its children and leaves the answer to the supervisor. This is the
//! answer, for every supervisor of a node: the node itself, and one for each connection.

mod looper;
mod policy;
mod tree;

use std::{collections::BTreeMap, fmt, sync::Arc};

use futures_util::future::BoxFuture;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, RpcReplyPort, SpawnErr, SupervisionEvent};
use tokio::time::Instant;

pub(crate) use looper::{Work, looper};
pub(crate) use policy::RestartHistory;
pub use policy::RestartPolicy;
pub use tree::{ActorInfo, ActorState};
pub(crate) use tree::{Glance, Kind, Look, Tree};

/// How to start a child, now and after each failure.
pub(crate) type Spawn =
    Box<dyn Fn(ActorCell) -> BoxFuture<'static, Result<ActorCell, SpawnErr>> + Send + Sync + 'static>;

/// What to do when a child is given up.
pub(crate) type GaveUp = Box<dyn Fn(&str) + Send + Sync + 'static>;

/// A child to be.
pub(crate) struct ChildSpec {
    /// Unique below its supervisor; the last segments of its path.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// `None`: it is not restarted, and its end is no news.
    pub(crate) restart: Option<RestartPolicy>,
    pub(crate) spawn: Spawn,
    /// Called once, with the reason, when the child failed more often than its policy allows.
    pub(crate) gave_up: Option<GaveUp>,
    /// What the child has to do, for the tree.
    pub(crate) look: Option<Look>,
}

/// A handle to a running supervisor.
#[derive(Clone, Debug)]
pub(crate) struct SupervisorRef {
    actor: ActorRef<Message>,
    tree: Arc<Tree>,
    path: String,
}

#[derive(Debug)]
pub(crate) enum Message {
    Start(ChildSpec, RpcReplyPort<Result<(), String>>),
    Respawn { name: String, generation: u64 },
    Stop(String, RpcReplyPort<()>),
}

struct Supervisor;

struct State {
    path: String,
    tree: Arc<Tree>,
    children: BTreeMap<String, Child>,
    generations: u64,
}

struct Child {
    spec: ChildSpec,
    /// `None` while it waits for its restart.
    cell: Option<ActorCell>,
    history: RestartHistory,
    /// Tells a restart that was meant for this child from one that was meant for its namesake.
    generation: u64,
}

impl SupervisorRef {
    /// Starts the root of a tree.
    pub(crate) async fn root(path: &str, tree: Arc<Tree>) -> Result<Self, SpawnErr> {
        let arguments = (path.to_owned(), Arc::clone(&tree));
        let (actor, _) = Actor::spawn(None, Supervisor, arguments).await?;
        tree.started(path, Kind::Node, None);
        Ok(Self { actor, tree, path: path.to_owned() })
    }

    /// Starts a supervisor as the child `name` of `parent`, whose handle `above` is.
    pub(crate) async fn below(parent: ActorCell, above: &Self, name: &str) -> Result<Self, SpawnErr> {
        let path = format!("{}/{name}", above.path);
        let arguments = (path.clone(), Arc::clone(&above.tree));
        let (actor, _) = Actor::spawn_linked(None, Supervisor, arguments, parent).await?;
        Ok(Self { actor, tree: Arc::clone(&above.tree), path })
    }

    pub(crate) fn cell(&self) -> ActorCell {
        self.actor.get_cell()
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Whether a child of that name runs, or waits for its restart.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.tree.has(&format!("{}/{name}", self.path))
    }

    /// Starts a child.
    pub(crate) async fn start(&self, spec: ChildSpec) -> Result<(), String> {
        match self.actor.call(|reply| Message::Start(spec, reply), None).await {
            Ok(ractor::rpc::CallResult::Success(started)) => started,
            _ => Err("the supervisor has stopped".to_owned()),
        }
    }

    /// Stops a child, if it is there, and waits until it has ended.
    pub(crate) async fn stop(&self, name: &str) {
        // A supervisor that has ended has no children.
        drop(self.actor.call(|reply| Message::Stop(name.to_owned(), reply), None).await);
    }

    /// Ends the supervisor and everything below it, dropping work in progress.
    pub(crate) fn end_soon(&self) {
        self.actor.get_cell().kill();
        self.tree.ended_below(&self.path);
    }

    /// As [`end_soon`](Self::end_soon), and waits until it has ended.
    pub(crate) async fn end(&self) {
        self.end_soon();
        // It ends within its next poll; five seconds are for a machine that is stuck.
        drop(self.actor.get_cell().wait(Some(std::time::Duration::from_secs(5))).await);
    }
}

impl Actor for Supervisor {
    type Msg = Message;
    type State = State;
    type Arguments = (String, Arc<Tree>);

    async fn pre_start(
        &self,
        _: ActorRef<Message>,
        (path, tree): Self::Arguments,
    ) -> Result<State, ActorProcessingErr> {
        Ok(State { path, tree, children: BTreeMap::new(), generations: 0 })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Start(spec, reply) => {
                let started = state.start(&myself, spec).await;
                drop(reply.send(started));
            }
            Message::Respawn { name, generation } => state.respawn(&myself, &name, generation).await,
            Message::Stop(name, reply) => {
                state.stop(&name).await;
                drop(reply.send(()));
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Message>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(cell, error) => state.failed(&myself, &cell, &error.to_string()),
            SupervisionEvent::ActorTerminated(cell, _, _) => state.ended(&cell),
            _ => {}
        }
        Ok(())
    }
}

// === impl State ===

impl State {
    fn path_of(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    async fn start(&mut self, myself: &ActorRef<Message>, spec: ChildSpec) -> Result<(), String> {
        let name = spec.name.clone();
        let path = self.path_of(&name);
        if self.children.contains_key(&name) {
            return Err(format!("{path} runs already"));
        }
        let cell = (spec.spawn)(myself.get_cell()).await.map_err(|error| error.to_string())?;
        self.tree.started(&path, spec.kind, spec.look.clone());
        self.generations += 1;
        let generation = self.generations;
        let child = Child { spec, cell: Some(cell), history: RestartHistory::default(), generation };
        self.children.insert(name, child);
        Ok(())
    }

    async fn respawn(&mut self, myself: &ActorRef<Message>, name: &str, generation: u64) {
        let path = self.path_of(name);
        let Some(child) = self.children.get_mut(name) else { return };
        if child.generation != generation || child.cell.is_some() {
            return;
        }
        match (child.spec.spawn)(myself.get_cell()).await {
            Ok(cell) => {
                child.cell = Some(cell);
                self.tree.restarted(&path);
            }
            Err(error) => self.retry(myself, name, &error.to_string()),
        }
    }

    async fn stop(&mut self, name: &str) {
        let Some(child) = self.children.remove(name) else { return };
        if let Some(cell) = child.cell {
            // A handler that does not end is dropped.
            if cell.stop_and_wait(None, Some(std::time::Duration::from_secs(1))).await.is_err() {
                cell.kill();
            }
        }
        self.tree.ended_below(&self.path_of(name));
    }

    fn name_of(&self, cell: &ActorCell) -> Option<String> {
        let id = cell.get_id();
        let found =
            self.children.iter().find(|(_, child)| child.cell.as_ref().is_some_and(|own| own.get_id() == id));
        found.map(|(name, _)| name.clone())
    }

    fn failed(&mut self, myself: &ActorRef<Message>, cell: &ActorCell, reason: &str) {
        let Some(name) = self.name_of(cell) else { return };
        if let Some(child) = self.children.get_mut(&name) {
            child.cell = None;
        }
        self.retry(myself, &name, reason);
    }

    /// A child without a policy, or one that ended in order, is gone.
    fn ended(&mut self, cell: &ActorCell) {
        if let Some(name) = self.name_of(cell) {
            self.children.remove(&name);
            self.tree.ended_below(&self.path_of(&name));
        }
    }

    fn retry(&mut self, myself: &ActorRef<Message>, name: &str, reason: &str) {
        let path = self.path_of(name);
        let Some(child) = self.children.get_mut(name) else { return };
        let Some(policy) = &child.spec.restart else {
            tracing::debug!(target: "qmesh::runtime", path, reason, "ended");
            self.children.remove(name);
            self.tree.ended_below(&path);
            return;
        };
        match policy.decide(&mut child.history, Instant::now()) {
            Some(delay) => {
                tracing::debug!(target: "qmesh::runtime", path, reason, ?delay, "failed, and waits for its restart");
                self.tree.waits(&path, reason);
                let (name, generation) = (name.to_owned(), child.generation);
                drop(myself.send_after(delay, move || Message::Respawn { name, generation }));
            }
            None => {
                self.tree.failed(&path, reason);
                if let Some(child) = self.children.remove(name)
                    && let Some(gave_up) = child.spec.gave_up
                {
                    gave_up(reason);
                }
            }
        }
    }
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("name", &self.name)
            .field("restart", &self.restart)
            .finish_non_exhaustive()
    }
}
