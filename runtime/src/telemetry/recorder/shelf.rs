//! The traces that a node keeps: recent ones, and longer those that were slow or failed. Pure.

use std::collections::{BTreeMap, HashMap};

use opentelemetry::trace::TraceId;

use crate::telemetry::recorder::kept::KeptSpan;

/// Spans of recent traces that are kept, and as many of slow and failed ones. Beyond them, the traces go of which nothing
/// was heard for the longest.
const SPANS_MAX: usize = 4096;
/// Spans of one trace. Further ones are counted, unless they are what is at its top.
const SPANS_PER_TRACE_MAX: usize = 256;

/// What is kept.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    traces: HashMap<TraceId, Kept>,
    recent: Row,
    notable: Row,
    /// How many spans have come.
    came: u64,
}

/// A trace, as far as this node knows it.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) spans: Vec<KeptSpan>,
    pub(crate) left_out: usize,
    is_notable: bool,
    /// Its place in its row.
    at: u64,
}

/// Traces in the order in which something was heard of them.
#[derive(Debug, Default)]
struct Row {
    order: BTreeMap<u64, TraceId>,
    spans: usize,
}

impl Shelf {
    /// Keeps a span. Where it makes its trace notable, the whole of it is kept with those.
    pub(crate) fn add(&mut self, trace: TraceId, span: KeptSpan, is_notable: bool) {
        self.came += 1;
        let at = self.came;
        let kept = self.traces.entry(trace).or_insert_with(|| Kept {
            spans: Vec::new(),
            left_out: 0,
            is_notable: false,
            at,
        });
        let row = if kept.is_notable { &mut self.notable } else { &mut self.recent };
        row.order.remove(&kept.at);
        row.spans -= kept.spans.len();
        if kept.spans.len() < SPANS_PER_TRACE_MAX || span.is_root {
            kept.spans.push(span);
        } else {
            kept.left_out += 1;
        }
        kept.is_notable |= is_notable;
        kept.at = at;
        let row = if kept.is_notable { &mut self.notable } else { &mut self.recent };
        row.order.insert(at, trace);
        row.spans += kept.spans.len();
        while row.spans > SPANS_MAX
            && let Some((_, oldest)) = row.order.pop_first()
        {
            row.spans -= self.traces.remove(&oldest).map_or(0, |gone| gone.spans.len());
        }
    }

    /// What is kept, the latest first.
    pub(crate) fn traces(&self) -> impl Iterator<Item = (TraceId, &Kept)> {
        let mut order: Vec<_> = self.recent.order.iter().chain(&self.notable.order).collect();
        order.sort_unstable_by(|(one, _), (other, _)| other.cmp(one));
        order.into_iter().filter_map(|(_, trace)| Some((*trace, self.traces.get(trace)?)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry::trace::{SpanId, SpanKind};

    use super::*;
    use crate::telemetry::moment::Moment;

    fn span(is_root: bool) -> KeptSpan {
        KeptSpan {
            id: SpanId::from(1),
            parent: SpanId::INVALID,
            name: "a.B/c".into(),
            kind: SpanKind::Server,
            is_root,
            since: Moment::now(),
            took: Duration::ZERO,
            status: None,
            detail: String::new(),
            attributes: Vec::new(),
        }
    }

    fn ids(shelf: &Shelf) -> Vec<u128> {
        shelf.traces().map(|(trace, _)| u128::from_be_bytes(trace.to_bytes())).collect()
    }

    #[test]
    fn what_is_notable_stays_with_all_of_its_spans_after_any_number_of_others() {
        let mut shelf = Shelf::default();
        shelf.add(1.into(), span(false), false);
        shelf.add(2.into(), span(true), true);
        shelf.add(1.into(), span(true), true);
        for fast in 10..20_000_u128 {
            shelf.add(fast.into(), span(false), false);
            shelf.add(fast.into(), span(true), false);
        }
        let kept = ids(&shelf);
        assert_eq!(kept.len(), SPANS_MAX / 2 + 2);
        assert_eq!((kept[0], &kept[kept.len() - 2..]), (19_999, &[1, 2][..]));
        assert_eq!(shelf.traces.len(), kept.len());
        assert_eq!(shelf.traces[&1.into()].spans.len(), 2);
        // Its further spans stay with it.
        shelf.add(1.into(), span(false), false);
        assert_eq!(ids(&shelf)[0], 1);
    }

    #[test]
    fn notable_ones_are_bounded_too_and_the_last_to_be_heard_of_stay() {
        let mut shelf = Shelf::default();
        for slow in 0..10_000_u128 {
            shelf.add(slow.into(), span(true), true);
            shelf.add(7.into(), span(false), false);
        }
        let kept = ids(&shelf);
        assert_eq!((shelf.notable.spans, shelf.recent.spans), (SPANS_MAX, 0));
        assert!(kept.contains(&7) && !kept.contains(&8), "it was heard of all the time");
        assert_eq!(shelf.traces[&7.into()].spans.len(), SPANS_PER_TRACE_MAX);
        assert_eq!(shelf.traces[&7.into()].left_out, 10_001 - SPANS_PER_TRACE_MAX);
    }
}
