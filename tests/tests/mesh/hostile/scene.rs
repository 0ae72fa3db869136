//! A node that is attacked, with a healthy guest that calls it all the while.

use std::time::Duration;

use qmesh::{Config, Node};
use qmesh_tests::{
    Background, Mesh, millis, secs,
    stranger::Stranger,
    watch,
    work::{self, WorkClient},
};

use super::{
    streams::taps,
    unread::{attic, depot},
};

/// What is soon.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// How long a peer may take for its first frame.
    pub(crate) opening: Duration,
    /// What may be added to that.
    pub(crate) slack: Duration,
}

/// Virtual time knows no busy machine.
const VIRTUAL: Pace = Pace { opening: millis(500), slack: secs(2) };
/// A machine may stand still for seconds.
pub(crate) const REAL: Pace = Pace { opening: secs(2), slack: secs(15) };

/// Channels that a peer may have open, over QUIC.
pub(crate) const CHANNELS_MAX: u32 = 300;

/// One-way sends that may be unacknowledged.
pub(crate) const WINDOW: u64 = 16;

/// A node that is attacked, and a healthy guest that calls it all the while.
pub(crate) struct Scene {
    pub(crate) host: Node,
    guest: Node,
    pub(crate) healthy: Background,
    pub(crate) stranger: Stranger,
    pub(crate) pace: Pace,
}

impl Scene {
    pub(crate) async fn in_memory() -> Self {
        let mesh = Mesh::new();
        let host = mesh.node("node-0").config(config(VIRTUAL));
        let host =
            host.serve(work::server()).serve(taps()).serve(depot()).serve(attic()).start().await.unwrap();
        let guest = mesh.node("guest").start().await.unwrap();
        let stranger = Stranger::in_memory(&mesh.network, &mesh.identity, "node-0").unwrap();
        Self::of(host, guest, (stranger, VIRTUAL)).await
    }

    pub(crate) async fn over_quic() -> Self {
        let mesh = Mesh::new();
        let host = mesh
            .quic_node("node-0", None)
            .config(config(REAL))
            .serve(work::server())
            .serve(taps())
            .serve(depot())
            .serve(attic())
            .start()
            .await
            .unwrap();
        let guest = mesh.quic_node("guest", Some(&host)).start().await.unwrap();
        let stranger = Stranger::over_quic(&mesh.identity, host.addresses().remove(0)).unwrap();
        Self::of(host, guest, (stranger, REAL)).await
    }

    async fn of(host: Node, guest: Node, (stranger, pace): (Stranger, Pace)) -> Self {
        watch::endpoints(&guest, "tests.Work", 1).await;
        let client = guest.client::<WorkClient>();
        let healthy = Background::start(2, millis(2), move || {
            let client = client.clone();
            async move { client.whoami().await }
        });
        healthy.answers(1).await;
        Self { host, guest, healthy, stranger, pace }
    }

    /// Whatever was done, the healthy one goes on.
    pub(crate) async fn end(self) {
        self.healthy.answers(50).await;
        self.healthy.stop().await.assert_no_failure();
        Mesh::end([self.guest, self.host]).await;
    }
}

pub(crate) fn config(pace: Pace) -> Config {
    let mut config = Mesh::quic_config();
    config.limits.opening_timeout = pace.opening;
    config.limits.one_way_window = WINDOW;
    // The least: two of the largest answers.
    config.limits.unread_answers_bytes_max = 0;
    config.quic.channels_max = CHANNELS_MAX;
    config
}
