//! Sources of addresses, each against the real thing on this host.

use std::{
    fs, io,
    net::{Ipv4Addr, Ipv6Addr},
};

use tokio::{net::UdpSocket, task::JoinSet};

use super::*;

fn addresses(texts: &[&str]) -> Vec<Address> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[tokio::test]
async fn a_list_is_itself_in_order_and_without_repetition() {
    let list = addresses(&["quic://b:2", "quic://a:1", "quic://b:2"]);
    assert_eq!(
        SeedSource::Addresses(list).resolve().await.unwrap(),
        addresses(&["quic://a:1", "quic://b:2"])
    );
}

#[tokio::test]
async fn files_of_all_nodes_are_read_and_nonsense_in_them_is_not() {
    let data = tempfile::tempdir().unwrap();
    let source = SeedSource::Files(data.path().to_owned());
    assert_eq!(source.resolve().await.unwrap(), []);
    for (name, text) in [
        ("lobby", "quic://127.0.0.1:1\nquic://[::1]:1\n"),
        ("cellar", "  quic://127.0.0.1:2  \n\nnonsense\nquic://127.0.0.1:"),
        ("starting", ""),
    ] {
        fs::create_dir_all(data.path().join("nodes").join(name)).unwrap();
        fs::write(data.path().join("nodes").join(name).join("address"), text).unwrap();
    }
    fs::create_dir_all(data.path().join("nodes").join("without-address")).unwrap();
    let wanted = addresses(&["quic://127.0.0.1:1", "quic://127.0.0.1:2", "quic://[::1]:1"]);
    assert_eq!(source.resolve().await.unwrap(), wanted);
}

#[tokio::test]
async fn a_data_directory_that_is_none_is_an_error() {
    let file = tempfile::tempdir().unwrap();
    fs::write(file.path().join("nodes"), "").unwrap();
    let error = SeedSource::Files(file.path().to_owned()).resolve().await.unwrap_err();
    assert!(matches!(error, SeedError::Files { .. }), "{error}");
}

/// A DNS server that knows `mesh.test`, on a port of its own.
async fn dns_server(tasks: &mut JoinSet<io::Result<()>>) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    tasks.spawn(async move {
        let mut query = [0; 512];
        loop {
            let (length, client) = socket.recv_from(&mut query).await?;
            socket.send_to(&dns_answer(&query[..length]), client).await?;
        }
    });
    address
}

/// Answers with two A records, one AAAA record, or that the name does not exist.
fn dns_answer(query: &[u8]) -> Vec<u8> {
    let question_end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let is_known = query[12..].starts_with(b"\x04mesh\x04test\x00");
    let kind = query[question_end - 3];
    let records: Vec<Vec<u8>> = match (is_known, kind) {
        (true, 1) => vec![vec![10, 0, 0, 2], vec![10, 0, 0, 1]],
        (true, 28) => vec![Ipv6Addr::LOCALHOST.octets().to_vec()],
        _ => vec![],
    };
    let response_code = if is_known { 0 } else { 3 };
    let mut answer = query[..2].to_vec();
    answer.extend([0x81, 0x80 | response_code, 0, 1, 0, u8::try_from(records.len()).unwrap(), 0, 0, 0, 0]);
    answer.extend(&query[12..question_end]);
    for data in records {
        answer.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, u8::try_from(data.len()).unwrap()]);
        answer.extend(data);
    }
    answer
}

#[tokio::test]
async fn dns_gives_the_addresses_of_both_families() {
    let mut tasks = JoinSet::new();
    let server = Some(dns_server(&mut tasks).await);
    let source = SeedSource::Dns { host: "mesh.test.".into(), port: 4433, server };
    let wanted = addresses(&["quic://10.0.0.1:4433", "quic://10.0.0.2:4433", "quic://[::1]:4433"]);
    assert_eq!(source.resolve().await.unwrap(), wanted);
}

#[tokio::test]
async fn a_name_that_dns_does_not_know_is_a_mesh_without_nodes() {
    let mut tasks = JoinSet::new();
    let server = Some(dns_server(&mut tasks).await);
    let source = SeedSource::Dns { host: "nobody.test.".into(), port: 4433, server };
    assert_eq!(source.resolve().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_dns_server_that_does_not_answer_is_an_error_that_names_the_host() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let server = Some(silent.local_addr().unwrap());
    let source = SeedSource::Dns { host: "mesh.test.".into(), port: 4433, server };
    let error = source.resolve().await.unwrap_err();
    assert!(error.to_string().contains("mesh.test"), "{error}");
}
