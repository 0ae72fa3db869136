//! What travels of a trace, and how much of it.

use opentelemetry::baggage::KeyValueMetadata;

use super::*;

fn span(flags: u8, state: &str) -> SpanContext {
    let (trace, span) = (TraceId::from_bytes([7; 16]), SpanId::from_bytes([9; 8]));
    SpanContext::new(trace, span, TraceFlags::new(flags), false, state.parse().unwrap())
}

fn travelled(context: Context) -> (CallHead, Trace) {
    let mut head = CallHead::default();
    Trace::of(Below::of(context), None).put(&mut head);
    let taken = Trace::take(&mut head.clone());
    (head, taken)
}

fn context(trace: Trace) -> Context {
    let Trace::Of(trace) = trace else { panic!("{trace:?}") };
    trace.below.context.clone()
}

#[test]
fn a_span_travels_with_its_flags_and_its_state() {
    for flags in [0, 1, 3] {
        let (head, taken) =
            travelled(Context::new().with_remote_span_context(span(flags, "vendor=x,other=y")));
        assert_eq!(head.trace.unwrap().len(), IDS);
        let context = context(taken);
        let taken = context.span().span_context().clone();
        assert_eq!((taken.trace_id(), taken.span_id()), (span(0, "").trace_id(), span(0, "").span_id()));
        assert_eq!(
            (taken.trace_flags().to_u8(), taken.trace_state().header().as_str()),
            (flags, "vendor=x,other=y")
        );
        assert!(taken.is_remote());
    }
}

#[test]
fn baggage_travels_with_and_without_a_span() {
    let baggage = [KeyValueMetadata::new("tenant", "blue, or green", "ttl=1")];
    let alone = Context::new().with_value(Unsampled).with_baggage(baggage);
    for sent in [alone.clone(), alone.with_remote_span_context(span(1, ""))] {
        let is_sampled = sent.span().span_context().is_sampled();
        let (head, taken) = travelled(sent);
        assert_eq!(head.baggage.len(), 1);
        let context = context(taken);
        let (value, properties) = context.baggage().get_with_metadata("tenant").unwrap();
        assert_eq!((value.as_str(), properties.as_str()), ("blue, or green", "ttl=1"));
        assert_eq!(context.span().span_context().is_sampled(), is_sampled);
    }
}

#[test]
fn what_has_no_room_in_a_head_stays_behind() {
    let entries = (0..40).map(|at| KeyValueMetadata::new(format!("key-{at:02}"), "x".repeat(40), ""));
    let sent = Context::new()
        .with_remote_span_context(span(1, "vendor=x"))
        .with_baggage(entries.collect::<Vec<_>>());
    let (head, _) = travelled(sent.clone());
    let first: Vec<_> = head.baggage.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(first.len(), 17, "{first:?}");
    assert_eq!((first[0], first[16]), ("key-00", "key-16"));
    // With all the metadata that there may be, and their longest form, it fits still.
    let metadata = (0..64).map(|at| (format!("key-{at}"), "x".repeat(100))).collect();
    let mut head =
        CallHead { metadata, hops: Some(u32::MAX), retries: Some(u32::MAX), ..CallHead::default() };
    let texts: usize = head.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    Trace::of(Below::of(sent), None).put(&mut head);
    assert!(!head.baggage.is_empty());
    let length = prost::Message::encoded_len(&head);
    assert!(length <= texts + 64 * 16 + 64, "{length} bytes, of which {texts} are metadata");
}

#[test]
fn what_is_no_trace_is_as_if_nothing_had_been_said() {
    for ids in [vec![1], vec![0; IDS], vec![1; IDS - 1], [[0; 16].as_slice(), &[1; 9]].concat()] {
        let mut head = CallHead { trace: Some(ids), ..CallHead::default() };
        assert!(Trace::take(&mut head).is_undecided());
    }
    let mut newer = CallHead { trace: Some(vec![1; IDS + 5]), ..CallHead::default() };
    assert!(matches!(Trace::take(&mut newer), Trace::Of(_)), "what follows is for newer nodes");
    let mut odd = CallHead { trace: Some(vec![1; IDS]), tracestate: "=,=".to_owned(), ..CallHead::default() };
    assert!(matches!(Trace::take(&mut odd), Trace::Of(_)), "a trace without its state");
    assert!(Trace::take(&mut CallHead { trace: Some(Vec::new()), ..CallHead::default() }).is_unsampled());
}

const MARK: Mark =
    Mark { trace: TraceId::from_bytes([5; 16]), span: SpanId::from_bytes([6; 8]), is_here: true };

#[test]
fn a_kept_trace_travels_beside_what_is_decided_of_sampling() {
    let undecided = Context::new();
    let unsampled = Context::new().with_value(Unsampled);
    let valid = Context::new().with_remote_span_context(span(0, ""));
    let sampled = Context::new().with_remote_span_context(span(1, ""));
    for (sent, trace) in [(undecided, None), (unsampled, Some(0)), (valid, Some(IDS)), (sampled, Some(IDS))] {
        let mut head = CallHead::default();
        Trace::of(Below { context: sent.clone(), kept: Some(MARK) }, None).put(&mut head);
        assert_eq!((head.trace.as_ref().map(Vec::len), head.kept.as_ref().map(Vec::len)), (trace, Some(24)));
        let Trace::Of(taken) = Trace::take(&mut head) else { panic!("{head:?}") };
        assert_eq!(taken.below.kept, Some(Mark { is_here: false, ..MARK }));
        let of = |context: &Context| (is_decided(context), context.span().span_context().is_sampled());
        assert_eq!(of(&taken.below.context), of(&sent));
    }
}

#[test]
fn what_is_sampled_is_kept_by_the_same_ids_and_says_nothing_more() {
    let context = Context::new().with_remote_span_context(span(1, ""));
    let mark = Mark::sampled(&context).unwrap();
    let mut head = CallHead::default();
    Trace::of(Below { context, kept: Some(mark) }, None).put(&mut head);
    assert_eq!(head.kept, None);
    let Trace::Of(taken) = Trace::take(&mut head) else { panic!("{head:?}") };
    assert_eq!((taken.below.kept, taken.below.mark()), (None, Some(mark)));
}

#[test]
fn what_are_no_ids_of_a_kept_trace_is_as_if_nothing_had_been_said() {
    for ids in [vec![], vec![1; 23], vec![0; 24], [[0; 16].as_slice(), &[1; 8]].concat()] {
        let mut head = CallHead { kept: Some(ids), ..CallHead::default() };
        assert!(Trace::take(&mut head).is_undecided());
    }
    for ids in [vec![1; 24], vec![1; 30], [[1; 16].as_slice(), &[0; 8]].concat()] {
        let mut head = CallHead { kept: Some(ids), ..CallHead::default() };
        let Trace::Of(taken) = Trace::take(&mut head) else { panic!("{head:?}") };
        assert!(taken.below.kept.is_some() && !is_decided(&taken.below.context));
    }
}
