//! What a command line asks to find out what happened in a mesh, and what is wrong with it.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{ANSWER_MAX, ControlClient, ControlError};
use crate::{
    control_api::{About, Answer, Query},
    duration::millis,
    events::Happened,
    failure::Failure,
};

/// Events of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EventsAnswer {
    /// The oldest first.
    pub events: Vec<Happened>,
    /// How many there were between the last one that was read and these: the node remembers 1024.
    pub missed: u64,
}

impl ControlClient {
    /// What the node says of itself, for those who look for what is wrong.
    ///
    /// # Errors
    /// [`ControlError::NoAnswer`].
    pub async fn about(&mut self) -> Result<About, ControlError> {
        let answer = self.ask(&Query::About, ANSWER_MAX).await?;
        self.told(answer, about)?.map_err(|failure| self.failed(&failure))
    }

    /// What all nodes of the mesh say of themselves, by name; or why a node said nothing.
    ///
    /// # Errors
    /// [`ControlError::NoAnswer`].
    pub async fn abouts(&mut self) -> Result<BTreeMap<String, Result<About, Failure>>, ControlError> {
        self.everywhere(Query::About, ANSWER_MAX, about).await
    }

    /// What happened after the event of that number, as the node saw it, the oldest first and `max` at most; 0 is before all
    /// that the node remembers. Where there is nothing yet, the answer waits for up to `patience` (30 s at most).
    ///
    /// # Errors
    /// [`ControlError::NoAnswer`].
    pub async fn events(
        &mut self,
        after: u64,
        max: u32,
        patience: Duration,
    ) -> Result<EventsAnswer, ControlError> {
        let after_of = BTreeMap::new();
        let query = Query::Events { after, after_of, max, wait_ms: millis(patience) };
        let answer = self.ask(&query, patience.saturating_add(ANSWER_MAX)).await?;
        self.told(answer, events)?.map_err(|failure| self.failed(&failure))
    }

    /// What happened on all nodes of the mesh, by name, or why a node said nothing: of each `max` events at most, after the one of
    /// that number in `after`, or all that it remembers. Nobody waits for any.
    ///
    /// # Errors
    /// [`ControlError::NoAnswer`].
    pub async fn events_everywhere(
        &mut self,
        after: &BTreeMap<String, u64>,
        max: u32,
    ) -> Result<BTreeMap<String, Result<EventsAnswer, Failure>>, ControlError> {
        let query = Query::Events { after: 0, after_of: after.clone(), max, wait_ms: 0 };
        self.everywhere(query, ANSWER_MAX, events).await
    }

    fn failed(&self, failure: &Failure) -> ControlError {
        ControlError::NoAnswer(self.node().to_owned(), failure.to_string())
    }
}

fn about(answer: Answer) -> Result<About, Box<Answer>> {
    match answer {
        Answer::About(about) => Ok(*about),
        other => Err(Box::new(other)),
    }
}

fn events(answer: Answer) -> Result<EventsAnswer, Box<Answer>> {
    match answer {
        Answer::Events { events, missed } => Ok(EventsAnswer { events, missed }),
        other => Err(Box::new(other)),
    }
}
