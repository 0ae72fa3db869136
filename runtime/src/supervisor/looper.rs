//! The actor of something that is a loop: a listener, a session, a channel, gossip, seeds.
//!
//! The actor owns the loop: it fails when the loop fails, ends when the loop ends, and drops it when it is stopped.
//! Bytes flow in the loop, never through the actor's queue.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::{
    supervisor::Spawn,
    task::{self, Owned, Place},
};

/// A loop: `Ok` when it is done, `Err` when it is to be restarted.
pub(crate) type Work = BoxFuture<'static, Result<(), String>>;

struct Looper;

/// The loop has ended.
#[derive(Debug)]
struct Ended(Result<(), String>);

impl Actor for Looper {
    type Msg = Ended;
    type State = Owned;
    type Arguments = (Place, Work);

    async fn pre_start(
        &self,
        myself: ActorRef<Ended>,
        (place, work): (Place, Work),
    ) -> Result<Owned, ActorProcessingErr> {
        Ok(task::spawn_at(&place, async move {
            let ended = AssertUnwindSafe(work).catch_unwind().await;
            let ended = ended.unwrap_or_else(|_panic| Err("it panicked".to_owned()));
            // The actor may have been stopped.
            drop(myself.cast(Ended(ended)));
        }))
    }

    async fn handle(
        &self,
        myself: ActorRef<Ended>,
        Ended(ended): Ended,
        _: &mut Owned,
    ) -> Result<(), ActorProcessingErr> {
        ended?;
        myself.stop(None);
        Ok(())
    }
}

/// How to start the loop that `work` makes: at `place`, now and after each failure.
pub(crate) fn looper(place: Place, work: impl Fn() -> Work + Send + Sync + 'static) -> Spawn {
    let work = Arc::new(work);
    Box::new(move |supervisor| {
        let arguments = (place.clone(), work());
        Box::pin(
            async move { Ok(Actor::spawn_linked(None, Looper, arguments, supervisor).await?.0.get_cell()) },
        )
    })
}
