//! What those ask who run nodes: probes, and a service manager.

use std::{os::unix::net::UnixDatagram, time::Duration};

use tokio::time::Instant;

use crate::host::Host;

/// Where a service manager would listen.
struct Manager(UnixDatagram, String);

impl Manager {
    fn listen(host: &Host) -> Self {
        let path = host.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self(socket, path.to_str().unwrap().to_owned())
    }

    fn hear(&self) -> String {
        let mut word = [0; 256];
        let length = self.0.recv(&mut word).expect("the manager hears of the node");
        String::from_utf8(word[..length].to_vec()).unwrap().trim().to_owned()
    }

    /// What is said within a while.
    fn hear_for(&self, time: Duration) -> Vec<String> {
        let end = Instant::now() + time;
        let mut words = Vec::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return words;
            }
            self.0.set_read_timeout(Some(left)).unwrap();
            let mut word = [0; 256];
            if let Ok(length) = self.0.recv(&mut word) {
                words.push(String::from_utf8(word[..length].to_vec()).unwrap().trim().to_owned());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_manager_hears_that_a_node_is_ready_lives_and_ends() {
    let host = Host::new();
    let manager = Manager::listen(&host);
    let variables = [("NOTIFY_SOCKET", manager.1.as_str()), ("WATCHDOG_USEC", "300000")];
    let since = Instant::now();
    let node = host.start_with(&["serve", "clock.Clock"], &variables).await;
    assert_eq!(manager.hear(), "READY=1");
    // One each 0.1 s. After a pause of the machine some come late, and some at once.
    let mut gaps = Vec::new();
    for _ in 0..20 {
        let before = Instant::now();
        assert_eq!(manager.hear(), "WATCHDOG=1");
        gaps.push(before.elapsed());
    }
    assert!(since.elapsed() > Duration::from_secs(1), "20 words in {:?}", since.elapsed());
    gaps.sort();
    assert!(gaps[10] < Duration::from_millis(200), "{gaps:?}");
    // A process that hangs falls silent.
    node.signal("STOP").await;
    manager.hear_for(Duration::from_millis(300));
    assert_eq!(manager.hear_for(Duration::from_secs(1)), [""; 0]);
    node.signal("CONT").await;
    manager.0.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert_eq!(manager.hear(), "WATCHDOG=1");
    node.signal("TERM").await;
    loop {
        match manager.hear().as_str() {
            "WATCHDOG=1" => {}
            last => break assert_eq!(last, "STOPPING=1"),
        }
    }
    assert_eq!(node.ended().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_watchdog_a_node_says_only_that_it_is_ready() {
    let host = Host::new();
    let manager = Manager::listen(&host);
    let node = host.start_with(&["serve", "clock.Clock"], &[("NOTIFY_SOCKET", &manager.1)]).await;
    assert_eq!(manager.hear(), "READY=1");
    assert_eq!(manager.hear_for(Duration::from_secs(1)), [""; 0]);
    node.signal("TERM").await;
    assert_eq!(node.ended().await, 0);
}

#[tokio::test]
async fn a_probe_tells_a_ready_node_from_one_that_drains_or_is_gone() {
    let host = Host::new();
    let dev = host.dev().await;
    let _other = host.start(&["serve", "echo.Echo", "--name", "other"]).await;
    let health = ["health", "--node", dev.url()];
    let asked = host.json(&health).await;
    assert_eq!((&asked["node"], &asked["state"]), (&"dev".into(), &"ready".into()));
    // Drains as long as the stream lasts.
    let mut stream = host.talk(&["call", "echo.Echo/repeat", "--node", "dev"]);
    stream.say("\"hello\"").await;
    assert_eq!(stream.hear().await.as_deref(), Some("\"hello\""));
    dev.signal("TERM").await;
    host.eventually(&["nodes", "--node", "other"], |nodes| nodes.to_string().contains("draining")).await;
    let drains = host.run(&health).await;
    let stream = stream.ended().await;
    assert_eq!(stream.code, 0, "{stream:?}");
    assert_eq!(drains.code, 1, "{drains:?}");
    assert!(drains.stderr.contains("the node is draining"), "{drains:?}");
    let url = dev.url().to_owned();
    assert_eq!(dev.ended().await, 0);
    assert_eq!(host.run(&["health", "--node", &url]).await.code, 3);
}
