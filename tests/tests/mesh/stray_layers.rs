//! Layers that hold a call, hand it to another task, take long with its answer, or panic: what is said of it stays true.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use qmesh::{Failure, Next, Node, Outcome, Reason, Request, Response, Server, ServiceClient};
use qmesh_tests::{
    EXPECTED, Mesh, expect_panics, millis, secs, spawn,
    stranger::{self, Stranger, frame, kind, opening, read_frame},
    watch,
};
use tokio::time::{Instant, sleep, timeout};
use tower::{
    Service,
    layer::{layer_fn, util::Identity},
};

use crate::layers::{Clerk, DeskClient, DeskContract, DeskServer};

type Answering = BoxFuture<'static, Result<Response, Failure>>;
type Below = Arc<Mutex<Next>>;
type Way = Arc<dyn Fn(Below, Request) -> Answering + Send + Sync>;

/// A layer that is a function.
#[derive(Clone)]
struct Stray(Below, Way);

impl Service<Request> for Stray {
    type Response = Response;
    type Error = Failure;
    type Future = Answering;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Failure>> {
        self.0.lock().poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Answering {
        (self.1)(Arc::clone(&self.0), request)
    }
}

fn stray(
    way: impl Fn(Below, Request) -> Answering + Send + Sync + 'static,
) -> impl tower::Layer<Next, Service = Stray> + Send + Sync {
    let way: Way = Arc::new(way);
    layer_fn(move |next| Stray(Arc::new(Mutex::new(next)), Arc::clone(&way)))
}

/// Takes so many milliseconds with each answer.
fn slow(with_answers: u64) -> impl tower::Layer<Next, Service = Stray> + Send + Sync {
    stray(move |next, request| {
        let answering = next.lock().call(request);
        async move {
            let answer = answering.await;
            sleep(millis(with_answers)).await;
            answer
        }
        .boxed()
    })
}

fn server(clerk: &Clerk) -> Server<DeskContract, Clerk> {
    let clerk = clerk.clone();
    DeskServer::new(move || clerk.clone())
}

async fn nodes(mesh: &Mesh, server: Server<DeskContract, Clerk>) -> [Node; 2] {
    let host = mesh.node("node-0").serve(server).start().await.unwrap();
    let guest = mesh.node("guest").start().await.unwrap();
    watch::endpoints(&guest, "tests.Desk", 1).await;
    [host, guest]
}

fn facts(failure: &Failure) -> (Outcome, Reason) {
    (failure.outcome(), failure.reason())
}

#[tokio::test(start_paused = true)]
async fn a_broken_stream_gives_its_place_back() {
    let (mesh, clerk) = (Mesh::new(), Clerk::default());
    let [host, guest] = nodes(&mesh, server(&clerk).layer(Identity::new()).queue(4)).await;
    let stranger = Stranger::in_memory(&mesh.network, &mesh.identity, "node-0").unwrap();
    let (session, _control) = stranger.introduce("tests").await.unwrap();
    for _ in 0..4 {
        let request = opening("tests.Desk", "msgpack", &[("list", "list() -> Receiver<u64>")]);
        let mut channel = stranger::open(&*session, frame(kind::OPEN, &request)).await.unwrap();
        assert_eq!(read_frame(&mut channel).await.unwrap().unwrap().0, kind::OPENED);
        let bytes: Bytes = [frame(kind::STREAM, &[0, 0, 0x90]), frame(0xff, b"x")].concat().into();
        channel.writer.write_all(bytes).await.unwrap();
        drop(timeout(secs(1), channel.writer.stopped()).await.unwrap());
    }
    for node in [&host, &guest] {
        node.client::<DeskClient>().label().retries(0).await.unwrap();
    }
    Mesh::end([host, guest]).await;
}

#[tokio::test(start_paused = true)]
async fn a_send_that_never_waits_is_sent_once_it_is_forwarded() {
    for at_the_client in [false, true] {
        let (mesh, clerk) = (Mesh::new(), Clerk::default());
        let server = if at_the_client { server(&clerk) } else { server(&clerk).layer(slow(1)) };
        let nodes = nodes(&mesh, server).await;
        let plain = nodes[0].client::<DeskClient>();
        let desk = if at_the_client { plain.layer(slow(1)) } else { plain };
        desk.note(1).try_send().unwrap();
        // However long they take with what is no answer.
        desk.note(2).timeout(millis(0)).await.unwrap();
        sleep(secs(1)).await;
        assert_eq!(*clerk.notes.lock(), [1, 2]);
        Mesh::end(nodes).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_send_that_is_held_waits_no_longer_than_it_may() {
    let (mesh, clerk) = (Mesh::new(), Clerk::default());
    let never = stray(|_next, request| {
        async move {
            let _held = request;
            std::future::pending().await
        }
        .boxed()
    });
    let nodes = nodes(&mesh, server(&clerk).layer(never)).await;
    for desk in [nodes[0].client::<DeskClient>(), nodes[0].client::<DeskClient>().pinned()] {
        let start = Instant::now();
        let failure = desk.note(1).timeout(millis(100)).await.unwrap_err();
        assert_eq!(facts(&failure), (Outcome::NotSent, Reason::DeadlineExceeded), "{failure}");
        assert_eq!(start.elapsed(), millis(100));
        assert_eq!(desk.note(1).try_send().unwrap_err().outcome(), Outcome::NotSent);
    }
    assert!(clerk.notes.lock().is_empty());
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_is_not_forwarded_later() {
    let hands_over = || {
        stray(|next, request| {
            let task = spawn(async move {
                sleep(millis(20)).await;
                let answering = next.lock().call(request);
                answering.await
            });
            async move {
                match timeout(millis(10), task).await {
                    Ok(answer) => answer.unwrap(),
                    Err(_) => Err(Failure::new(Outcome::Unknown, Reason::DeadlineExceeded, "slow")),
                }
            }
            .boxed()
        })
    };
    for at_the_client in [false, true] {
        let (mesh, clerk) = (Mesh::new(), Clerk::default());
        let server = if at_the_client { server(&clerk) } else { server(&clerk).layer(hands_over()) };
        let nodes = nodes(&mesh, server).await;
        for node in &nodes {
            let plain = node.client::<DeskClient>();
            let desk = if at_the_client { plain.layer(hands_over()) } else { plain };
            let failure = desk.wait(0).retries(0).await.unwrap_err();
            let outcome = if at_the_client { Outcome::NotSent } else { Outcome::NotExecuted };
            assert_eq!(failure.outcome(), outcome, "{failure}");
        }
        sleep(secs(1)).await;
        assert_eq!(clerk.waited.load(Relaxed), 0, "it was not executed");
        Mesh::end(nodes).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_holds_in_the_layers_too() {
    for at_the_client in [false, true] {
        let (mesh, clerk) = (Mesh::new(), Clerk::default());
        let server = if at_the_client { server(&clerk) } else { server(&clerk).layer(slow(60_000)) };
        let nodes = nodes(&mesh, server).await;
        for node in &nodes {
            let plain = node.client::<DeskClient>();
            let desk = if at_the_client { plain.layer(slow(60_000)) } else { plain };
            let start = Instant::now();
            let failure = desk.label().timeout(millis(100)).await.unwrap_err();
            assert_eq!(facts(&failure), (Outcome::Unknown, Reason::DeadlineExceeded), "{failure}");
            assert!((millis(100)..=millis(150)).contains(&start.elapsed()), "{:?}", start.elapsed());
        }
        Mesh::end(nodes).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_panics_costs_its_call_alone() {
    expect_panics();
    for at_once in [false, true] {
        let (mesh, clerk) = (Mesh::new(), Clerk::default());
        let layer = stray(move |next, request| {
            let panics = request.method() == "fail";
            let answering = next.lock().call(request);
            async move {
                if panics {
                    if !at_once {
                        sleep(millis(1)).await;
                    }
                    panic!("{EXPECTED}");
                }
                answering.await
            }
            .boxed()
        });
        let nodes = nodes(&mesh, server(&clerk).layer(layer)).await;
        for node in &nodes {
            let desk = node.client::<DeskClient>();
            let other = spawn({
                let desk = desk.clone();
                async move { desk.wait(500).await }
            });
            sleep(millis(10)).await;
            let start = Instant::now();
            let failure = desk.fail().timeout(secs(5)).await.unwrap_err();
            let failure = failure.failure().expect("the call failed");
            assert_eq!(facts(failure), (Outcome::Unknown, Reason::Panicked), "{failure}");
            assert!(start.elapsed() < millis(100), "{:?}", start.elapsed());
            other.await.unwrap().unwrap();
        }
        Mesh::end(nodes).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_answers_in_the_layers() {
    let (mesh, clerk) = (Mesh::new(), Clerk::default());
    let [host, guest] = nodes(&mesh, server(&clerk).layer(slow(3000))).await;
    let desk = guest.client::<DeskClient>();
    let call = spawn(async move { desk.wait(10).await });
    sleep(millis(100)).await;
    host.shutdown().await;
    assert_eq!(call.await.unwrap().unwrap(), 10);
    Mesh::end([guest]).await;
}
