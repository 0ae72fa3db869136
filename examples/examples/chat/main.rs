//! A chat between two processes: you join a room with a channel of what you say, and get one of what the others say.
//! A member that stops reading freezes nobody, and is told how much it missed.
//!
//! By hand, with a room and its members in a terminal each:
//!
//! ```sh
//! cargo run -p qmesh-examples --example chat -- serve
//! cargo run -p qmesh-examples --example chat -- join ada
//! ```

#![expect(clippy::print_stdout, reason = "an example says what it shows")]

mod member;
mod room;

use std::{env, io, path::Path, process, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use qmesh::{prelude::*, stream};
use tokio::time::sleep;

use room::{Heard, Members, RoomClient, RoomServer};

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => both().await,
        ["serve"] => serve(HERE).await,
        ["serve", directory] => serve(directory).await,
        ["join", name] => member::join(name, HERE).await,
        ["join", name, directory] => member::join(name, directory).await,
        _ => bail!("write `serve [DIRECTORY]`, `join NAME [DIRECTORY]`, or nothing"),
    }
}

/// Where a room and its members find each other.
const HERE: &str = ".qmesh";

async fn serve(directory: &str) -> Result<()> {
    let identity = Identity::dev(directory)?;
    let room =
        Node::builder("room").identity(identity).serve(RoomServer::new(Members::default)).start().await?;
    println!("the room is open until the input ends, or a line comes");
    io::stdin().read_line(&mut String::new())?;
    room.shutdown().await;
    Ok(())
}

/// A room in another process, and its members in this one.
async fn both() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut room = process::Command::new(env::current_exe()?);
    let mut room = room.arg("serve").arg(directory.path()).stdin(process::Stdio::piped()).spawn()?;
    let talked = talk(directory.path()).await;
    drop(room.stdin.take());
    ensure!(room.wait()?.success(), "the room ends in order");
    talked
}

/// Three members; one of them does not read.
async fn talk(directory: &Path) -> Result<()> {
    let node = Node::builder("members").identity(Identity::dev(directory)?).start().await?;
    let room = node.client::<RoomClient>();
    let join = async |name: &str| -> Result<_> {
        let (say, said) = stream(1);
        Ok((say, room.join(name, said).await?))
    };
    let ((ada, mut to_ada), (grace, mut to_grace), (mute, mut to_mute)) =
        tokio::try_join!(join("ada"), join("grace"), join("mute"))?;

    grace.send("hello".to_owned()).await?;
    println!("ada hears {:?}", to_ada.recv().await?.context("grace said something")?);
    // Long lines, so that what mute does not read fills every buffer on its way.
    for number in 0..600 {
        let text = format!("{number} {}", "la".repeat(8000));
        ada.send(text.clone()).await?;
        let heard = to_grace.recv().await?.context("ada said something")?;
        ensure!(heard == Heard::Said { who: "ada".to_owned(), text }, "grace hears every line");
    }
    println!("grace heard 600 lines of ada's, while mute read none");

    let catch_up = async {
        let mut heard = 0;
        loop {
            match to_mute.recv().await?.context("the room is open")? {
                Heard::Said { .. } => heard += 1,
                Heard::Missed(missed) => return anyhow::Ok((heard, missed)),
            }
        }
    };
    // It is told before the next line that it has room for.
    let goes_on = async {
        while ada.send("and on".to_owned()).await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let (heard, missed) = tokio::select! {
        caught_up = catch_up => caught_up?,
        () = goes_on => bail!("the room is closed"),
    };
    println!("mute reads again: {heard} lines had waited for it, and it is told that it missed {missed}");
    ensure!(missed > 0 && heard + missed >= 601, "no line is unaccounted for: {heard} and {missed}");

    for leaves in [ada, grace, mute] {
        leaves.finish();
    }
    while to_ada.recv().await?.is_some() {}
    node.shutdown().await;
    Ok(())
}
