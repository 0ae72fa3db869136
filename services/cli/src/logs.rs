//! What the parts of a node tell while it runs: lines on standard error.

use std::{fmt, io};

use jiff::Timestamp;
use tracing_subscriber::{
    EnvFilter,
    fmt::{format::Writer, time::FormatTime},
};

use crate::output;

/// The time of day in UTC.
struct TimeOfDay;

/// Installs the subscriber. `RUST_LOG` decides what is told; without it warnings are, and for those who run a node also
/// who comes and goes.
pub(crate) fn install(runs_a_node: bool) {
    // A network without multicast is no news: mDNS is only one of the ways to find nodes.
    let default = if runs_a_node { "warn,qmesh=info,mdns_sd=off" } else { "warn,mdns_sd=off" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .compact()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(output::has_colours(&io::stderr()))
        .with_target(false)
        .with_timer(TimeOfDay)
        .init();
}

// === impl TimeOfDay ===

impl FormatTime for TimeOfDay {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        write!(w, "{}", Timestamp::now().strftime("%H:%M:%S"))
    }
}
