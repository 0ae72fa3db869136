//! What happened in a simulation, in order, each with its virtual time: the thing that two runs of a seed have in common.

use std::{
    fmt::{self, Write as _},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// Entries that are kept. Those beyond push out the oldest, and count in the fingerprint all the same.
const ENTRIES_MAX: usize = 200_000;

/// The events of a simulation: what was done to its mesh, and what its nodes told (`tracing` events of `qmesh`, from
/// `DEBUG` up). Cheap to clone; clones are the same log.
#[derive(Clone, Debug)]
pub struct Log(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    start: Option<Instant>,
    entries: std::collections::VecDeque<LogEntry>,
    count: u64,
    fingerprint: u64,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Virtual time since the simulation began.
    pub at: Duration,
    /// What happened.
    pub what: String,
}

impl Log {
    /// An empty log. Its time begins with its first entry.
    #[must_use]
    pub fn new() -> Self {
        let entries = std::collections::VecDeque::new();
        Self(Arc::new(Mutex::new(Inner { start: None, entries, count: 0, fingerprint: 0 })))
    }

    /// The log that `work` runs under ([`simulate`](super::simulate)), or a new one that hears of no node.
    pub(super) fn current() -> Self {
        let current = tracing::dispatcher::get_default(|current| current.downcast_ref::<Self>().cloned());
        current.unwrap_or_default()
    }

    /// Adds an event that happens now.
    pub fn note(&self, what: impl Into<String>) {
        let (now, what) = (Instant::now(), what.into());
        let mut inner = self.0.lock();
        let start = *inner.start.get_or_insert(now);
        let at = now.saturating_duration_since(start);
        let line = format!("{} {} {at:?} {what}", inner.fingerprint, inner.count);
        inner.fingerprint = xxhash_rust::xxh3::xxh3_64(line.as_bytes());
        inner.count += 1;
        if inner.entries.len() == ENTRIES_MAX {
            inner.entries.pop_front();
        }
        inner.entries.push_back(LogEntry { at, what });
    }

    /// The events so far, the newest 200,000 of them.
    #[must_use]
    pub fn entries(&self) -> Vec<LogEntry> {
        self.0.lock().entries.iter().cloned().collect()
    }

    /// A number over all events so far and their times: two runs with the same one were the same.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.0.lock().fingerprint
    }
}

// === impl Log ===

impl Default for Log {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for LogEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12.6} {}", self.at.as_secs_f64(), self.what)
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::DEBUG && metadata.target().starts_with("qmesh")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(format!("{}:", event.metadata().target()));
        event.record(&mut line);
        self.note(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// An event as text.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a text does not fail.
        let _written = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
