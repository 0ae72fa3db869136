//! The calls that handlers wait for.

use parking_lot::Mutex;
use slab::Slab;
use tokio::time::Instant;

use crate::{call_tree::Handler, control_api::Waiting, duration::millis};

/// Calls of handlers that are kept. The rest is counted.
const WAITING_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Waits(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    calls: Slab<Wait>,
    left_out: u64,
    handlers: u64,
}

/// A call that a handler waits for.
#[derive(Debug)]
pub(super) struct Wait {
    pub(super) handler: Handler,
    pub(super) service: String,
    pub(super) method: String,
    pub(super) node: String,
    pub(super) since: Instant,
    pub(super) trace: Option<String>,
}

impl Waits {
    /// A number for a handler that has none.
    pub(super) fn number(&self) -> u64 {
        let mut table = self.0.lock();
        table.handlers += 1;
        table.handlers
    }

    /// A handler waits. Whoever gets no place is counted.
    pub(super) fn begin(&self, wait: Wait) -> Option<usize> {
        let mut table = self.0.lock();
        if table.calls.len() >= WAITING_MAX {
            table.left_out += 1;
            return None;
        }
        Some(table.calls.insert(wait))
    }

    /// The call goes to the node of that name.
    pub(super) fn goes_to(&self, place: usize, node: &str) {
        if let Some(wait) = self.0.lock().calls.get_mut(place) {
            node.clone_into(&mut wait.node);
        }
    }

    pub(super) fn end(&self, place: Option<usize>) {
        let mut table = self.0.lock();
        match place {
            Some(place) => drop(table.calls.try_remove(place)),
            None => table.left_out = table.left_out.saturating_sub(1),
        }
    }

    /// All of them, and how many more there are.
    pub(super) fn read(&self, now: Instant) -> (Vec<Waiting>, u64) {
        let table = self.0.lock();
        let waiting = table.calls.iter().map(|(_, wait)| Waiting {
            from: wait.handler.service.to_owned(),
            handler: wait.handler.method.name.to_owned(),
            handler_id: wait.handler.number,
            exclusive: wait.handler.method.exclusive,
            service: wait.service.clone(),
            method: wait.method.clone(),
            node: wait.node.clone(),
            for_ms: millis(now.saturating_duration_since(wait.since)),
            trace: wait.trace.clone(),
        });
        (waiting.collect(), table.left_out)
    }
}
