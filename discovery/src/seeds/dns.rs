//! Addresses from DNS.

use std::net::SocketAddr;

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
};
use qmesh_transport::Address;

use super::SeedError;

pub(super) async fn resolve(
    host: &str,
    port: u16,
    server: Option<SocketAddr>,
) -> Result<Vec<Address>, SeedError> {
    let found = lookup(host, port, server).await;
    found.map_err(|source| SeedError::Dns { host: host.to_owned(), source: source.into() })
}

/// A resolver of its own for each question: nothing is cached, and a changed system configuration is seen.
async fn lookup(host: &str, port: u16, server: Option<SocketAddr>) -> Result<Vec<Address>, NetError> {
    let mut builder = match server {
        Some(server) => TokioResolver::builder_with_config(only(server), TokioRuntimeProvider::default()),
        None => TokioResolver::builder_tokio()?,
    };
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    match builder.build()?.lookup_ip(host).await {
        Ok(found) => Ok(found.iter().map(|ip| Address::quic(SocketAddr::new(ip, port))).collect()),
        // A name without addresses is a mesh without nodes, as yet.
        Err(error) if error.is_no_records_found() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn only(server: SocketAddr) -> ResolverConfig {
    let mut udp = ConnectionConfig::udp();
    udp.port = server.port();
    ResolverConfig::from_name_servers(vec![NameServerConfig::new(server.ip(), true, vec![udp])])
}
