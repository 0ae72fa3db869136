//! Layers of tower in front of a client's calls.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context as TaskContext, Poll},
};

use futures_util::future::join_all;
use parking_lot::Mutex;
use qmesh::{Context, Failure, Next, Node, Outcome, Reason, Receiver, Request, Response, ServiceClient};
use qmesh_tests::{EXPECTED, Mesh, millis, secs, spawn, watch};
use tokio::time::{Instant, sleep};
use tower::{
    Service, ServiceBuilder,
    layer::{layer_fn, util::Identity},
    limit::{ConcurrencyLimitLayer, RateLimitLayer},
    load_shed::LoadShedLayer,
    timeout::TimeoutLayer,
    util::{MapRequestLayer, MapResultLayer},
};

#[qmesh::service(name = "tests.Desk")]
pub(crate) trait Desk {
    async fn label(&self, cx: &Context) -> String;
    async fn fail(&self) -> Result<(), String>;
    async fn take(&self, items: Receiver<u64>) -> u64;
    async fn list(&self) -> Receiver<u64>;
    /// Answers after so many milliseconds.
    async fn wait(&self, millis: u64) -> u64;
    async fn panic(&self);
    #[oneway]
    async fn note(&self, number: u64);
}

#[derive(Clone, Default)]
pub(crate) struct Clerk {
    pub(crate) notes: Arc<Mutex<Vec<u64>>>,
    /// Handlers of `wait` that ran to their end.
    pub(crate) waited: Arc<AtomicU64>,
}

impl Desk for Clerk {
    async fn label(&self, cx: &Context) -> String {
        cx.metadata().get("label").unwrap_or_default().to_owned()
    }

    async fn fail(&self) -> Result<(), String> {
        Err("as asked".to_owned())
    }

    async fn take(&self, items: Receiver<u64>) -> u64 {
        items.collect().await.unwrap().iter().sum()
    }

    async fn list(&self) -> Receiver<u64> {
        let (sender, receiver) = qmesh::stream(1);
        sender.finish();
        receiver
    }

    async fn wait(&self, millis: u64) -> u64 {
        sleep(qmesh_tests::millis(millis)).await;
        self.waited.fetch_add(1, Relaxed);
        millis
    }

    async fn panic(&self) {
        panic!("{EXPECTED}");
    }

    async fn note(&self, number: u64) {
        self.notes.lock().push(number);
    }
}

async fn nodes(mesh: &Mesh, clerk: &Clerk) -> [Node; 2] {
    let clerk = clerk.clone();
    let host = mesh.node("node-0").serve(DeskServer::new(move || clerk.clone())).start().await.unwrap();
    let guest = mesh.node("guest").start().await.unwrap();
    watch::endpoints(&guest, "tests.Desk", 1).await;
    let nodes = [host, guest];
    for node in &nodes {
        node.client::<DeskClient>().label().await.unwrap();
    }
    nodes
}

#[tokio::test(start_paused = true)]
async fn calls_of_every_shape_pass_the_layers_and_may_be_labelled() {
    let (mesh, clerk) = (Mesh::new(), Clerk::default());
    let nodes = nodes(&mesh, &clerk).await;
    for node in &nodes {
        let (seen, answers) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let (saw, answered) = (Arc::clone(&seen), Arc::clone(&answers));
        let label = MapRequestLayer::new(move |mut request: Request| {
            saw.lock().push(format!("{}/{}", request.service(), request.method()));
            request.set_metadata("label", "blue");
            request
        });
        let look = MapResultLayer::new(move |answer: Result<Response, Failure>| {
            answered.lock().push(answer.as_ref().map(Response::is_service_error).map_err(Failure::outcome));
            answer
        });
        let desk = node.client::<DeskClient>().layer(label).layer(look);
        assert_eq!(desk.label().metadata("label", "red").await.unwrap(), "blue");
        assert_eq!(desk.fail().await.unwrap_err().to_string(), "as asked");
        let (sender, items) = qmesh::stream(2);
        sender.send(40).await.unwrap();
        sender.send(2).await.unwrap();
        sender.finish();
        assert_eq!(desk.take(items).await.unwrap(), 42);
        assert!(desk.list().await.unwrap().collect().await.unwrap().is_empty());
        desk.note(1).await.unwrap();
        desk.note(2).try_send().unwrap();
        let failure = desk.wait(1000).timeout(millis(100)).await.unwrap_err();
        assert_eq!((failure.method(), failure.outcome()), ("wait", Outcome::Unknown), "{failure}");
        desk.pinned().note(3).await.unwrap();
        desk.pinned().label().await.unwrap();
        let methods = ["label", "fail", "take", "list", "note", "note", "wait", "note", "label"];
        assert_eq!(*seen.lock(), methods.map(|method| format!("tests.Desk/{method}")));
        let fine = Ok(false);
        let wanted = [fine, Ok(true), fine, fine, fine, fine, Err(Outcome::Unknown), fine, fine];
        assert_eq!(*answers.lock(), wanted);
        assert_eq!(node.client::<DeskClient>().label().await.unwrap(), "", "others have no layer");
    }
    assert_eq!(*clerk.notes.lock(), [1, 2, 3, 1, 2, 3]);
    Mesh::end(nodes).await;
}

/// Lets its method through; drops the rest, or fails it.
#[derive(Clone)]
pub(crate) struct Stop {
    next: Arc<Mutex<Next>>,
    error: Option<Failure>,
}

impl Stop {
    pub(crate) fn new(next: Next, error: Option<Failure>) -> Self {
        Self { next: Arc::new(Mutex::new(next)), error }
    }
}

impl Service<Request> for Stop {
    type Response = Response;
    type Error = Failure;
    type Future = futures_util::future::BoxFuture<'static, Result<Response, Failure>>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), Failure>> {
        self.next.lock().poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if request.method() == "label" {
            return self.next.lock().call(request);
        }
        let error = self.error.clone();
        Box::pin(async move {
            match error {
                Some(error) => Err(error),
                // Holds it for ever.
                None => std::future::pending().await,
            }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_forwarded_is_not_sent() {
    let (mesh, clerk) = (Mesh::new(), Clerk::default());
    let nodes = nodes(&mesh, &clerk).await;
    let broken = Failure::new(Outcome::Unknown, Reason::Unavailable, "a fault for a test");
    for (error, reason) in [(Some(broken), Reason::Unavailable), (None, Reason::DeadlineExceeded)] {
        for node in &nodes {
            let error = error.clone();
            let stop = layer_fn(move |next| Stop::new(next, error.clone()));
            let desk = node.client::<DeskClient>().layer(stop);
            let (_sender, items) = qmesh::stream(1);
            let failures = [
                desk.wait(0).timeout(secs(1)).await.map(drop).unwrap_err(),
                desk.take(items).timeout(secs(1)).await.map(drop).unwrap_err(),
                desk.list().timeout(secs(1)).await.map(drop).unwrap_err(),
                desk.note(1).timeout(secs(1)).await.unwrap_err(),
            ];
            for failure in failures {
                assert_eq!((failure.outcome(), failure.reason()), (Outcome::NotSent, reason), "{failure}");
            }
            assert_eq!(desk.note(1).try_send().unwrap_err().outcome(), Outcome::NotSent);
            desk.label().await.unwrap();
        }
    }
    assert_eq!((clerk.notes.lock().len(), clerk.waited.load(Relaxed)), (0, 0));
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_paces_all_clones_of_a_client() {
    let (mesh, clerk) = (Mesh::new(), Clerk::default());
    let nodes = nodes(&mesh, &clerk).await;
    for node in &nodes {
        let desk = node.client::<DeskClient>().layer(RateLimitLayer::new(2, secs(1)));
        let start = Instant::now();
        let calls = (0..6).map(|number| {
            let desk = desk.clone();
            spawn(async move { desk.note(number).await })
        });
        for call in join_all(calls).await {
            call.unwrap().unwrap();
        }
        assert!((millis(1999)..millis(2100)).contains(&start.elapsed()), "{:?}", start.elapsed());
        // Who cannot wait so long is not sent, and takes nobody's place.
        let failure = desk.note(6).timeout(millis(100)).await;
        assert_eq!(failure.unwrap_err().outcome(), Outcome::NotSent);
        assert_eq!(desk.note(7).try_send().unwrap_err().reason(), Reason::Overloaded);
        sleep(secs(1)).await;
        desk.note(8).try_send().unwrap();
        desk.label().await.unwrap();
        assert_eq!(*std::mem::take(&mut *clerk.notes.lock()), [0, 1, 2, 3, 4, 5, 8]);
    }
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn stock_layers_limit_shed_and_time_out() {
    let (mesh, clerk) = (Mesh::new(), Clerk::default());
    let nodes = nodes(&mesh, &clerk).await;
    for node in &nodes {
        let plain = node.client::<DeskClient>();
        // One at a time, the others wait.
        let one = plain.layer(ConcurrencyLimitLayer::new(1));
        let start = Instant::now();
        let (first, second) = tokio::join!(one.wait(100), one.wait(100));
        first.and(second).unwrap();
        assert!(start.elapsed() >= millis(200), "{:?}", start.elapsed());
        // Who gives up leaves its place.
        let given_up = tokio::time::timeout(millis(10), one.wait(10_000)).await;
        assert!(given_up.is_err());
        one.wait(0).await.unwrap();

        let shed = ServiceBuilder::new().layer(LoadShedLayer::new()).layer(ConcurrencyLimitLayer::new(1));
        let shed = plain.layer(shed.into_inner());
        let (first, second) = tokio::join!(shed.wait(100), shed.wait(100));
        first.unwrap();
        let failure = second.unwrap_err();
        assert_eq!(
            (failure.outcome(), failure.reason()),
            (Outcome::NotSent, Reason::Overloaded),
            "{failure}"
        );

        let waited = clerk.waited.load(Relaxed);
        let failure = plain.layer(TimeoutLayer::new(millis(50))).wait(100).await.unwrap_err();
        assert_eq!(
            (failure.outcome(), failure.reason()),
            (Outcome::Unknown, Reason::DeadlineExceeded),
            "{failure}"
        );
        sleep(secs(1)).await;
        assert_eq!(clerk.waited.load(Relaxed), waited, "what timed out was cancelled");
    }
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn the_first_layer_is_the_outermost() {
    let (mesh, clerk) = (Mesh::new(), Clerk::default());
    let nodes = nodes(&mesh, &clerk).await;
    let label = |label: &'static str| {
        MapRequestLayer::new(move |mut request: Request| {
            let label = format!("{}{label}", request.metadata().get("label").unwrap_or_default());
            request.set_metadata("label", label);
            request
        })
    };
    let desk = nodes[1].client::<DeskClient>().layer(label("a")).layer(Identity::new()).layer(label("b"));
    assert_eq!(desk.label().await.unwrap(), "ab");
    Mesh::end(nodes).await;
}
