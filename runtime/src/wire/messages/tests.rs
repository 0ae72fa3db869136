//! Any message survives its bytes, with and without fields from the future.

use std::fmt::Debug;

use proptest::{
    collection::{btree_map, vec},
    prelude::*,
};

use super::*;

fn text() -> impl Strategy<Value = String> {
    ".{0,20}"
}

fn hello() -> impl Strategy<Value = Hello> {
    let texts = (text(), text(), text());
    let parts = (any::<u32>(), any::<[u64; 2]>(), texts, vec(text(), 0..4), vec(text(), 0..4));
    parts.prop_map(|(protocol, [incarnation, dial], (mesh, name, refused), codecs, features)| Hello {
        protocol,
        mesh,
        name,
        incarnation,
        codecs,
        features,
        refused,
        dial,
    })
}

fn control() -> impl Strategy<Value = Control> {
    use control::Kind;
    let bytes = || vec(any::<u8>(), 0..50).prop_map(bytes::Bytes::from);
    let kind = prop_oneof![
        any::<u64>().prop_map(Kind::Ping),
        any::<u64>().prop_map(Kind::Pong),
        any::<bool>().prop_map(Kind::GoAway),
        (any::<u64>(), bytes()).prop_map(|(id, query)| Kind::Request(Request { id, query })),
        (any::<u64>(), bytes()).prop_map(|(id, answer)| Kind::Response(Response { id, answer })),
    ];
    prop::option::of(kind).prop_map(|kind| Control { kind })
}

fn open() -> impl Strategy<Value = Open> {
    let method = (text(), text()).prop_map(|(name, signature)| OpenMethod { name, signature });
    let parts = (text(), text(), vec(method, 0..5), any::<u64>(), prop::option::of(guest()));
    parts.prop_map(|(service, codec, methods, patience_ms, guest)| Open {
        service,
        codec,
        methods,
        patience_ms,
        guest,
    })
}

fn guest() -> impl Strategy<Value = Guest> {
    (text(), vec(any::<u8>(), 0..20)).prop_map(|(name, id)| Guest { name, id })
}

fn opened() -> impl Strategy<Value = Opened> {
    let method = ([text(), text(), text(), text()], any::<[bool; 5]>()).prop_map(|(texts, flags)| {
        let [refused, name, signature, forbidden] = texts;
        let [unknown, one_way, idempotent, upload, download] = flags;
        OpenedMethod { refused, unknown, one_way, idempotent, upload, download, name, signature, forbidden }
    });
    let parts = (vec(method, 0..5), any::<[u64; 4]>());
    parts.prop_map(|(methods, [one_way_window, calls_max, message_bytes_max, metadata_bytes_max])| Opened {
        methods,
        one_way_window,
        calls_max,
        message_bytes_max,
        metadata_bytes_max,
    })
}

fn head() -> impl Strategy<Value = CallHead> {
    let metadata = btree_map(text(), text(), 0..5);
    let trace = prop::option::of(vec(any::<u8>(), 0..30));
    let baggage = vec([text(), text(), text()], 0..3).prop_map(|entries| {
        let entries = entries.into_iter();
        entries.map(|[key, value, properties]| BaggageEntry { key, value, properties }).collect()
    });
    let kept = prop::option::of(vec(any::<u8>(), 0..30));
    let parts = (any::<[Option<u32>; 2]>(), metadata, trace, text(), baggage, kept);
    parts.prop_map(|([hops, retries], metadata, trace, tracestate, baggage, kept)| CallHead {
        hops,
        retries,
        metadata,
        trace,
        tracestate,
        baggage,
        kept,
    })
}

fn failure() -> impl Strategy<Value = WireFailure> {
    let parts = (any::<u32>(), any::<u32>(), text());
    parts.prop_map(|(outcome, reason, detail)| WireFailure { outcome, reason, detail })
}

/// A message is read as it was written; unknown fields are skipped; a cut one is an error or another message.
fn survives<M: Message + Default + Clone + PartialEq + Debug>(message: &M) {
    let mut bytes = message.encode_to_vec();
    assert_eq!(M::decode(&bytes[..]).as_ref(), Ok(message));
    for cut in 0..bytes.len() {
        drop(M::decode(&bytes[..cut]));
    }
    // Field 1000: a text.
    bytes.extend([0xc2, 0x3e, 3, b'n', b'e', b'w']);
    assert_eq!(M::decode(&bytes[..]).as_ref(), Ok(message));
}

proptest! {
    #[test]
    fn messages_survive_their_bytes(
        hello in hello(),
        control in control(),
        open in open(),
        opened in opened(),
        failure in failure(),
        head in head(),
    ) {
        survives(&hello);
        survives(&control);
        survives(&open);
        survives(&opened);
        survives(&failure);
        survives(&head);
    }
}
