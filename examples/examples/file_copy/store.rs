//! The store: a service that keeps files, or nothing of them.

use std::{
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use qmesh::{Reason, prelude::*, stream};
use tokio::{
    fs::{self, File},
    io::AsyncWriteExt,
};
use xxhash_rust::xxh3::Xxh3Default;

/// Keeps files.
#[qmesh::service(name = "copy.Store")]
pub(crate) trait Store {
    /// Keeps a file under a name; says how many bytes it has, whenever there are more.
    async fn put(&self, cx: &Context, name: String, pieces: Receiver<Piece>) -> Receiver<u64>;
}

/// A part of a file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Piece {
    /// The next bytes.
    Bytes(Bytes),
    /// There are no more, and this is the checksum of all.
    Checksum(u64),
}

/// A folder with the files.
#[derive(Debug)]
pub(crate) struct Folder(pub(crate) PathBuf);

impl Store for Folder {
    async fn put(&self, cx: &Context, name: String, pieces: Receiver<Piece>) -> Receiver<u64> {
        let (to, progress) = stream(1);
        let (part, whole) = (self.0.join(format!(".{name}.part")), self.0.join(name));
        cx.spawn(async move {
            let kept = match write(&part, pieces, &to).await {
                Ok(()) => fs::rename(&part, whole).await,
                Err(error) => Err(error),
            };
            match kept {
                // The end of this stream says that the file is there.
                Ok(()) => to.finish(),
                Err(error) => {
                    drop(fs::remove_file(&part).await);
                    to.fail(Failure::new(Outcome::Unknown, Reason::Cancelled, error.to_string()));
                }
            }
        });
        progress
    }
}

/// Writes the file as it comes. It is whole when this returns.
async fn write(part: &Path, mut pieces: Receiver<Piece>, progress: &Sender<u64>) -> io::Result<()> {
    let (mut file, mut sum, mut written) = (File::create(part).await?, Xxh3Default::new(), 0);
    // A cut is an error, not the end.
    while let Some(piece) = pieces.recv().await.map_err(|cut| io::Error::other(cut.detail().to_owned()))? {
        match piece {
            Piece::Bytes(bytes) => {
                file.write_all(&bytes).await?;
                sum.update(&bytes);
                written += bytes.len() as u64;
                // Whoever does not want to know is no reason to stop.
                drop(progress.try_send(written));
            }
            Piece::Checksum(expected) if expected == sum.digest() => return file.sync_all().await,
            Piece::Checksum(_) => break,
        }
    }
    Err(io::Error::other("the checksum differs, or is missing"))
}
