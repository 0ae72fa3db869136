//! The network between its handles: one lock, and one task while something is due later.

use std::{fmt, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::network::Network;

/// What all handles of a network share.
#[derive(Clone)]
pub(super) struct Shared(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// Something is due before what the driver waits for.
    sooner: Notify,
    /// Someone knocked, or a listener was closed.
    pub(super) knocked: Notify,
}

struct State {
    network: Network,
    /// What the driver, if one runs, waits for.
    driving: Option<Instant>,
}

/// Says that no driver runs, also where its runtime ended before its work did.
struct Driving(Shared);

// === impl Shared ===

impl Shared {
    pub(super) fn new(network: Network) -> Self {
        let state = Mutex::new(State { network, driving: None });
        Self(Arc::new(Inner { state, sooner: Notify::new(), knocked: Notify::new() }))
    }

    /// Changes the network, now.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut Network, Instant) -> T) -> T {
        let mut state = self.0.state.lock();
        let result = change(&mut state.network, Instant::now());
        let undriven = self.driver_for(&mut state);
        // A runtime that shuts down drops the task at once, and with it what takes this lock.
        drop(state);
        if let Some(runtime) = undriven {
            spawn(&runtime, Driving(self.clone()));
        }
        result
    }

    pub(super) fn knocked(&self) -> &Notify {
        &self.0.knocked
    }

    /// Where to start a driver, if something is due and none runs.
    fn driver_for(&self, state: &mut State) -> Option<Handle> {
        let due = state.network.next_due()?;
        match state.driving {
            Some(waits_for) if waits_for <= due => None,
            Some(_) => {
                self.0.sooner.notify_one();
                None
            }
            None => {
                // Without a runtime, as in a destructor after its end, the next change inside one makes up for it.
                let runtime = Handle::try_current().ok()?;
                state.driving = Some(due);
                Some(runtime)
            }
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryNetwork")
    }
}

// === the driver ===

/// The one task of a network. It ends when nothing is due.
fn spawn(runtime: &Handle, driving: Driving) {
    runtime.spawn(driving.run());
}

impl Driving {
    async fn run(self) {
        let shared = &self.0;
        while let Some(due) = self.advance() {
            tokio::select! {
                biased;
                () = sleep_until(due) => {}
                () = shared.0.sooner.notified() => {}
            }
        }
    }

    fn advance(&self) -> Option<Instant> {
        let mut state = self.0.0.state.lock();
        state.network.advance(Instant::now());
        state.driving = state.network.next_due();
        state.driving
    }
}

impl Drop for Driving {
    fn drop(&mut self) {
        self.0.0.state.lock().driving = None;
    }
}
