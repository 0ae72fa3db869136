//! Events of many nodes in one order, each once.

use std::collections::BTreeMap;

use qmesh::{EventsAnswer, Failure, Happened};

/// Events that one question asks of all nodes together.
const ASKED_MAX: usize = 8192;
/// Of one node, at least and at most.
const OF_ONE: (usize, usize) = (16, 1024);

/// What was read of each node.
#[derive(Debug, Default)]
pub(super) struct Merge {
    /// The number of the last event, by node.
    read: BTreeMap<String, u64>,
    missed: BTreeMap<String, u64>,
    silent: BTreeMap<String, String>,
    nodes: usize,
}

/// Sorts events by time; those of one node keep their order.
pub(super) fn by_time(events: &mut [Happened]) {
    events.sort_by(|one, other| {
        (one.unix_ms, &one.node, one.seq).cmp(&(other.unix_ms, &other.node, other.seq))
    });
}

impl Merge {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Up to which event each node was read.
    pub(super) const fn read(&self) -> &BTreeMap<String, u64> {
        &self.read
    }

    /// How many events to ask of each node, so that the answer is not too long.
    pub(super) fn share(&self) -> u32 {
        let (least, most) = OF_ONE;
        let share = (ASKED_MAX / self.nodes.max(64)).clamp(least, most);
        u32::try_from(share).unwrap_or(u32::MAX)
    }

    /// Takes answers in, and gives the events in them.
    pub(super) fn take(&mut self, answers: BTreeMap<String, Result<EventsAnswer, Failure>>) -> Vec<Happened> {
        self.nodes = answers.len();
        let mut news = Vec::new();
        for (node, answer) in answers {
            match answer {
                Ok(EventsAnswer { events, missed, .. }) => {
                    self.silent.remove(&node);
                    if missed > 0 {
                        *self.missed.entry(node.clone()).or_default() += missed;
                    }
                    if let Some(last) = events.last() {
                        self.read.insert(node, last.seq);
                    }
                    news.extend(events);
                }
                Err(failure) => {
                    self.silent.insert(node, failure.to_string());
                }
            }
        }
        news
    }

    /// How many events of each node were forgotten before they were read, since the last look.
    pub(super) fn missed(&mut self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.missed)
    }

    /// The nodes that gave no answer to the last question, and why.
    pub(super) const fn silent(&self) -> &BTreeMap<String, String> {
        &self.silent
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn happened(node: &str, seq: u64, unix_ms: u64) -> Happened {
        let event = json!({"seq": seq, "unix_ms": unix_ms, "node": node, "event": "stopping"});
        serde_json::from_value(event).unwrap()
    }

    fn answer(events: &[Happened], missed: u64) -> Result<EventsAnswer, Failure> {
        Ok(serde_json::from_value(json!({"events": events, "missed": missed})).unwrap())
    }

    #[test]
    fn events_come_by_time_and_those_of_one_node_in_their_order() {
        let mut merge = Merge::new();
        let mut news = merge.take(BTreeMap::from([
            ("a".to_owned(), answer(&[happened("a", 7, 20), happened("a", 8, 20)], 0)),
            ("b".to_owned(), answer(&[happened("b", 1, 15)], 5)),
        ]));
        by_time(&mut news);
        let order: Vec<_> = news.iter().map(|event| (event.node.as_str(), event.seq)).collect();
        assert_eq!(order, [("b", 1), ("a", 7), ("a", 8)]);
        assert_eq!(merge.read(), &BTreeMap::from([("a".to_owned(), 8), ("b".to_owned(), 1)]));
        assert_eq!(merge.missed(), BTreeMap::from([("b".to_owned(), 5)]));
        assert!(merge.missed().is_empty());
        assert!(merge.take(BTreeMap::from([("a".to_owned(), answer(&[], 0))])).is_empty());
        assert_eq!(merge.read()["a"], 8);
    }

    #[test]
    fn the_more_nodes_the_fewer_events_of_each_at_a_time() {
        let share = |nodes| Merge { nodes, ..Merge::default() }.share();
        assert_eq!([0, 3, 100, 1000].map(share), [128, 128, 81, 16]);
    }
}
