//! Two hosts that share nothing but a mesh's authority.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::host::{Host, names};

/// A host that holds the authority of mesh `prod`.
async fn office() -> Host {
    let office = Host::new();
    let made = office.json(&["ca", "init", "--mesh", "prod"]).await;
    assert_eq!(made["mesh"], "prod");
    office
}

/// Issues a certificate into the directory of another host.
async fn issue(office: &Host, name: &str, more: &[&str], to: &Host) -> String {
    let out = to.path().display().to_string();
    let issued = office.json(&[&["ca", "issue", name, "--out", &out], more].concat()).await;
    assert_eq!(issued["name"], name);
    issued["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn nodes_of_two_hosts_find_each_other_by_a_seed() {
    let (office, west, east, guest) = (office().await, Host::new(), Host::new(), Host::new());
    let id = issue(&office, "alpha", &[], &west).await;
    issue(&office, "beta", &[], &east).await;
    issue(&office, "me", &["--client"], &guest).await;
    let alpha = west.start(&["serve", "echo.Echo", "--cert", "alpha.pem"]).await;
    assert_eq!((&alpha.about["node"], &alpha.about["id"]), (&"alpha".into(), &id.into()));
    let seed = alpha.url();
    let beta = east.start(&["serve", "clock.Clock", "--cert", "beta.pem", "--seed", seed]).await;
    let ask = ["--cert", "me.pem", "--node", seed];
    guest
        .eventually(&[&["nodes"], &ask[..]].concat(), |nodes| names(nodes, "name") == ["alpha", "beta"])
        .await;
    let now = guest.json(&[&["call", "clock.Clock/now"], &ask[..]].concat()).await;
    assert_eq!(now["node"], "beta", "reached through the other node");
    for node in [alpha, beta] {
        node.signal("TERM").await;
        assert_eq!(node.ended().await, 0);
    }
}

#[tokio::test]
async fn a_stranger_is_told_why_it_is_refused() {
    let (office, west, stranger) = (office().await, Host::new(), Host::new());
    issue(&office, "alpha", &[], &west).await;
    let alpha = west.start(&["serve", "echo.Echo", "--cert", "alpha.pem"]).await;
    stranger.json(&["ca", "init", "--mesh", "elsewhere"]).await;
    let ran = stranger.run(&["nodes", "--node", alpha.url()]).await;
    assert_eq!(ran.code, 3);
    assert!(ran.stderr.contains("it belongs to mesh `prod`, we belong to `elsewhere`"), "{}", ran.stderr);
}

#[tokio::test]
async fn keys_are_private_and_never_overwritten() {
    let (office, host) = (office().await, Host::new());
    let id = issue(&office, "alpha", &[], &host).await;
    let mode = fs::metadata(host.path().join("alpha.key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let out = host.path().display().to_string();
    let again = office.run(&["ca", "issue", "alpha", "--out", &out]).await;
    assert!(again.code == 1 && again.stderr.contains("--renew"), "{again:?}");
    assert_eq!(issue(&office, "alpha", &["--renew"], &host).await, id, "a renewed certificate keeps the id");
    let again = office.run(&["ca", "init"]).await;
    assert!(again.code == 1 && again.stderr.contains("qmesh ca issue NAME"), "{again:?}");
}

#[tokio::test]
async fn a_certificate_is_for_a_node_or_for_a_guest() {
    let (office, host) = (office().await, Host::new());
    issue(&office, "alpha", &[], &host).await;
    issue(&office, "me", &["--client"], &host).await;
    let ran = host.run(&["nodes", "--cert", "alpha.pem"]).await;
    assert!(ran.code == 2 && ran.stderr.contains("qmesh ca issue NAME --client"), "{ran:?}");
    let ran = host.run(&["serve", "echo.Echo", "--cert", "me.pem"]).await;
    assert!(ran.code == 2 && ran.stderr.contains("clients serve nothing"), "{ran:?}");
    let ran = host.run(&["serve", "echo.Echo", "--cert", "nobody.pem"]).await;
    assert!(ran.code == 1 && ran.stderr.contains("nobody.pem: "), "{ran:?}");
}

#[tokio::test]
async fn a_renewed_certificate_says_what_the_old_one_said() {
    let (office, host) = (office().await, Host::new());
    for (name, role, more) in [("alpha", "node", &[][..]), ("me", "client", &["--client"][..])] {
        let id = issue(&office, name, more, &host).await;
        let out = host.path().display().to_string();
        let renewed = office.json(&["ca", "issue", name, "--renew", "--out", &out]).await;
        assert_eq!((&renewed["role"], &renewed["id"]), (&role.into(), &id.into()));
    }
    let nothing = office.run(&["ca", "issue", "nobody", "--renew"]).await;
    assert!(nothing.code == 1 && nothing.stderr.contains("--out DIR"), "{}", nothing.stderr);
    let both = office.run(&["ca", "issue", "alpha", "--renew", "--client"]).await;
    assert_eq!(both.code, 2);
}
