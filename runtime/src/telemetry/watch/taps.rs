//! Calls as they pass, for those who look at them.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use parking_lot::{Mutex, RwLock};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use crate::{
    control_api::{Tap, TapRequest, Tapped},
    failure::{Failure, Reason},
    telemetry::watch::LEASE,
};

/// Services that are tapped at a time. A further one is refused.
const TAPS_MAX: usize = 8;
/// Calls that a tap keeps for whoever asks next.
const TAPPED_MAX: usize = 1024;
/// Calls that pass a tap in a second. The rest is missed.
const TAPPED_PER_SECOND: u32 = 200;
/// Calls in an answer with arguments, so that it has room for them.
const WITH_PAYLOADS_MAX: u32 = 256;
/// How long a question waits for a call to pass, however long it wants to.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// The taps of a node.
#[derive(Debug, Default)]
pub(super) struct Taps(RwLock<Vec<Arc<Faucet>>>);

/// The tap of one service, or of all.
#[derive(Debug)]
pub(super) struct Faucet {
    /// Empty for all.
    service: String,
    basin: Mutex<Basin>,
    told: Notify,
}

#[derive(Debug)]
struct Basin {
    /// Nobody looks any more from then on.
    until: Instant,
    /// Nobody wants to see arguments any more from then on.
    payloads_until: Instant,
    calls: VecDeque<Tapped>,
    /// The number of the last call that passed, whether it was kept or not.
    last: u64,
    second: Instant,
    in_second: u32,
}

impl Taps {
    /// The taps that a call of `service` passes which begins now.
    pub(super) fn of(&self, service: &str, now: Instant) -> Vec<Arc<Faucet>> {
        let faucets = self.0.read();
        let passed = faucets.iter().filter(|faucet| faucet.is_of(service) && faucet.has_room(now));
        passed.cloned().collect()
    }

    /// Waits for calls of a service, for as long as is asked.
    pub(super) async fn wait(&self, asked: &TapRequest) -> Result<Tap, Failure> {
        let now = Instant::now();
        let faucet = self.open(asked, now)?;
        let until = now + Duration::from_millis(asked.wait_ms).min(WAIT_MAX);
        loop {
            let told = faucet.told.notified();
            let tap = faucet.read(asked);
            if !tap.calls.is_empty() || timeout_at(until, told).await.is_err() {
                return Ok(tap);
            }
        }
    }

    fn open(&self, asked: &TapRequest, now: Instant) -> Result<Arc<Faucet>, Failure> {
        let mut faucets = self.0.write();
        faucets.retain(|faucet| faucet.service == asked.service || faucet.basin.lock().until > now);
        let known = faucets.iter().find(|faucet| faucet.service == asked.service).cloned();
        let faucet = match known {
            Some(known) => known,
            None if faucets.len() >= TAPS_MAX => {
                let detail = format!("{TAPS_MAX} other services are tapped on this node now");
                return Err(Failure::not_executed(Reason::Overloaded, detail));
            }
            None => {
                let faucet = Arc::new(Faucet::new(&asked.service, now));
                faucets.push(Arc::clone(&faucet));
                faucet
            }
        };
        let mut basin = faucet.basin.lock();
        basin.until = now + LEASE;
        if asked.payload {
            basin.payloads_until = now + LEASE;
        }
        drop(basin);
        Ok(faucet)
    }

    pub(super) fn clear(&self) {
        self.0.write().clear();
    }
}

impl Faucet {
    fn new(service: &str, now: Instant) -> Self {
        let calls = VecDeque::new();
        let basin = Basin { until: now, payloads_until: now, calls, last: 0, second: now, in_second: 0 };
        Self { service: service.to_owned(), basin: Mutex::new(basin), told: Notify::new() }
    }

    pub(super) fn shows_payloads(&self, now: Instant) -> bool {
        self.basin.lock().payloads_until > now
    }

    fn is_of(&self, service: &str) -> bool {
        self.service.is_empty() || self.service == service
    }

    /// Whether one more call may pass in this second. If not, it is missed.
    fn has_room(&self, now: Instant) -> bool {
        let mut basin = self.basin.lock();
        if now.saturating_duration_since(basin.second) >= Duration::from_secs(1) {
            (basin.second, basin.in_second) = (now, 0);
        }
        let has_room = basin.in_second < TAPPED_PER_SECOND;
        if has_room {
            basin.in_second += 1;
        } else {
            basin.last += 1;
        }
        has_room
    }

    /// A call has passed.
    pub(super) fn pass(&self, call: Tapped) {
        let mut basin = self.basin.lock();
        basin.last += 1;
        let seq = basin.last;
        if basin.calls.len() >= TAPPED_MAX {
            basin.calls.pop_front();
        }
        basin.calls.push_back(Tapped { seq, ..call });
        drop(basin);
        self.told.notify_waiters();
    }

    fn read(&self, asked: &TapRequest) -> Tap {
        let TapRequest { after, payload, .. } = *asked;
        let max = if payload { asked.max.min(WITH_PAYLOADS_MAX) } else { asked.max };
        let basin = self.basin.lock();
        // Who asks after what has not passed yet speaks of an earlier tap.
        let after = if after > basin.last { 0 } else { after };
        let newer = basin.calls.iter().filter(|call| call.seq > after);
        let newer = newer.take(usize::try_from(max).unwrap_or(usize::MAX)).cloned();
        // Another one may have asked for arguments.
        let as_asked = |call: Tapped| {
            if payload { call } else { Tapped { payload: None, payload_missing: None, ..call } }
        };
        let calls: Vec<_> = newer.map(as_asked).collect();
        let is_cut = calls.len() < basin.calls.iter().filter(|call| call.seq > after).count();
        let next = if is_cut { calls.last().map_or(after, |last| last.seq) } else { basin.last };
        // Who asks for the first time has missed nothing.
        let passed = if after == 0 { 0 } else { next.saturating_sub(after) };
        Tap { missed: passed.saturating_sub(calls.len() as u64), calls, next }
    }
}
