//! A whole channel from the service's side: a caller's bytes go to a real service on a real node, and what it says to them
//! is checked against what was asked.

use std::{cell::OnceCell, collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use qmesh_transport::{Address, Authority, ChannelWriter, Identity, MemoryEndpoint, MemoryNetwork, Session};
use tokio::{
    runtime::Runtime,
    time::{sleep, timeout},
};

use super::{Peer, Sink, Value, all_frames, run, runtime};
use crate::{
    call_tree::Allowance,
    channel::{
        open::AgreedMethod,
        serve::{Agreed, ServedChannel},
    },
    codec::Codec,
    config::{Config, Limits},
    node::{Dial, Link, Node},
    service::{Caller, Endpoint},
    stream::Receiver,
    wire::frame::{self, FrameError, kind},
};

/// A method of every shape, none of which takes long.
#[crate::service(name = "fuzz.Shapes")]
trait Shapes {
    async fn echo(&self, value: Value) -> Result<Value, String>;
    async fn add(&mut self, amount: u64) -> u64;
    /// After 0 to 9 ms.
    async fn pause(&self, millis: u64) -> u64;
    #[oneway]
    async fn note(&mut self, amount: u64);
    async fn sum(&self, numbers: Receiver<u64>) -> u64;
    /// Up to nine numbers.
    async fn count(&self, to: u64) -> Receiver<u64>;
    async fn both(&self, values: Receiver<Value>) -> Receiver<Value>;
    /// Not for this caller.
    async fn secret(&self) -> u64;
}

#[derive(Default)]
struct Shaped(u64);

impl Shapes for Shaped {
    async fn echo(&self, value: Value) -> Result<Value, String> {
        if value.numbers.is_empty() { Err(value.text) } else { Ok(value) }
    }

    async fn add(&mut self, amount: u64) -> u64 {
        self.0 = self.0.wrapping_add(amount);
        self.0
    }

    async fn pause(&self, millis: u64) -> u64 {
        sleep(Duration::from_millis(millis % 10)).await;
        millis
    }

    async fn note(&mut self, amount: u64) {
        self.0 = self.0.wrapping_add(amount);
    }

    async fn sum(&self, mut numbers: Receiver<u64>) -> u64 {
        let mut sum = 0_u64;
        while let Ok(Some(number)) = numbers.recv().await {
            sum = sum.wrapping_add(number);
        }
        sum
    }

    async fn count(&self, to: u64) -> Receiver<u64> {
        Receiver::of(0..to % 10)
    }

    async fn both(&self, values: Receiver<Value>) -> Receiver<Value> {
        values
    }

    async fn secret(&self) -> u64 {
        unreachable!("a caller came here that may not")
    }
}

/// A node, and a session by which its caller came.
struct Scene {
    runtime: Runtime,
    endpoint: Arc<dyn Endpoint>,
    link: Arc<Link>,
    limits: Limits,
    _node: Node,
    /// Both ends of the session live as long as this.
    _network: ([MemoryEndpoint; 2], Arc<dyn Session>),
}

thread_local! {
    /// Made once: a node costs more than an input.
    static SCENE: OnceCell<&'static Scene> = const { OnceCell::new() };
}

/// A caller's bytes on a channel that is agreed on.
pub fn runtime_served(bytes: &[u8]) {
    let scene = SCENE.with(|scene| *scene.get_or_init(|| Box::leak(Box::new(Scene::new()))));
    let (ended, said) = scene.serve(bytes);
    let (asked, broken) = run(all_frames(bytes, bytes.len()));
    let (said, cut) = run(all_frames(&said, said.len()));
    assert_eq!(cut, None, "what it says are frames");
    match asked.first() {
        // What comes for a stream that nobody receives any more is not looked at.
        Some((kind::STREAM, _)) => check_stream(&said),
        _ => {
            assert!(broken.is_none() || ended.is_err(), "{broken:?} was not noticed");
            check_calls(&asked, &said, ended.is_ok());
        }
    }
}

/// Every call has one answer, unless the caller broke the protocol, and every send is acknowledged once at most.
fn check_calls(asked: &[(u8, Bytes)], said: &[(u8, Bytes)], whole: bool) {
    let mut calls = BTreeMap::<u64, u64>::new();
    let mut sends = 0;
    for (kind, payload) in asked {
        match *kind {
            // Without a number it ends the channel.
            kind::CALL => drop(number(payload).map(|call| *calls.entry(call).or_default() += 1)),
            kind::ONE_WAY => sends += 1,
            _ => {}
        }
    }
    let mut acknowledged = 0;
    for (kind, payload) in said {
        match *kind {
            kind::REPLY => {
                let open = number(payload).ok().and_then(|call| calls.get_mut(&call));
                let open = open.filter(|open| **open > 0).expect("an answer to a call that nobody made");
                *open -= 1;
            }
            kind::ACKNOWLEDGE => {
                let mut rest = &payload[..];
                let sum = [(); 3].map(|()| frame::take_varint(&mut rest, *kind).expect("three numbers"));
                let sum = sum.iter().sum();
                assert!((acknowledged..=sends).contains(&sum), "{sum} of {sends} after {acknowledged}");
                acknowledged = sum;
            }
            other => panic!("a frame of kind {other:#04x} from a service"),
        }
    }
    let open: u64 = calls.values().sum();
    assert!(!whole || open == 0, "{open} calls have no answer");
}

/// One answer, then items, then the end of them, and nothing behind it.
fn check_stream(said: &[(u8, Bytes)]) {
    let mut kinds = said.iter().map(|(kind, _)| *kind);
    assert!(matches!(kinds.next(), Some(kind::REPLY) | None), "{said:?}");
    let rest: Vec<_> = kinds.skip_while(|kind| *kind == kind::ITEM).collect();
    assert!(matches!(rest[..], [] | [kind::END | kind::CUT]), "{said:?}");
}

fn number(payload: &Bytes) -> Result<u64, FrameError> {
    frame::take_varint(&mut &payload[..], kind::CALL)
}

// === impl Scene ===

impl Scene {
    fn new() -> Self {
        let runtime = runtime();
        let authority = Authority::ephemeral("fuzz").expect("an authority needs nothing");
        let identity = Identity::issued_by(&authority);
        let network = MemoryNetwork::new(7);
        let config = Config::local();
        let limits = Limits { calls_per_channel: 16, one_way_window: 16, ..config.limits.clone() };
        let (node, link, network) = runtime.block_on(async {
            let server = ShapesServer::new(Shaped::default);
            let builder = Node::builder("fuzzed").identity(identity.clone()).memory(&network);
            let node = builder.config(config).serve(server).start().await.expect("a node in memory starts");
            let endpoints = ["here", "there"].map(|name| {
                let credentials = identity.credentials(name).expect("the authority issues them");
                network.bind(name, credentials).expect("the name is free")
            });
            let (dialer, listener) = (endpoints[0].dialer(), endpoints[1].listener());
            let there = Address::memory("there");
            let knocked = async { listener.accept().await.expect("it listens").handshake().await };
            let (dialled, knocked) = tokio::join!(dialer.dial(&there, None), knocked);
            let far = dialled.expect("both belong to the mesh");
            let session = knocked.expect("both belong to the mesh");
            (node, Arc::new(Link::new(session, 1, Dial::Theirs(0), false)), (endpoints, far))
        });
        let endpoint = node.inner().service("fuzz.Shapes").expect("it is served");
        Self { runtime, endpoint, link, limits, _node: node, _network: network }
    }

    /// How the channel ended, and what was said on it.
    fn serve(&self, bytes: &[u8]) -> (Result<(), FrameError>, Bytes) {
        let methods = self.endpoint.methods().iter().enumerate();
        let agreed = methods
            .map(|(number, method)| Some(AgreedMethod { number, is_allowed: method.name != "secret" }));
        let sink = Sink::default();
        let said = sink.said.clone();
        let channel = ServedChannel {
            link: self.link.serves(),
            frames: Peer::frames(bytes, 100),
            writer: ChannelWriter::new(sink),
            caller: Caller::proven(self.link.session().peer().clone()),
            guest: None,
            agreed: Agreed {
                codec: Codec::MessagePack,
                methods: agreed.collect(),
                limits: self.limits.clone(),
                allowance: Allowance::USUAL,
            },
        };
        let serving = Arc::clone(&self.endpoint).serve(channel);
        let ended = self.runtime.block_on(async { timeout(Duration::from_secs(60), serving).await });
        let said = said.lock().split().freeze();
        (ended.expect("the channel ends when its caller's bytes are over"), said)
    }
}
