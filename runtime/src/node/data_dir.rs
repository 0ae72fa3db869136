//! What a node keeps on disk, so that its next life knows of this one: `<data directory>/nodes/<name>/`.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use qmesh_transport::Address;

/// A node's own folder, locked while the node lives.
#[derive(Debug)]
pub(crate) struct DataDir {
    folder: PathBuf,
    lock: File,
}

/// Why a node cannot use its folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataDirError {
    /// Another process runs the same node.
    #[error("node `{name}` runs already with the data directory {}; give this one another name", folder.display())]
    InUse {
        /// The node.
        name: String,
        /// The data directory.
        folder: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl DataDir {
    pub(crate) fn open(root: &Path, name: &str) -> Result<Self, DataDirError> {
        let folder = root.join("nodes").join(name);
        fs::create_dir_all(&folder).map_err(|source| DataDirError::Io { path: folder.clone(), source })?;
        // Not `lock`: the identity holds that one for a moment, to read or make the node's key.
        let path = folder.join("running");
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(|source| DataDirError::Io { path: path.clone(), source })?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder, lock }),
            Err(fs::TryLockError::WouldBlock) => {
                Err(DataDirError::InUse { name: name.to_owned(), folder: root.to_owned() })
            }
            Err(fs::TryLockError::Error(source)) => Err(DataDirError::Io { path, source }),
        }
    }

    /// The number of this life: above that of the last one, whatever the clock says.
    pub(crate) fn next_incarnation(&self, now_ms: u64) -> Result<u64, DataDirError> {
        let path = self.folder.join("incarnation");
        let stored = match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().unwrap_or(0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(source) => return Err(DataDirError::Io { path, source }),
        };
        let next = now_ms.max(stored + 1);
        self.write("incarnation", &next.to_string())?;
        Ok(next)
    }

    /// Tells other processes of this host where the node is.
    pub(crate) fn publish(&self, addresses: &[Address]) -> Result<(), DataDirError> {
        let lines: Vec<_> = addresses.iter().map(Address::to_string).collect();
        self.write("address", &lines.join("\n"))
    }

    /// The node has ended: another life of it may begin, whatever handles of this one are still about.
    pub(crate) fn release(&self) {
        // A stale address costs a dial that fails; the lock ends with the file at the latest.
        drop(fs::remove_file(self.folder.join("address")));
        drop(self.lock.unlock());
    }

    /// Readers see the old content or the new, never half of it.
    fn write(&self, file: &str, content: &str) -> Result<(), DataDirError> {
        let path = self.folder.join(file);
        let beside = self.folder.join(format!("{file}.new"));
        let written = fs::write(&beside, content).and_then(|()| fs::rename(&beside, &path));
        written.map_err(|source| DataDirError::Io { path, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::wall_clock::WallClock;

    #[test]
    fn a_life_has_a_higher_number_than_the_last_one_also_when_the_clock_went_back() {
        let root = tempfile::tempdir().unwrap();
        let data = DataDir::open(root.path(), "lobby").unwrap();
        let now = WallClock::default().now_ms();
        let future = now + 1_000_000_000;
        data.write("incarnation", &future.to_string()).unwrap();
        assert_eq!(data.next_incarnation(now).unwrap(), future + 1);
        assert_eq!(data.next_incarnation(now).unwrap(), future + 2);
    }

    #[test]
    fn a_node_that_runs_does_not_keep_its_key_from_others() {
        let root = tempfile::tempdir().unwrap();
        let identity = qmesh_transport::Identity::dev(root.path()).unwrap();
        let _running = DataDir::open(root.path(), "lobby").unwrap();
        identity.credentials("lobby").unwrap();
    }

    #[test]
    fn a_node_runs_once() {
        let root = tempfile::tempdir().unwrap();
        let first = DataDir::open(root.path(), "lobby").unwrap();
        let second = DataDir::open(root.path(), "lobby").unwrap_err().to_string();
        assert!(second.contains("runs already"), "{second}");
        drop(first);
        DataDir::open(root.path(), "lobby").unwrap();
    }
}
