//! Every frame and message of this protocol, as the code that sends it writes it, against the golden vectors.

use std::{future::poll_fn, sync::Arc, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use prost::Message;
use qmesh_discovery::Protocol as GossipProtocol;
use qmesh_transport::Credentials;
use qmesh_trial::golden;
use tokio::time::Instant;

use crate::{
    call_tree::{Allowance, Inherited, Terms},
    channel::{
        caller::{ChannelCaller, Outbound, TrySend, take_spent},
        failure_code,
        head::Head,
        items, open, stream_caller,
    },
    client::CallOptions,
    codec::Codec,
    config::{Config, Limits},
    failure::{Failure, Outcome, Reason},
    metadata::Metadata,
    node::{
        control, gossip,
        hello::{self, Own},
        questions,
    },
    service::{Never, OneWays, RawReply, Replies, Reply, Responder},
    stream::{Receiver, stream},
    telemetry::Trace,
    wire::{
        frame::{Chunk, HEAD, kind},
        messages::{
            BaggageEntry, CallHead, Control, Hello, Open, OpenMethod, Opened, OpenedMethod, Request,
            Response, WireFailure, control::Kind,
        },
        outbox::Outbox,
        unread::Unread,
    },
};

type Vector = (&'static str, Vec<u8>);

#[tokio::test(start_paused = true)]
async fn the_bytes_of_this_layer_are_the_golden_ones() {
    let mut written = introductions();
    written.extend(openings());
    written.extend(calls().await);
    written.extend(replies().await);
    written.extend(streams().await);
    written.push(("failures", REASONS.iter().flat_map(failure_of).collect()));
    golden::compare("runtime", written);
}

// === what is written ===

fn introductions() -> Vec<Vector> {
    let credentials = Credentials::from_pem(golden::CERTIFICATE, golden::KEY, golden::AUTHORITY).unwrap();
    let gossip = Some(GossipProtocol::Chitchat);
    let timeout = Duration::ZERO;
    let own = Own { credentials: &credentials, incarnation: 7, dial: 0, gossip, timeout };
    let hello = |dial, refused: &str| {
        open::message(kind::HELLO, &hello::hello(Own { dial, ..own }, refused.to_owned()))
    };
    let (query, answer) = (Bytes::from_static(b"\"nodes\""), Bytes::from_static(b"{\"nodes\":[]}"));
    let message = golden::vector("gossip", "gossip_bad_cluster");
    vec![
        ("hello", hello(3, "").into()),
        ("hello_refused", hello(0, "no").into()),
        ("ping", control(Kind::Ping(300))),
        ("pong", control(Kind::Pong(300))),
        ("go_away", control(Kind::GoAway(true))),
        ("request", control(Kind::Request(Request { id: 1, query: query.clone() }))),
        ("response", control(Kind::Response(Response { id: 1, answer: answer.clone() }))),
        ("gossip", gossip::framed(&message).into()),
        ("question", questions::framed(kind::QUESTION, &query).into()),
        ("answer", questions::framed(kind::ANSWER, &answer).into()),
    ]
}

fn control(kind: Kind) -> Vec<u8> {
    let outbox = Outbox::new(1024);
    control::send(&outbox, kind);
    outbox.end();
    let taken = futures_util::FutureExt::now_or_never(outbox.take());
    taken.flatten().expect("a message was sent").into()
}

fn opening() -> Open {
    let method =
        |name: &str, signature: &str| OpenMethod { name: name.to_owned(), signature: signature.to_owned() };
    let methods = vec![method("sign", "sign(text: String) -> usize"), method("gone", "")];
    Open { service: "guests.Book".to_owned(), codec: "msgpack".to_owned(), methods, ..Open::default() }
}

fn answer() -> Opened {
    let agreed = OpenedMethod { one_way: true, idempotent: true, ..OpenedMethod::default() };
    let refused = OpenedMethod { refused: "no".to_owned(), unknown: true, ..OpenedMethod::default() };
    Opened {
        methods: vec![agreed, refused],
        one_way_window: 8192,
        calls_max: 4096,
        message_bytes_max: 4 << 20,
        metadata_bytes_max: 8 << 10,
    }
}

fn openings() -> Vec<Vector> {
    vec![
        ("open", open::message(kind::OPEN, &opening()).into()),
        ("opened", open::message(kind::OPENED, &answer()).into()),
        ("refused", open::refusal(&Failure::not_executed(Reason::UnknownService, "no")).into()),
    ]
}

/// A caller that has called, cancelled and sent one way; and what it wrote.
async fn caller() -> (Arc<ChannelCaller>, [Bytes; 3]) {
    let opened = Opened { methods: vec![OpenedMethod::default(); 2], ..answer() };
    let caller = Arc::new(ChannelCaller::new(opened, Arc::default(), Arc::default()));
    let now = Instant::now();
    let arguments = Codec::MessagePack.encode(&("hi",)).unwrap();
    let deadline = now + Duration::from_secs(10);
    let outbound = Outbound { method: 1, head: &Head::USUAL, arguments: &arguments, deadline };
    let call = caller.start(outbound, now).unwrap();
    let called = caller.written().await;
    drop(call);
    let cancelled = caller.written().await;
    assert!(matches!(caller.try_send(1, &Head::USUAL, &arguments), TrySend::Sent));
    let sent = caller.written().await;
    (caller, [called, cancelled, sent])
}

async fn calls() -> Vec<Vector> {
    let (caller, [called, cancelled, sent]) = caller().await;
    let mut metadata = Metadata::default();
    metadata.set("tenant".to_owned(), "blue".to_owned());
    let head = Head::new(Allowance { hops: 31, retries: 4 }, Some(Arc::new(metadata)));
    let now = Instant::now();
    let outbound =
        Outbound { method: 1, head: &head, arguments: b"\x90", deadline: now + Duration::from_secs(10) };
    let _call = caller.start(outbound, now).unwrap();
    let rare = caller.written().await;
    let mut vectors =
        vec![("call", called), ("call_with_head", rare), ("cancel", cancelled), ("one_way", sent)];
    let mut begun = Vec::new();
    let traces = [
        ("call_with_trace", trace()),
        ("call_without_trace", Trace::Unsampled),
        ("call_of_a_kept_trace", kept()),
    ];
    for (name, trace) in traces {
        let head = Head::USUAL.traced(trace);
        let (arguments, deadline) = (b"\x90".as_slice(), now + Duration::from_secs(10));
        begun.push(caller.start(Outbound { method: 1, head: &head, arguments, deadline }, now).unwrap());
        vectors.push((name, caller.written().await));
    }
    vectors.into_iter().map(|(name, bytes)| (name, bytes.into())).collect()
}

/// A place in a recorded trace.
fn trace() -> Trace {
    let mut said = CallHead {
        trace: Some((1..=24).chain([1]).collect()),
        tracestate: "vendor=x".to_owned(),
        baggage: vec![BaggageEntry {
            key: "tenant".to_owned(),
            value: "blue".to_owned(),
            properties: String::new(),
        }],
        ..CallHead::default()
    };
    Trace::take(&mut said)
}

/// A place in a trace that nodes keep and nobody samples.
fn kept() -> Trace {
    let kept = Some((1..=24).collect());
    Trace::take(&mut CallHead { trace: Some(Vec::new()), kept, ..CallHead::default() })
}

async fn replies() -> Vec<Vector> {
    let replies =
        Arc::new(Replies::new(Arc::new(1000.into()), 1024, Arc::new(Unread::new(&Limits::default()))));
    let mut vectors = Vec::new();
    for (name, answer) in [("reply_value", Ok(7_u8)), ("reply_service_error", Err("no".to_owned()))] {
        Reply::wire(Responder::call(Arc::clone(&replies), 0), Codec::MessagePack).answer(answer);
        vectors.push((name, taken(&replies).await));
    }
    Inherited::new(None, Allowance { hops: 1, retries: 3 }).enter(|| {
        let mut terms = Terms::begin(&Config::local(), &CallOptions::NONE, Instant::now()).unwrap();
        assert!(terms.withdraw());
        Reply::<_, Never>::wire(Responder::call(Arc::clone(&replies), 0), Codec::MessagePack)
            .answer(Ok(7_u8));
    });
    vectors.push(("reply_spent", taken(&replies).await));
    replies.send_failure(0, &Failure::not_executed(Reason::Overloaded, "full"), 0);
    vectors.push(("reply_failure", taken(&replies).await));
    replies.enter_one_way(1);
    replies.finish_one_way(OneWays { handled: 1, ..OneWays::default() });
    vectors.push(("acknowledge", taken(&replies).await));
    replies.enter_one_way(302);
    replies.finish_one_way(OneWays { handled: 299, refused: 1, unknown: 2 });
    vectors.push(("acknowledge_more", taken(&replies).await));
    vectors
}

async fn taken(replies: &Replies) -> Vec<u8> {
    replies.outbox.take().await.expect("something was sent").into()
}

async fn streams() -> Vec<Vector> {
    let (sender, cut) = stream::<u8>(1);
    sender.fail(Failure::unknown(Reason::Cancelled, "enough"));
    let deadline = Instant::now() + Duration::from_secs(10);
    let arguments = Codec::MessagePack.encode(&("hi",)).unwrap();
    vec![
        ("stream", stream_caller::begin(&Head::USUAL, Some(deadline), &arguments).into()),
        ("items", filled(Receiver::of(["one", "two"])).await),
        ("cut", filled(cut).await),
    ]
}

/// All frames of a stream.
async fn filled<T: serde::Serialize + Send + 'static>(receiver: Receiver<T>) -> Vec<u8> {
    let (mut items, mut buffer) = (items::outgoing(receiver, Codec::MessagePack, 1024), BytesMut::new());
    while poll_fn(|cx| items.poll_fill(cx, &mut buffer)).await {}
    buffer.into()
}

/// The reasons by their numbers, from 1 on.
const REASONS: [Reason; 19] = [
    Reason::NoEndpoint,
    Reason::DeadlineExceeded,
    Reason::Cancelled,
    Reason::Overloaded,
    Reason::Unreachable,
    Reason::ConnectionLost,
    Reason::Panicked,
    Reason::Unavailable,
    Reason::UnknownService,
    Reason::UnknownMethod,
    Reason::Incompatible,
    Reason::UnknownCodec,
    Reason::BadArguments,
    Reason::BadReply,
    Reason::TooLarge,
    Reason::Refused,
    Reason::Protocol,
    Reason::TooManyHops,
    Reason::Idle,
];

/// The three outcomes with the same reason.
fn failure_of(reason: &Reason) -> Vec<u8> {
    let outcomes = [Outcome::NotSent, Outcome::NotExecuted, Outcome::Unknown];
    outcomes
        .map(|outcome| failure_code::to_wire(&Failure::new(outcome, *reason, "")).encode_to_vec())
        .concat()
}

// === what is read ===

/// The payload of the only frame of a vector.
fn payload(name: &str, kind: u8) -> Bytes {
    let mut bytes = Bytes::from(golden::vector("runtime", name));
    let mut chunk = Chunk::of(bytes.clone());
    let (found, payload) = chunk.next().unwrap();
    assert_eq!((found, payload.end, chunk.next()), (kind, bytes.len(), None), "{name}");
    bytes.advance(HEAD);
    bytes
}

fn read<M: Message + Default>(name: &str, kind: u8) -> M {
    M::decode(payload(name, kind)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_golden_messages_are_read() {
    assert_eq!(read::<Hello>("hello", kind::HELLO).dial, 3);
    let hello: Hello = read("hello_refused", kind::HELLO);
    assert_eq!(hello.features, ["gossip/chitchat", "questions"]);
    assert_eq!(payload("question", kind::QUESTION), &br#""nodes""#[..]);
    assert_eq!(payload("answer", kind::ANSWER), &br#"{"nodes":[]}"#[..]);
    assert_eq!((hello.protocol, hello.incarnation, hello.refused.as_str()), (1, 7, "no"));
    assert_eq!((hello.mesh.as_str(), hello.name.as_str()), ("vectors", "lobby"));
    assert_eq!(hello.codecs, ["msgpack", "json"]);
    assert_eq!(read::<Control>("ping", kind::CONTROL).kind, Some(Kind::Ping(300)));
    assert_eq!(read::<Control>("pong", kind::CONTROL).kind, Some(Kind::Pong(300)));
    assert_eq!(read::<Control>("go_away", kind::CONTROL).kind, Some(Kind::GoAway(true)));
    let Some(Kind::Request(request)) = read::<Control>("request", kind::CONTROL).kind else { panic!() };
    assert_eq!((request.id, &request.query[..]), (1, &b"\"nodes\""[..]));
    let Some(Kind::Response(response)) = read::<Control>("response", kind::CONTROL).kind else { panic!() };
    assert_eq!((response.id, &response.answer[..]), (1, &b"{\"nodes\":[]}"[..]));
    assert_eq!(read::<Open>("open", kind::OPEN), opening());
    assert_eq!(read::<Opened>("opened", kind::OPENED), answer());
    let refused = failure_code::from_wire(read("refused", kind::REFUSED));
    assert_eq!(refused, Failure::not_executed(Reason::UnknownService, "no"));
    let cut = failure_code::from_wire(read("cut", kind::CUT));
    assert_eq!(cut, Failure::unknown(Reason::Cancelled, "enough"));
}

#[test]
fn a_golden_head_is_read() {
    let call = payload("call_with_head", kind::CALL);
    let mut rest = &call[1..];
    let (method, head) = Head::take(&mut rest, kind::CALL, &Limits::default()).unwrap();
    assert_eq!((method, head.allowance), (1, Allowance { hops: 31, retries: 4 }));
    assert_eq!(head.metadata.unwrap().get("tenant"), Some("blue"));
}

#[test]
fn golden_traces_are_read() {
    for (name, ids) in
        [("call_with_trace", (1..=24).chain([1]).collect::<Vec<u8>>()), ("call_without_trace", Vec::new())]
    {
        let call = payload(name, kind::CALL);
        let (_, head) = Head::take(&mut &call[1..], kind::CALL, &Limits::default()).unwrap();
        assert_eq!((head.allowance, head.metadata), (Allowance::USUAL, None));
        assert_eq!(head.trace.ids(), Some(ids));
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_takes_the_golden_answers() {
    let (caller, _) = caller().await;
    for told in ["reply_value", "acknowledge"] {
        let bytes = golden::vector("runtime", told);
        caller.told(Chunk::of(bytes.into())).unwrap_or_else(|error| panic!("{told}: {error}"));
    }
    assert!(!caller.is_busy(), "everything has its answer");
}

#[test]
fn the_golden_replies_and_failures_are_read() {
    for (name, expected) in [
        ("reply_value", Ok(RawReply { status: 0, body: Bytes::from_static(b"\x07") })),
        ("reply_service_error", Ok(RawReply { status: 1, body: Bytes::from_static(b"\xa2no") })),
        ("reply_spent", Ok(RawReply { status: 0, body: Bytes::from_static(b"\x07") })),
        ("reply_failure", Err(Failure::not_executed(Reason::Overloaded, "full"))),
    ] {
        let mut reply = payload(name, kind::REPLY);
        let (call, status, age) = (reply.get_u8(), reply.get_u8(), reply.get_u8());
        assert_eq!((call, age), (0, 9), "{name}");
        let mut rest = &reply[..];
        let (status, spent) = take_spent(status, &mut rest).unwrap();
        assert_eq!(spent, u32::from(name == "reply_spent"));
        let reply = reply.slice(reply.len() - rest.len()..);
        assert_eq!(RawReply::read(status, reply), Ok(expected), "{name}");
    }
    let mut failures = Bytes::from(golden::vector("runtime", "failures"));
    for reason in REASONS {
        for outcome in [Outcome::NotExecuted, Outcome::NotExecuted, Outcome::Unknown] {
            let failure = failure_code::from_wire(WireFailure::decode(failures.split_to(4)).unwrap());
            assert_eq!((failure.outcome(), failure.reason()), (outcome, reason));
        }
    }
}
