//! The nodes of this host: the address files that they leave in the data directory.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use super::Candidate;

/// The most nodes that are tried: a directory full of dead ones is not searched for ever.
const NODES_MAX: usize = 64;

/// The nodes that say they run, the longest running first, or the one of that name. A node that was killed is among
/// them: it left its file behind.
pub(super) fn read(data_dir: &Path, name: Option<&str>) -> Vec<Candidate> {
    let entries = fs::read_dir(data_dir.join("nodes")).into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let node = entry.file_name().into_string().ok()?;
            let wanted = name.is_none_or(|name| name == node);
            wanted.then(|| nodes_addresses(&entry.path(), &node))?
        })
        .collect();
    found.sort_by_key(|(since, _)| *since);
    found.truncate(NODES_MAX);
    found.into_iter().flat_map(|(_, candidates)| candidates).collect()
}

/// When a node started, and where it listens.
fn nodes_addresses(folder: &Path, node: &str) -> Option<(Duration, Vec<Candidate>)> {
    let path = folder.join("address");
    let text = fs::read_to_string(&path).ok()?;
    let since = fs::metadata(&path).and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let addresses = text.lines().filter_map(|line| line.trim().parse().ok());
    let candidates = addresses.map(|address| Candidate { name: Some(node.to_owned()), address }).collect();
    Some((since, candidates))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_skipped() {
        let data_dir = tempfile::tempdir().unwrap();
        for (node, text) in [("a", "quic://127.0.0.1:1\nquic://127.0.0.1:2\n"), ("b", "half writ"), ("c", "")]
        {
            let folder = data_dir.path().join("nodes").join(node);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("address"), text).unwrap();
        }
        let found: Vec<_> =
            read(data_dir.path(), None).into_iter().map(|candidate| candidate.address.to_string()).collect();
        assert_eq!(found, ["quic://127.0.0.1:1", "quic://127.0.0.1:2"]);
        assert!(read(data_dir.path(), Some("b")).is_empty());
        assert!(read(&data_dir.path().join("nothing"), None).is_empty());
    }
}
