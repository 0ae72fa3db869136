//! The calls of a trace, each with its attempts, made of its spans. Pure.

use qmesh::SpanInfo;
use serde::Serialize;
use serde_json::Value;

/// A call, as the node tells it that made it, or else the one that served it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Call {
    pub(super) method: String,
    /// The node that called, where it keeps the call.
    pub(super) node: Option<String>,
    /// The node that called, where only the one that served keeps it.
    pub(super) caller: Option<String>,
    /// The command line that asked for it, as `client/NAME`.
    pub(super) guest: Option<String>,
    pub(super) status: String,
    pub(super) detail: String,
    pub(super) duration_us: u64,
    pub(super) is_one_way: bool,
    /// It was not kept, and failed.
    pub(super) is_alone: bool,
    pub(super) attempts: Vec<Attempt>,
    /// What is known of it where it was served, if it has no attempts.
    pub(super) served: Served,
}

/// An attempt of a call.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Attempt {
    pub(super) number: u64,
    pub(super) peer: String,
    pub(super) path: Option<String>,
    pub(super) round_trip_us: Option<u64>,
    pub(super) status: String,
    pub(super) detail: String,
    pub(super) duration_us: u64,
    /// Time since the attempt before it had ended, or the call had begun.
    pub(super) after_us: u64,
    pub(super) candidates: Vec<Candidate>,
    pub(super) candidates_left_out: u64,
    pub(super) tried: Vec<String>,
    pub(super) pinned: bool,
    pub(super) retries_left: Option<u64>,
    pub(super) served: Served,
}

/// An endpoint that it could have gone to.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Candidate {
    pub(super) node: String,
    pub(super) score: u64,
    pub(super) state: String,
    pub(super) chosen: bool,
}

/// What is known from the node that served.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Served {
    pub(super) is_known: bool,
    pub(super) queue_us: Option<u64>,
    pub(super) handler_us: Option<u64>,
}

/// The calls, in the order in which they began.
pub(super) fn calls(spans: &[SpanInfo]) -> Vec<Call> {
    let mut tops: Vec<_> = spans.iter().filter(|span| is_call(spans, span)).collect();
    tops.sort_by_key(|span| span.unix_us);
    tops.into_iter().map(|top| call(spans, top)).collect()
}

/// Whether a span is one of a whole call: not an attempt, not a part of it, and not what somebody above tells of.
fn is_call(spans: &[SpanInfo], span: &SpanInfo) -> bool {
    let is_attempt = span.attributes.contains_key("qmesh.attempt");
    let has_parent = || spans.iter().any(|above| Some(&above.span) == span.parent.as_ref());
    match &*span.kind {
        "client" | "producer" => !is_attempt || !has_parent(),
        "server" | "consumer" => !has_parent(),
        _ => false,
    }
}

fn call(spans: &[SpanInfo], top: &SpanInfo) -> Call {
    let is_caller = matches!(&*top.kind, "client" | "producer");
    let mut tries: Vec<_> =
        below(spans, top).filter(|span| span.attributes.contains_key("qmesh.attempt")).collect();
    tries.sort_by_key(|span| span.unix_us);
    let mut before = top.unix_us;
    let attempts = tries.into_iter().map(|span| {
        let after_us = span.unix_us.saturating_sub(before);
        before = span.unix_us.saturating_add(span.duration_us);
        attempt(spans, span, after_us)
    });
    Call {
        method: top.name.clone(),
        node: is_caller.then(|| top.node.clone()),
        caller: text(top, "qmesh.peer").filter(|_| !is_caller),
        guest: text(top, "qmesh.guest"),
        status: top.status.clone(),
        detail: top.detail.clone(),
        duration_us: top.duration_us,
        is_one_way: matches!(&*top.kind, "producer" | "consumer"),
        is_alone: flag(top, "qmesh.alone"),
        attempts: attempts.collect(),
        served: if is_caller { served(spans, top) } else { parts(spans, top) },
    }
}

fn attempt(spans: &[SpanInfo], span: &SpanInfo, after_us: u64) -> Attempt {
    let peer = text(span, "qmesh.peer").unwrap_or_default();
    let candidates = texts(span, "qmesh.candidates");
    let candidates = candidates.iter().filter_map(|candidate| {
        let mut words = candidate.split(' ');
        let (node, score, state) = (words.next()?.to_owned(), words.next()?, words.next()?.to_owned());
        Some(Candidate { chosen: node == peer, node, score: score.parse().ok()?, state })
    });
    Attempt {
        number: number(span, "qmesh.attempt").unwrap_or_default(),
        candidates: candidates.collect(),
        peer,
        path: text(span, "qmesh.path"),
        round_trip_us: number(span, "qmesh.round_trip_us"),
        status: span.status.clone(),
        detail: span.detail.clone(),
        duration_us: span.duration_us,
        after_us,
        candidates_left_out: number(span, "qmesh.candidates.left_out").unwrap_or_default(),
        tried: texts(span, "qmesh.tried"),
        pinned: flag(span, "qmesh.pinned"),
        retries_left: number(span, "qmesh.retries.left"),
        served: served(spans, span),
    }
}

/// What the node that served an attempt, or a send, keeps of it.
fn served(spans: &[SpanInfo], span: &SpanInfo) -> Served {
    let mut far = below(spans, span).filter(|far| matches!(&*far.kind, "server" | "consumer"));
    far.next().map_or_else(Served::default, |far| parts(spans, far))
}

/// The parts of a call where it was served.
fn parts(spans: &[SpanInfo], far: &SpanInfo) -> Served {
    let took = |name: &str| below(spans, far).find(|part| part.name == name).map(|part| part.duration_us);
    Served { is_known: true, queue_us: took("queue"), handler_us: took("handler") }
}

fn below<'a>(spans: &'a [SpanInfo], above: &'a SpanInfo) -> impl Iterator<Item = &'a SpanInfo> {
    spans.iter().filter(move |span| span.parent.as_ref() == Some(&above.span))
}

fn text(span: &SpanInfo, key: &str) -> Option<String> {
    span.attributes.get(key)?.as_str().map(str::to_owned)
}

fn texts(span: &SpanInfo, key: &str) -> Vec<String> {
    let all = span.attributes.get(key).and_then(Value::as_array);
    all.into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

fn number(span: &SpanInfo, key: &str) -> Option<u64> {
    span.attributes.get(key)?.as_u64()
}

fn flag(span: &SpanInfo, key: &str) -> bool {
    span.attributes.get(key).and_then(Value::as_bool).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn span(id: &str, parent: &str, (node, kind, name): (&str, &str, &str), more: Value) -> SpanInfo {
        let mut info = json!({
            "trace": "0", "span": id, "parent": parent, "node": node, "name": name, "kind": kind,
            "unix_us": 1000, "duration_us": 100, "status": "ok",
        });
        info.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(info).unwrap()
    }

    #[test]
    fn a_call_is_told_with_its_attempts_and_where_their_time_went() {
        let attempt = |number: u64, peer: &str, begun: u64| {
            let candidates = ["a 3 tried", "b 4000 connected", "c 0 lost"];
            json!({ "unix_us": begun, "duration_us": 20, "attributes": {
                "qmesh.attempt": number, "qmesh.peer": peer, "qmesh.candidates": candidates, "qmesh.path": "quic",
                "qmesh.round_trip_us": 250, "qmesh.retries.left": 7, "qmesh.tried": ["a"], "qmesh.candidates.left_out": 2,
            }})
        };
        let spans = [
            span("6", "5", ("b", "internal", "handler"), json!({"duration_us": 7})),
            span("3", "2", ("near", "client", "a.B/c"), attempt(2, "b", 1050)),
            span("2", "guest", ("near", "client", "a.B/c"), json!({})),
            span("4", "2", ("near", "client", "a.B/c"), attempt(1, "a", 1010)),
            span("5", "3", ("b", "server", "a.B/c"), json!({})),
            span("7", "5", ("b", "internal", "queue"), json!({"duration_us": 2})),
            span("8", "6", ("b", "client", "d.E/f"), json!({"unix_us": 2000, "status": "no_endpoint"})),
        ];
        let calls = calls(&spans);
        let told: Vec<_> =
            calls.iter().map(|call| (&*call.method, call.node.as_deref(), &*call.status)).collect();
        assert_eq!(told, [("a.B/c", Some("near"), "ok"), ("d.E/f", Some("b"), "no_endpoint")]);
        let [first, second] = &calls[0].attempts[..] else { panic!("{calls:#?}") };
        assert_eq!((first.number, first.after_us, second.number, second.after_us), (1, 10, 2, 20));
        assert_eq!(first.served, Served::default());
        assert_eq!(second.served, Served { is_known: true, queue_us: Some(2), handler_us: Some(7) });
        let candidate = |node: &str, score, state: &str, chosen| Candidate {
            node: node.to_owned(),
            score,
            state: state.to_owned(),
            chosen,
        };
        let expected = [
            candidate("a", 3, "tried", false),
            candidate("b", 4000, "connected", true),
            candidate("c", 0, "lost", false),
        ];
        assert_eq!(second.candidates, expected);
        assert_eq!(
            (second.candidates_left_out, second.retries_left, &second.tried[..]),
            (2, Some(7), &["a".to_owned()][..])
        );
    }

    #[test]
    fn what_only_the_service_keeps_is_told_by_it() {
        let spans = [
            span(
                "2",
                "gone",
                ("b", "server", "a.B/c"),
                json!({"attributes": {"qmesh.peer": "near", "qmesh.guest": "client/ops"}}),
            ),
            span("3", "2", ("b", "internal", "queue"), json!({"duration_us": 2})),
        ];
        let [call] = &calls(&spans)[..] else { panic!() };
        assert_eq!((call.node.as_deref(), call.caller.as_deref()), (None, Some("near")));
        assert_eq!(call.guest.as_deref(), Some("client/ops"));
        assert_eq!(call.served.queue_us, Some(2));
    }
}
