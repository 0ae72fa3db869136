//! A call that this node makes while somebody looks.

use std::{fmt, io, sync::Arc, time::UNIX_EPOCH};

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    call_tree::{self, Handler},
    control_api::Tapped,
    duration::{micros, millis},
    failure::Failure,
    telemetry::{
        moment::Moment,
        names::Status,
        trace::Trace,
        watch::{MEASURES, Names, Relaxed, Served, Side, TAPS, Watch, taps::Faucet, waits::Wait},
    },
};

/// The largest arguments, as JSON, that a tap shows.
const PAYLOAD_BYTES_MAX: usize = 2048;

/// A call that this node makes while somebody looks, from its first poll to its end.
pub(crate) struct Called {
    watch: Arc<Watch>,
    from: String,
    service: String,
    method: String,
    since: Instant,
    trace: Option<String>,
    /// What it stands for, where it is measured.
    weight: Option<u64>,
    taps: Vec<Arc<Faucet>>,
    payload: Option<Payload>,
    /// None once it has ended.
    way: Mutex<Option<Way>>,
}

/// Where a call is.
#[derive(Debug, Default)]
struct Way {
    /// Empty while there is none.
    node: String,
    /// Where it is under way.
    flow: Option<Served>,
    /// Its place among those that handlers wait for, if it has one there.
    waits: Option<Option<usize>>,
}

/// The arguments of a call as JSON, or why they cannot be shown.
pub(crate) type Payload = Result<Value, String>;

/// What is called, and by whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) service: &'a str,
    pub(crate) method: &'a str,
    /// The command line for which this node calls.
    pub(crate) guest: Option<&'a crate::service::Caller>,
}

impl Watch {
    /// A call begins; none if nobody looks at it. What it costs to say what its trace is and what its arguments are is spent
    /// where they are wanted alone.
    #[cold]
    pub(crate) fn call(
        self: &Arc<Self>,
        target: Target<'_>,
        trace: impl FnOnce() -> Trace,
        payload: impl FnOnce() -> Payload,
    ) -> Option<Arc<Called>> {
        let open = self.open.load(Relaxed);
        let weight = self.weigh();
        let taps = if open & TAPS == 0 { Vec::new() } else { self.taps.of(target.service, Instant::now()) };
        let handler = call_tree::handler();
        let waits = handler.filter(|_| open & MEASURES != 0 && target.guest.is_none());
        if weight.is_none() && taps.is_empty() && waits.is_none() {
            return None;
        }
        let (now, trace) = (Instant::now(), trace().id());
        let payload = taps.iter().any(|tap| tap.shows_payloads(now)).then(payload);
        let waits = waits.map(|handler| self.waits.begin(self.wait(handler, target, (now, trace.clone()))));
        let from = match (target.guest, handler) {
            (Some(guest), _) => guest.to_string(),
            (None, Some(handler)) => handler.service.to_owned(),
            (None, None) => String::new(),
        };
        Some(Arc::new(Called {
            watch: Arc::clone(self),
            from,
            service: target.service.to_owned(),
            method: target.method.to_owned(),
            since: now,
            trace,
            weight,
            taps,
            payload,
            way: Mutex::new(Some(Way { waits, ..Way::default() })),
        }))
    }

    fn wait(&self, handler: Handler, target: Target<'_>, (since, trace): (Instant, Option<String>)) -> Wait {
        let handler = call_tree::numbered(handler, || self.waits.number());
        let (service, method) = (target.service.to_owned(), target.method.to_owned());
        Wait { handler, service, method, node: String::new(), since, trace }
    }
}

impl Called {
    /// An attempt goes to the node of that name.
    #[cold]
    pub(crate) fn goes_to(&self, node: &str) {
        let mut way = self.way.lock();
        let Some(way) = way.as_mut().filter(|way| way.node != node || way.flow.is_none()) else { return };
        node.clone_into(&mut way.node);
        way.flow = self.begin(node);
        if let Some(Some(place)) = way.waits {
            self.watch.waits.goes_to(place, node);
        }
    }

    fn begin(&self, node: &str) -> Option<Served> {
        let (from, node) = (self.from.clone(), node.to_owned());
        let names = Names { from, node, service: self.service.clone(), method: self.method.clone() };
        self.weight.map(|weight| self.watch.flows.begin(Side::Calls, names, weight))
    }

    /// The call is over.
    pub(crate) fn end(&self, status: Status, failure: Option<&Failure>) {
        let Some(way) = self.way.lock().take() else { return };
        let took = self.since.elapsed();
        if let Some(flow) = way.flow.or_else(|| self.begin("")) {
            flow.end(status, took);
        }
        if let Some(place) = way.waits {
            self.watch.waits.end(place);
        }
        if self.taps.is_empty() {
            return;
        }
        let payload = self.payload.clone();
        let tapped = Tapped {
            seq: 0,
            unix_ms: Moment::now().wall.duration_since(UNIX_EPOCH).map_or(0, millis),
            service: self.service.clone(),
            method: self.method.clone(),
            caller: self.watch.node.clone(),
            from: self.from.clone(),
            node: way.node,
            status: status.code().to_owned(),
            detail: failure.map(|failure| failure.detail().to_owned()).unwrap_or_default(),
            duration_us: micros(took),
            trace: self.trace.clone(),
            payload_missing: payload.as_ref().and_then(|payload| payload.as_ref().err().cloned()),
            payload: payload.and_then(Result::ok),
        };
        for tap in &self.taps {
            tap.pass(tapped.clone());
        }
    }
}

/// Arguments, as a tap shows them.
pub(crate) fn shown(arguments: &impl Serialize) -> Payload {
    let mut bytes = Bounded(Vec::new());
    match serde_json::to_writer(&mut bytes, arguments) {
        Ok(()) => serde_json::from_slice(&bytes.0).map_err(|error| error.to_string()),
        Err(error) if error.is_io() => Err(format!("they are more than {PAYLOAD_BYTES_MAX} bytes of JSON")),
        Err(error) => Err(format!("they have no form in JSON: {error}")),
    }
}

/// So many bytes, and an error past them.
struct Bounded(Vec<u8>);

// === impl Bounded, Called ===

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > PAYLOAD_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Called")
            .field("service", &self.service)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}
