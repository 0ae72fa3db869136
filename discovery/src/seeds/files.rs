//! Addresses from the files that the nodes of one host leave in their data directory.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use qmesh_transport::Address;

use super::SeedError;

/// The most that is read of one file: a few addresses fit many times.
const FILE_BYTES_MAX: u64 = 16 << 10;

/// Reads `<data>/nodes/*/address`, away from the async threads.
pub(super) async fn read(data: PathBuf) -> Result<Vec<Address>, SeedError> {
    let nodes = data.join("nodes");
    let path = nodes.clone();
    let read = tokio::task::spawn_blocking(move || read_all(&nodes)).await;
    read.unwrap_or_else(|panic| Err(io::Error::other(panic)))
        .map_err(|source| SeedError::Files { path, source })
}

fn read_all(nodes: &Path) -> io::Result<Vec<Address>> {
    let mut addresses = Vec::new();
    let entries = match fs::read_dir(nodes) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(addresses),
        entries => entries?,
    };
    for entry in entries {
        addresses.extend(read_one(&entry?.path().join("address")));
    }
    Ok(addresses)
}

/// The addresses in one file. A node that starts or stops just now leaves a file that is missing or half written:
/// what is there counts.
fn read_one(path: &Path) -> Vec<Address> {
    let mut text = String::new();
    let read = fs::File::open(path)
        .and_then(|file| io::Read::read_to_string(&mut io::Read::take(file, FILE_BYTES_MAX), &mut text));
    if let Err(error) = read {
        tracing::debug!(target: "qmesh::discovery", path = %path.display(), %error, "no addresses");
    }
    addresses_in(&text).collect()
}

/// One address in each line; what is none counts for nothing.
pub(super) fn addresses_in(text: &str) -> impl Iterator<Item = Address> {
    text.lines().filter_map(|line| line.trim().parse().ok())
}
