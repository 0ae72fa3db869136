//! Texts that travel with a call.

use qmesh::{Context, Failure, Outcome, Reason, Receiver};
use qmesh_tests::{Mesh, secs, watch};

#[qmesh::service(name = "tests.Labels")]
pub(crate) trait Labels {
    /// All labels of the call, sorted.
    async fn labels(&self, cx: &Context) -> Vec<(String, String)>;
    /// The labels of a call that the handler makes.
    async fn labels_below(&self, cx: &Context) -> Result<Vec<(String, String)>, Failure>;
    /// The labels, one by one.
    async fn stream(&self, cx: &Context) -> Receiver<String>;
    /// Remembers the labels.
    #[oneway]
    async fn note(&mut self, cx: &Context);
    async fn noted(&self) -> Vec<(String, String)>;
}

#[derive(Default)]
struct Desk(Vec<(String, String)>);

fn all(cx: &Context) -> Vec<(String, String)> {
    cx.metadata().iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

impl Labels for Desk {
    async fn labels(&self, cx: &Context) -> Vec<(String, String)> {
        all(cx)
    }

    async fn labels_below(&self, cx: &Context) -> Result<Vec<(String, String)>, Failure> {
        cx.client::<LabelsClient>().labels().await
    }

    async fn stream(&self, cx: &Context) -> Receiver<String> {
        let (sender, receiver) = qmesh::stream(4);
        let labels = all(cx);
        cx.spawn(async move {
            for (key, value) in labels {
                sender.send(format!("{key}={value}")).await.unwrap();
            }
            sender.finish();
        });
        receiver
    }

    async fn note(&mut self, cx: &Context) {
        self.0 = all(cx);
    }

    async fn noted(&self) -> Vec<(String, String)> {
        self.0.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn metadata_reaches_the_handler_of_every_shape_here_and_elsewhere() {
    let mesh = Mesh::new();
    let desk = mesh.node("node-0").serve(LabelsServer::new(Desk::default)).start().await.unwrap();
    let guest = mesh.node("guest").start().await.unwrap();
    let nodes = [desk, guest];
    watch::agree(&nodes, secs(10)).await;
    let blue = vec![("tenant".to_owned(), "Blue".to_owned())];
    for node in &nodes {
        let client = node.client::<LabelsClient>();
        assert_eq!(client.labels().await.unwrap(), []);
        assert_eq!(client.labels().metadata("tenant", "Red").metadata("tenant", "Blue").await.unwrap(), blue);
        assert_eq!(client.labels_below().metadata("tenant", "Blue").await.unwrap(), [], "not inherited");
        let items = client.stream().metadata("tenant", "Blue").await.unwrap().collect().await.unwrap();
        assert_eq!(items, ["tenant=Blue"]);
        client.note().metadata("tenant", "Blue").await.unwrap();
        assert_eq!(client.noted().await.unwrap(), blue);
        client.note().await.unwrap();
    }
    Mesh::end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn metadata_that_cannot_travel_is_not_sent() {
    let mesh = Mesh::new();
    let desk = mesh.node("node-0").serve(LabelsServer::new(Desk::default)).start().await.unwrap();
    let guest = mesh.node("guest").start().await.unwrap();
    let nodes = [desk, guest];
    watch::agree(&nodes, secs(10)).await;
    let client = nodes[1].client::<LabelsClient>();
    client.labels().metadata("k", "x".repeat(8191)).await.unwrap();
    let large = "x".repeat(8192);
    let refused = [
        client.labels().metadata("k", &large).await.map(drop).unwrap_err(),
        client.note().metadata("k", &large).await.unwrap_err(),
        client.stream().metadata("k", &large).await.map(drop).unwrap_err(),
        nodes[0].client::<LabelsClient>().labels().metadata("k", &large).await.map(drop).unwrap_err(),
    ];
    for failure in refused {
        assert_eq!((failure.outcome(), failure.reason()), (Outcome::NotSent, Reason::TooLarge), "{failure}");
        assert!(failure.detail().contains("8193"), "{failure}");
    }
    let failure = client.labels().metadata("Tenant", "blue").await.unwrap_err();
    assert_eq!((failure.outcome(), failure.reason()), (Outcome::NotSent, Reason::BadArguments), "{failure}");
    assert_eq!(client.labels().await.unwrap(), [], "the channel lives");
    Mesh::end(nodes).await;
}
