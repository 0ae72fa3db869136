//! A member by hand: what is typed is said, what others say is printed.

use std::process;

use anyhow::{Context as _, Result};
use qmesh::{prelude::*, stream};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::room::{Heard, RoomClient};

/// Joins the room that is open, until the input ends or the room does.
pub(crate) async fn join(name: &str, directory: &str) -> Result<()> {
    let node = Node::builder(name).identity(Identity::dev(directory)?).start().await?;
    let (say, said) = stream(1);
    let joined = node.client::<RoomClient>().join(name, said).await;
    let mut heard = joined.context("no room is open: `serve` opens one")?;
    println!("{name} is in the room; Ctrl-D leaves it");
    let talk = async {
        let mut typed = BufReader::new(tokio::io::stdin()).lines();
        while let Some(text) = typed.next_line().await? {
            if say.send(text).await.is_err() {
                break;
            }
        }
        say.finish();
        anyhow::Ok(())
    };
    let listen = async {
        while let Some(heard) = heard.recv().await? {
            match heard {
                Heard::Said { who, text } => println!("{who}: {text}"),
                Heard::Missed(lines) => println!("({lines} lines were missed)"),
            }
        }
        anyhow::Ok(())
    };
    tokio::pin!(listen);
    // The room ends what is heard of whoever has left it, and of everybody when it closes.
    tokio::select! {
        talked = talk => {
            talked?;
            listen.await?;
        }
        listened = &mut listen => {
            listened?;
            println!("the room is closed");
        }
    }
    node.shutdown().await;
    // A read of the terminal may still wait for a line, and the runtime for it.
    process::exit(0);
}
