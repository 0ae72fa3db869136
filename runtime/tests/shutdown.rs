//! How a node ends.

use std::{net::UdpSocket, time::Duration};

use qmesh::{Authority, prelude::*};
use tokio::time::{Instant, sleep};

#[tokio::test]
async fn a_peer_that_never_answers_does_not_hold_up_the_end() {
    // Takes every packet and says nothing, as the port of a killed process that something else has taken.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let seed = Address::Quic { host: "127.0.0.1".to_owned(), port: silent.local_addr().unwrap().port() };
    let identity = Identity::issued_by(&Authority::ephemeral("test").unwrap());
    // Whoever waits for the peer takes three seconds each time; the machine alone may take as long once.
    let mut shortest = Duration::MAX;
    for _ in 0..3 {
        let node =
            Node::builder("lobby").identity(identity.clone()).seed(seed.clone()).config(Config::local());
        let node = node.start().await.unwrap();
        sleep(Duration::from_millis(300)).await;
        let start = Instant::now();
        node.shutdown().await;
        shortest = shortest.min(start.elapsed());
    }
    assert!(shortest < Duration::from_millis(2500), "{shortest:?}");
}
