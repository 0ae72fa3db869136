//! The run itself: one loop that sends batches, hears what happens, and kills a process while it has calls in hand.
//!
//! ```text
//! Gathering --all three serve--> Working --kill--> Bereft --the new one serves--> Whole
//! ```

use std::{collections::VecDeque, time::Duration};

use anyhow::{bail, ensure};
use qmesh::{Change, Node, Watch, prelude::*};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::demo::{
    SERVICE,
    ledger::Ledger,
    processes::{Heard, Processes},
    progress::{Progress, Tone, number, things},
    words::{CountError, Counted, CounterClient},
    worker::Sign,
};

/// Calls in flight at a time, at most; fewer where there are few.
const IN_FLIGHT_MAX: usize = 64;

/// Without any event for so long, the run is stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a run is made of.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The node that calls.
    pub(crate) node: Node,
    pub(crate) processes: Processes,
    /// Who serves from the beginning; the first one is the seed.
    pub(crate) cast: Vec<String>,
    /// Who serves after the kill.
    pub(crate) newcomer: String,
    pub(crate) batches: Vec<Vec<String>>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) ledger: Ledger,
    pub(crate) kill: Kill,
    /// From the first call to the last answer.
    pub(crate) took: Duration,
}

/// What is known of the kill.
#[derive(Clone, Debug)]
pub(crate) struct Kill {
    pub(crate) name: String,
    /// Its calls that no answer had come for, and never came from it.
    pub(crate) in_flight: usize,
    /// From the kill until it had left the caller's directory.
    pub(crate) gone_after: Option<Duration>,
    at: Instant,
    /// All that it ever told has been heard.
    silent: bool,
}

/// How far the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Gathering,
    Working,
    Bereft,
    Whole,
}

/// A call that is over.
type Settled = (u64, Result<Counted, CallError<CountError>>);

/// All that can happen.
enum Event {
    Settled(Settled),
    Heard(Heard),
    Changed(Vec<Change>),
    Stuck,
}

/// A run under way.
pub(crate) struct Run<'a> {
    stage: &'a mut Stage,
    progress: &'a mut Progress,
    client: CounterClient,
    watch: Watch,
    /// Batches that were not sent yet.
    waiting: VecDeque<(u64, Vec<String>)>,
    total: usize,
    calls: JoinSet<Settled>,
    ledger: Ledger,
    phase: Phase,
    kill: Option<Kill>,
    began: Instant,
    took: Duration,
}

impl<'a> Run<'a> {
    pub(crate) fn new(stage: &'a mut Stage, progress: &'a mut Progress) -> Self {
        let waiting: VecDeque<_> = (0..).zip(std::mem::take(&mut stage.batches)).collect();
        Self {
            client: stage.node.client(),
            watch: stage.node.directory().watch(),
            total: waiting.len(),
            waiting,
            stage,
            progress,
            calls: JoinSet::new(),
            ledger: Ledger::default(),
            phase: Phase::Gathering,
            kill: None,
            began: Instant::now(),
            took: Duration::ZERO,
        }
    }

    /// Runs until every call is over and the mesh has taken note of what happened.
    ///
    /// # Errors
    /// The run did not show what it is meant to show.
    pub(crate) async fn finish(mut self) -> anyhow::Result<Outcome> {
        while !self.is_over() {
            match self.next().await {
                Event::Settled((batch, answer)) => self.settle(batch, answer),
                Event::Heard(heard) => self.hear(heard)?,
                Event::Changed(changes) => changes.iter().for_each(|change| self.change(change)),
                Event::Stuck => bail!("nothing happens any more: {}", self.waits_for()),
            }
            self.go_on()?;
            self.send();
        }
        self.outcome()
    }

    async fn next(&mut self) -> Event {
        tokio::select! {
            Some(Ok(settled)) = self.calls.join_next() => Event::Settled(settled),
            heard = self.stage.processes.hear() => Event::Heard(heard),
            changes = self.watch.next() => Event::Changed(changes),
            () = sleep(PATIENCE) => Event::Stuck,
        }
    }

    fn is_over(&self) -> bool {
        let mourned = self.kill.as_ref().is_some_and(|kill| kill.silent && kill.gone_after.is_some());
        self.ledger.settled() == self.total && mourned
    }

    // === what happens ===

    fn settle(&mut self, batch: u64, answer: Result<Counted, CallError<CountError>>) {
        self.took = self.began.elapsed();
        match answer {
            Ok(counted) => {
                self.progress.answered(&counted.by);
                self.ledger.answers(batch, counted);
            }
            Err(error) => {
                self.progress.event(Tone::Bad, "", "failed", &format!("batch {batch}: {error}"));
                self.ledger.fails(batch, error.to_string());
            }
        }
    }

    fn hear(&mut self, heard: Heard) -> anyhow::Result<()> {
        match (heard.sign, &mut self.kill) {
            (Some(Sign::Begins(batch)), _) => self.ledger.begins(heard.from, batch),
            (Some(Sign::Listens(_)), _) => {}
            (None, Some(kill)) if kill.name == heard.from => kill.silent = true,
            (None, _) => bail!(self.stage.processes.death(&heard.from)),
        }
        Ok(())
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Joined(node) if node.id == self.stage.node.id() => {}
            Change::Joined(node) => {
                let address = node.addresses.first().map(Address::to_string).unwrap_or_default();
                self.progress.event(Tone::Good, &node.name, "joined", &address);
            }
            Change::Left(node) => self.progress.event(Tone::Plain, &node.name, "left", ""),
            Change::Died(node) => {
                let kill =
                    self.kill.as_mut().filter(|kill| kill.name == node.name && kill.gone_after.is_none());
                let more = kill.map(|kill| {
                    let after = kill.at.elapsed();
                    kill.gone_after = Some(after);
                    format!("gone from the directory {} ms after the kill", number(after.as_millis()))
                });
                self.progress.event(Tone::Bad, &node.name, "died", &more.unwrap_or_default());
            }
            Change::Updated { .. } => {}
        }
    }

    // === what follows ===

    /// Moves on to the next phase if it is time.
    fn go_on(&mut self) -> anyhow::Result<()> {
        match self.phase {
            Phase::Gathering if self.stage.cast.iter().all(|name| self.serves(name)) => {
                self.phase = Phase::Working;
                self.began = Instant::now();
            }
            Phase::Working => match self.victim() {
                Some(name) => self.strike(name)?,
                None => ensure!(
                    !self.calls.is_empty() || self.ledger.settled() == 0,
                    "no process had answered calls and had others in flight: there was no moment to kill one; \
                     try a larger --pace",
                ),
            },
            Phase::Bereft if self.serves(&self.stage.newcomer) => self.phase = Phase::Whole,
            Phase::Gathering | Phase::Bereft | Phase::Whole => {}
        }
        Ok(())
    }

    /// A process, other than the seed, that has answered its part of a quarter of the work, and has calls in hand.
    fn victim(&self) -> Option<String> {
        let part = self.total / (4 * self.stage.cast.len());
        let is_amid = |name: &&String| {
            self.ledger.answered_by(name).len() >= part && self.ledger.in_flight_at(name) > 0
        };
        self.stage.cast.iter().skip(1).find(is_amid).cloned()
    }

    /// Kills a process and starts a new one.
    fn strike(&mut self, name: String) -> anyhow::Result<()> {
        let at = Instant::now();
        self.stage.processes.kill(&name)?;
        let (answered, in_flight) = (self.ledger.answered_by(&name).len(), self.ledger.in_flight_at(&name));
        let more = format!("with SIGKILL: {} answered, {in_flight} in flight", things(answered, "call"));
        self.progress.event(Tone::Bad, &name, "killed", &more);
        self.progress.ended(&name);
        self.kill = Some(Kill { name, in_flight, gone_after: None, at, silent: false });
        self.stage.processes.start(&self.stage.newcomer)?;
        self.progress.event(Tone::Plain, &self.stage.newcomer, "started", "");
        self.phase = Phase::Bereft;
        Ok(())
    }

    /// Sends as many batches as may be under way. However fast the work goes, a part of it is kept for after the kill,
    /// and a part for when the new process serves.
    fn send(&mut self) {
        let kept = match self.phase {
            Phase::Gathering => self.total,
            Phase::Working => self.total * 2 / 5,
            Phase::Bereft => self.total / 5,
            Phase::Whole => 0,
        };
        let in_flight_max = IN_FLIGHT_MAX.min(self.total / 8);
        while self.waiting.len() > kept && self.calls.len() < in_flight_max {
            let Some((batch, lines)) = self.waiting.pop_front() else { return };
            let call = self.client.count(batch, lines);
            self.calls.spawn(async move { (batch, call.await) });
        }
    }

    fn outcome(self) -> anyhow::Result<Outcome> {
        let Some(mut kill) = self.kill else { bail!("no process was killed") };
        kill.in_flight = self.ledger.in_flight_at(&kill.name);
        ensure!(
            kill.in_flight > 0,
            "{} had answered all that it had begun when it was killed: nothing was in flight; try a larger --pace",
            kill.name
        );
        let newcomer = &self.stage.newcomer;
        ensure!(self.ledger.answered_by(newcomer).len() > 0, "{newcomer} joined and was never asked");
        Ok(Outcome { ledger: self.ledger, kill, took: self.took })
    }

    fn serves(&self, name: &str) -> bool {
        let snapshot = self.stage.node.directory().snapshot();
        snapshot.endpoints(SERVICE).iter().any(|endpoint| endpoint.name == name)
    }

    fn waits_for(&self) -> String {
        match (self.phase, &self.kill) {
            (Phase::Gathering, _) => {
                let missing: Vec<_> =
                    self.stage.cast.iter().filter(|name| !self.serves(name)).cloned().collect();
                format!("{} did not join", missing.join(", "))
            }
            (Phase::Bereft, _) => format!("{} did not join", self.stage.newcomer),
            (_, Some(kill)) if kill.gone_after.is_none() => {
                format!("{} is still in the directory", kill.name)
            }
            _ => format!("{} without an answer", things(self.calls.len(), "call")),
        }
    }
}
