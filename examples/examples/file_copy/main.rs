//! A file goes through a service, in pieces and in constant memory. Both ends know how far it is, both compare the
//! checksum, and a copy that was cut leaves nothing that looks like a file.

#![expect(clippy::print_stdout, reason = "an example says what it shows")]

mod store;

use std::path::Path;

use anyhow::{Result, ensure};
use qmesh::{prelude::*, stream};
use tokio::{
    fs::{self, File},
    io::{AsyncReadExt, AsyncWriteExt},
};
use xxhash_rust::xxh3::Xxh3Default;

use store::{Folder, Piece, StoreClient, StoreServer};

const PIECE: usize = 64 * 1024;
const FILE: usize = 64 * 1024 * 1024;

/// Sends the first `most` bytes of a file, and the checksum if that is all of it.
async fn send(path: &Path, most: usize, to: Sender<Piece>) -> Result<()> {
    let (mut file, mut sum, mut sent) = (File::open(path).await?, Xxh3Default::new(), 0);
    while sent < most {
        let mut piece = vec![0; PIECE];
        let read = file.read(&mut piece).await?;
        if read == 0 {
            to.send(Piece::Checksum(sum.digest())).await?;
            to.finish();
            return Ok(());
        }
        piece.truncate(read);
        sum.update(&piece);
        sent += read;
        to.send(Piece::Bytes(piece.into())).await?;
    }
    println!("stopped after {sent} bytes");
    Ok(()) // without its end: dropped like this, the stream is cut
}

/// Copies a file, or its first `most` bytes, which is no copy.
async fn copy(store: &StoreClient, path: &Path, name: &str, most: usize) -> Result<()> {
    let (to, pieces) = stream(1);
    let mut progress = store.put(name, pieces).await?;
    let listen = async {
        let mut told = 0;
        while let Some(stored) = progress.recv().await? {
            if stored >= told + FILE as u64 / 4 {
                told = stored;
                println!("{} of {} MB are stored", stored >> 20, FILE >> 20);
            }
        }
        // The end of this stream says that the checksum was right and the file is there.
        anyhow::Ok(())
    };
    tokio::try_join!(send(path, most, to), listen).map(drop)
}

/// The most memory that this process has used so far, in bytes, where the system tells.
fn peak_memory() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<usize>().ok()? * 1024)
}

#[tokio::main]
async fn main() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let identity = Identity::dev(directory.path())?;
    let kept = directory.path().join("kept");
    fs::create_dir(&kept).await?;
    let folder = kept.clone();
    let server = StoreServer::new(move || Folder(folder.clone()));
    let archive = Node::builder("archive").identity(identity.clone()).serve(server).start().await?;
    let desk = Node::builder("desk").identity(identity).start().await?;
    let store = desk.client::<StoreClient>();

    let original = directory.path().join("original");
    let mut file = File::create(&original).await?;
    for number in 0..FILE / PIECE {
        file.write_all(&vec![u8::try_from(number % 251)?; PIECE]).await?;
    }
    file.sync_all().await?;

    let before = peak_memory();
    copy(&store, &original, "whole", usize::MAX).await?;
    ensure!(checksum(&kept.join("whole")).await? == checksum(&original).await?, "the copy is the original");
    println!("the copy is whole: both checksums are the same");
    if let (Some(before), Some(after)) = (before, peak_memory()) {
        println!("both ends together took {} MB of memory for it", (after - before) >> 20);
        ensure!(after - before < FILE / 2, "no end holds the file");
    }

    let cut = copy(&store, &original, "half", FILE / 2).await.expect_err("half a file is no file");
    println!("the copy that was cut: {cut:#}");
    let mut names = fs::read_dir(&kept).await?;
    while let Some(entry) = names.next_entry().await? {
        ensure!(entry.file_name() == "whole", "{:?} is left of it", entry.file_name());
    }

    desk.shutdown().await;
    archive.shutdown().await;
    Ok(())
}

async fn checksum(path: &Path) -> Result<u64> {
    let (mut file, mut sum, mut piece) = (File::open(path).await?, Xxh3Default::new(), vec![0; PIECE]);
    loop {
        match file.read(&mut piece).await? {
            0 => return Ok(sum.digest()),
            read => sum.update(&piece[..read]),
        }
    }
}
