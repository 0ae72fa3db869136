//! Layers of tower in front of a service.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use futures_util::future::join_all;
use parking_lot::Mutex;
use qmesh::{Failure, Node, Outcome, Reason, Request, Response, Server, ServiceClient};
use qmesh_tests::{Mesh, millis, secs, spawn, watch};
use tokio::time::{Instant, sleep, timeout};
use tower::{
    ServiceBuilder,
    layer::{layer_fn, util::Identity},
    limit::{ConcurrencyLimitLayer, RateLimitLayer},
    load_shed::LoadShedLayer,
    timeout::TimeoutLayer,
    util::{MapRequestLayer, MapResultLayer},
};

use crate::layers::{Clerk, DeskClient, DeskContract, DeskServer, Stop};

fn server(clerk: &Clerk) -> Server<DeskContract, Clerk> {
    let clerk = clerk.clone();
    DeskServer::new(move || clerk.clone())
}

/// The node that serves, and one that calls.
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
async fn calls_of_every_shape_pass_the_layers_and_may_be_labelled() {
    let (mesh, clerk) = (Mesh::new(), Clerk::default());
    let (seen, answers) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let (saw, answered) = (Arc::clone(&seen), Arc::clone(&answers));
    let label = MapRequestLayer::new(move |mut request: Request| {
        let caller = request.caller().map(ToString::to_string).unwrap_or_default();
        saw.lock().push(format!("{caller} {}", request.method()));
        let label = format!("{}blue", request.metadata().get("label").unwrap_or_default());
        request.set_metadata("label", label);
        request
    });
    let look = MapResultLayer::new(move |answer: Result<Response, Failure>| {
        answered.lock().push(answer.as_ref().map(Response::is_service_error).map_err(Failure::outcome));
        answer
    });
    let nodes = nodes(&mesh, server(&clerk).layer(label).layer(look)).await;
    for node in &nodes {
        let desk = node.client::<DeskClient>();
        assert_eq!(desk.label().metadata("label", "dark ").await.unwrap(), "dark blue");
        assert_eq!(desk.fail().await.unwrap_err().to_string(), "as asked");
        let (sender, items) = qmesh::stream(2);
        sender.send(40).await.unwrap();
        sender.send(2).await.unwrap();
        sender.finish();
        assert_eq!(desk.take(items).await.unwrap(), 42);
        assert!(desk.list().await.unwrap().collect().await.unwrap().is_empty());
        desk.note(1).await.unwrap();
        desk.note(2).try_send().unwrap();
        desk.pinned().note(3).await.unwrap();
        // The last one-way send has been seen once a call behind it on the same channel has.
        let label = node.call_json("tests.Desk", "label", &serde_json::json!({}), secs(1)).await.unwrap();
        assert_eq!(label, "blue");
        desk.pinned().label().await.unwrap();
        let methods = ["label", "fail", "take", "list", "note", "note", "note", "label", "label"];
        let caller = format!("node/{}", node.name());
        assert_eq!(*std::mem::take(&mut *seen.lock()), methods.map(|method| format!("{caller} {method}")));
        let fine = Ok(false);
        let wanted = [fine, Ok(true), fine, fine, fine, fine, fine, fine, fine];
        assert_eq!(*std::mem::take(&mut *answers.lock()), wanted);
    }
    assert_eq!(*clerk.notes.lock(), [1, 2, 3, 1, 2, 3]);
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_forwarded_is_not_executed_and_gives_its_place_back() {
    let broken = Failure::new(Outcome::Unknown, Reason::Unavailable, "a fault for a test");
    for (error, reason) in [(Some(broken), Reason::Unavailable), (None, Reason::DeadlineExceeded)] {
        let (mesh, clerk) = (Mesh::new(), Clerk::default());
        let stop = layer_fn(move |next| Stop::new(next, error.clone()));
        // Fewer places than calls that are stopped.
        let nodes = nodes(&mesh, server(&clerk).layer(stop).queue(2)).await;
        for node in &nodes {
            let desk = node.client::<DeskClient>();
            for _ in 0..3 {
                let short = millis(50);
                let (_sender, items) = qmesh::stream(1);
                let failures = [
                    desk.wait(0).timeout(short).retries(0).await.map(drop).unwrap_err(),
                    desk.list().timeout(short).await.map(drop).unwrap_err(),
                ];
                for failure in failures {
                    let late = [(Outcome::Unknown, Reason::DeadlineExceeded)];
                    let stopped = (Outcome::NotExecuted, reason);
                    // Over the wire, a deadline is the caller's first, who cannot know.
                    let is_right = facts(&failure) == stopped
                        || (reason == Reason::DeadlineExceeded && late.contains(&facts(&failure)));
                    assert!(is_right, "{failure}");
                }
                if reason == Reason::Unavailable {
                    let failure = desk.take(items).await.unwrap_err();
                    assert_eq!(facts(&failure), (Outcome::NotExecuted, reason), "{failure}");
                    // From another node, it was sent; what became of it is counted there.
                    assert_eq!(desk.note(1).await.is_ok(), node.name() == "guest");
                }
            }
            assert_eq!(desk.label().await.unwrap(), "");
        }
        assert_eq!((clerk.notes.lock().len(), clerk.waited.load(Relaxed)), (0, 0));
        let [host, guest] = nodes;
        guest.shutdown().await;
        let sends = guest.counts().one_way;
        assert_eq!(
            (sends.accepted, sends.refused),
            if reason == Reason::Unavailable { (3, 3) } else { (0, 0) }
        );
        host.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn order_is_kept() {
    const SENDS: u64 = 10_000;
    for sender in [0, 1] {
        let (mesh, clerk) = (Mesh::new(), Clerk::default());
        let nodes = nodes(&mesh, server(&clerk).layer(Identity::new()).queue(100)).await;
        let desk = nodes[sender].client::<DeskClient>().pinned();
        for number in 0..SENDS {
            desk.note(number).await.unwrap();
        }
        desk.label().await.unwrap();
        assert!(clerk.notes.lock().iter().copied().eq(0..SENDS));
        Mesh::end(nodes).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_shared_by_all_callers() {
    let (mesh, clerk) = (Mesh::new(), Clerk::default());
    let nodes = nodes(&mesh, server(&clerk).layer(ConcurrencyLimitLayer::new(1))).await;
    let start = Instant::now();
    let calls = nodes.iter().flat_map(|node| {
        let desk = node.client::<DeskClient>();
        (0..2).map(move |_| {
            let desk = desk.clone();
            spawn(async move { desk.wait(100).await })
        })
    });
    for call in join_all(calls).await {
        call.unwrap().unwrap();
    }
    assert!((millis(400)..millis(450)).contains(&start.elapsed()), "{:?}", start.elapsed());
    // Who gives up while it is held is not executed; who gives up while it runs leaves its place.
    for node in &nodes {
        let desk = node.client::<DeskClient>();
        let runs = spawn({
            let desk = desk.clone();
            async move { desk.wait(10_000).await }
        });
        sleep(millis(10)).await;
        assert!(timeout(millis(10), desk.wait(10_000)).await.is_err());
        runs.abort();
        sleep(millis(10)).await;
        desk.wait(0).timeout(millis(100)).await.unwrap();
    }
    assert_eq!(clerk.waited.load(Relaxed), 6);
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn stock_layers_shed_pace_and_time_out() {
    let (mesh, clerk) = (Mesh::new(), Clerk::default());
    let shed = ServiceBuilder::new().layer(LoadShedLayer::new()).layer(ConcurrencyLimitLayer::new(1));
    let shedding = nodes(&mesh, server(&clerk).layer(shed.into_inner())).await;
    for node in &shedding {
        let desk = node.client::<DeskClient>();
        let (first, second) = tokio::join!(desk.wait(100).retries(0), desk.wait(100).retries(0));
        first.unwrap();
        assert_eq!(facts(&second.unwrap_err()), (Outcome::NotExecuted, Reason::Overloaded));
    }
    Mesh::end(shedding).await;

    let (mesh, clerk) = (Mesh::new(), Clerk::default());
    let timing = nodes(&mesh, server(&clerk).layer(TimeoutLayer::new(millis(50)))).await;
    for node in &timing {
        let failure = node.client::<DeskClient>().wait(100).await.unwrap_err();
        assert_eq!(facts(&failure), (Outcome::Unknown, Reason::DeadlineExceeded), "{failure}");
    }
    sleep(secs(1)).await;
    assert_eq!(clerk.waited.load(Relaxed), 0, "what timed out was cancelled");
    Mesh::end(timing).await;

    let (mesh, clerk) = (Mesh::new(), Clerk::default());
    let pacing = nodes(&mesh, server(&clerk).layer(RateLimitLayer::new(2, secs(1)))).await;
    let start = Instant::now();
    for number in 0..6 {
        pacing[1].client::<DeskClient>().note(number).await.unwrap();
    }
    pacing[1].client::<DeskClient>().label().await.unwrap();
    assert!((millis(2999)..millis(3100)).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert_eq!(*clerk.notes.lock(), [0, 1, 2, 3, 4, 5]);
    Mesh::end(pacing).await;
}

#[tokio::test(start_paused = true)]
async fn the_first_layer_is_the_outermost_and_all_outlive_a_restart() {
    let (mesh, clerk) = (Mesh::new(), Clerk::default());
    let passed = Arc::new(AtomicU64::new(0));
    let label = |label: &'static str| {
        let passed = Arc::clone(&passed);
        MapRequestLayer::new(move |mut request: Request| {
            passed.fetch_add(1, Relaxed);
            let label = format!("{}{label}", request.metadata().get("label").unwrap_or_default());
            request.set_metadata("label", label);
            request
        })
    };
    let nodes = nodes(&mesh, server(&clerk).layer(label("a")).layer(Identity::new()).layer(label("b"))).await;
    let desk = nodes[1].client::<DeskClient>();
    assert_eq!(desk.label().await.unwrap(), "ab");
    qmesh_tests::expect_panics();
    assert_eq!(desk.panic().await.unwrap_err().reason(), Reason::Panicked);
    assert_eq!(desk.label().await.unwrap(), "ab");
    assert_eq!(passed.load(Relaxed), 6);
    Mesh::end(nodes).await;
}
