//! Two daemons on this host's loopback interface, on a port of their own, so that nothing reaches the network.

use std::time::Duration;

use mdns_sd::IfKind;

use super::*;

/// Not the port of real multicast DNS, and another one for each test.
fn node(port: u16, mesh: &str, number: u8) -> Mdns {
    let daemon = ServiceDaemon::new_with_port(port).unwrap();
    daemon.disable_interface(IfKind::All).unwrap();
    daemon.enable_interface(IfKind::LoopbackV4).unwrap();
    Mdns::over(daemon, &[mesh.to_owned(), "all".to_owned() + mesh], NodeId::from_bytes([number; 16])).unwrap()
}

/// Real time passes here: the daemons are threads with real clocks.
fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..200 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what}: not within ten seconds");
}

#[test]
fn nodes_of_one_mesh_find_each_other_and_no_others_and_notice_who_stops() {
    let (lobby, cellar, stranger) =
        (node(53_531, "test", 1), node(53_531, "test", 2), node(53_531, "other", 3));
    let address = |port: u16| Address::quic(([127, 0, 0, 1], port).into());
    for (mdns, port) in [(&lobby, 1001), (&cellar, 1002), (&stranger, 1003)] {
        mdns.announce(&[Address::memory("unseen"), address(port)]).unwrap();
    }
    until("the lobby finds the cellar", || lobby.found().unwrap() == [address(1002)]);
    until("the cellar finds the lobby", || cellar.found().unwrap() == [address(1001)]);
    assert_eq!(stranger.found().unwrap(), []);

    drop(cellar);
    until("the lobby notices", || lobby.found().unwrap().is_empty());
}

#[test]
fn the_network_learns_a_hash_of_the_mesh() {
    assert_eq!(hash("test"), "9ec9f7918d7dfc40");
}

#[test]
fn without_a_socket_address_nothing_is_told() {
    let mdns = node(53_532, "test", 1);
    mdns.announce(&[Address::memory("lobby")]).unwrap();
    assert_eq!(mdns.found().unwrap(), []);
}
