//! A client that stays with one endpoint, so that what it asks begins in the order in which it asks.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{MappedMutexGuard, Mutex, MutexGuard, OwnedMutexGuard},
    time::{error::Elapsed, sleep, timeout_at},
};

use crate::{
    channel::caller::ChannelCaller,
    client::{Remote, engine::Journey},
    failure::{Failure, Reason},
    service::Endpoint,
};

/// How often a retired channel is looked at, whose last calls are under way.
const LOOK: Duration = Duration::from_millis(5);

/// What all clones of a pinned client share.
#[derive(Debug, Default)]
pub(crate) struct Pinning {
    /// Whoever holds it is the next to begin; whoever waits for it comes in the order of waiting.
    turn: Arc<Mutex<Option<Place>>>,
}

/// The right to begin, until it is dropped.
pub(crate) type Turn = OwnedMutexGuard<Option<Place>>;

/// The endpoint, and for one on another node the one channel that keeps the order.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Here(Arc<dyn Endpoint>),
    There(Arc<Remote>, Arc<ChannelCaller>),
}

impl Pinning {
    /// The place, if it is open and nobody waits for a turn.
    pub(crate) fn now(&self) -> Option<MappedMutexGuard<'_, Place>> {
        let turn = self.turn.try_lock().ok()?;
        MutexGuard::try_map(turn, |place| place.as_mut().filter(|place| place.is_open())).ok()
    }

    /// Waits for a turn, and for the place to be open.
    ///
    /// # Errors
    /// *Not sent*.
    ///
    /// # Cancel safety
    /// Cancelled, it gives its turn to the next.
    pub(crate) async fn next(&self, journey: &mut Journey) -> Result<(Turn, Place), Failure> {
        let turn = timeout_at(journey.deadline(), Arc::clone(&self.turn).lock_owned()).await;
        let mut turn = turn.map_err(late)?;
        let place = match turn.clone() {
            None => journey.reach().await?,
            Some(Place::Here(local)) if local.is_closed() => {
                return Err(lost(Reason::Unavailable, journey.node.name()));
            }
            Some(Place::There(remote, channel)) if !channel.is_live() => {
                successor(journey, remote, &channel).await?
            }
            Some(place) => place,
        };
        *turn = Some(place.clone());
        Ok((turn, place))
    }
}

/// It was not its turn before its time was over.
fn late(_: Elapsed) -> Failure {
    let detail = "calls before it on the pinned client did not begin in time";
    Failure::not_sent(Reason::DeadlineExceeded, detail)
}

/// The channel in place of one that begins no further call, where another session took the place of its own.
async fn successor(journey: &Journey, remote: Arc<Remote>, former: &ChannelCaller) -> Result<Place, Failure> {
    // What was asked before has begun once it has its answer.
    let finished = async {
        while former.is_busy() {
            sleep(LOOK).await;
        }
    };
    timeout_at(journey.deadline(), finished).await.map_err(late)?;
    if former.is_lost() {
        return Err(lost(Reason::ConnectionLost, remote.name()));
    }
    let opened = remote.open(&journey.node, &journey.route, journey.deadline()).await;
    let channel = opened.map_err(|failure| failure.at(remote.name()))?;
    if !remote.is_in_its_life() {
        return Err(lost(Reason::ConnectionLost, remote.name()));
    }
    Ok(Place::There(remote, channel))
}

fn lost(reason: Reason, endpoint: &str) -> Failure {
    let detail = "the endpoint to which the client is pinned was lost; pin anew for another one";
    Failure::not_sent(reason, detail).at(endpoint)
}

impl Place {
    fn is_open(&self) -> bool {
        match self {
            Self::Here(local) => !local.is_closed(),
            Self::There(_, channel) => channel.is_live(),
        }
    }
}
