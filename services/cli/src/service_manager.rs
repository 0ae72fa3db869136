//! What the manager of the process is told where it listens, as systemd does for units with `Type=notify`: that the node is
//! ready, that it ends, and, for a watchdog, that it lives.

use std::{convert::Infallible, future::pending, time::Duration};

use qmesh::Node;
use tokio::time::{interval, sleep};

use crate::health;

/// How often a node that is not ready yet is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How often a watchdog hears of a node within the time that it grants: two words may be lost.
const WORDS: u32 = 3;

/// What the manager is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Word {
    Ready,
    Stopping,
    Alive,
}

/// Says that the node is ready once it is, and from then on that it lives for as long as it does: what it is asked is what
/// people ask, so that a node which can no longer answer falls silent.
///
/// # Cancel safety
/// Cancel safe.
pub(crate) async fn keep_told(node: &Node) -> Infallible {
    if !listens() {
        return pending().await;
    }
    while !is_ready(node) {
        sleep(LOOK).await;
    }
    tell(Word::Ready);
    let Some(granted) = watchdog() else { return pending().await };
    let mut pace = interval((granted / WORDS).max(Duration::from_millis(1)));
    loop {
        pace.tick().await;
        if health::is_alive(&node.tree()) {
            tell(Word::Alive);
        } else {
            tracing::error!(target: "qmesh::cli", "the node does not work, and the watchdog is not told that it does");
        }
    }
}

fn is_ready(node: &Node) -> bool {
    let nodes = node.nodes();
    let own = nodes.iter().find(|known| known.name == node.name());
    own.is_some_and(|own| health::complaints(&own.state, &node.tree()).is_empty())
}

#[cfg(unix)]
fn listens() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

#[cfg(unix)]
fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// Tells the manager, if there is one.
#[cfg(unix)]
pub(crate) fn tell(word: Word) {
    let state = match word {
        Word::Ready => sd_notify::NotifyState::Ready,
        Word::Stopping => sd_notify::NotifyState::Stopping,
        Word::Alive => sd_notify::NotifyState::Watchdog,
    };
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(target: "qmesh::cli", %error, ?word, "the service manager cannot be told");
    }
}

// Elsewhere no manager listens.

#[cfg(not(unix))]
const fn listens() -> bool {
    false
}

#[cfg(not(unix))]
const fn watchdog() -> Option<Duration> {
    None
}

/// Tells nobody.
#[cfg(not(unix))]
pub(crate) const fn tell(_word: Word) {}
