//! A node in a process of its own: `qmesh-tests-endpoint <data directory> <name> [<shape> | patient]`.
//!
//! It serves `tests.Work` and `tests.Shapes`; with a shape, it serves nothing and calls that method of `tests.Shapes` without
//! end. It has the local preset unless it is patient: then a machine that stands still costs no session. It says `ready` when it
//! is up, and shuts down when its standard input is closed.

use anyhow::{Context, Result, bail};
use qmesh::{prelude::*, stream};
use qmesh_tests::{
    Mesh, PATIENT,
    shapes::{self, ShapesClient, Witness},
    work,
};
use tokio::io::AsyncReadExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (data_dir, name) = arguments.next().zip(arguments.next()).context("a data directory and a name")?;
    let (shape, config) = match arguments.next() {
        Some(word) if word == PATIENT => (None, Mesh::quic_config()),
        shape => (shape, Config::local()),
    };
    let mut builder = Node::builder(name).identity(Identity::dev(data_dir)?).config(config);
    if shape.is_none() {
        builder = builder.serve(work::server()).serve(shapes::server(Witness::default()));
    }
    let node = builder.start().await?;
    announce();
    let calls = async {
        match &shape {
            Some(shape) => call(node.client(), shape).await,
            None => std::future::pending().await,
        }
    };
    let (mut stdin, mut ignored) = (tokio::io::stdin(), Vec::new());
    tokio::select! {
        ended = calls => ended?,
        // Whatever comes is ignored; the end is what counts.
        read = stdin.read_to_end(&mut ignored) => drop(read?),
    }
    node.shutdown().await;
    Ok(())
}

/// Calls one method, and never comes to an end by itself.
async fn call(shapes: ShapesClient, shape: &str) -> Result<()> {
    let (say, said) = stream(4);
    let talk = async {
        for number in 0.. {
            say.send(number).await?;
        }
        Ok(())
    };
    match shape {
        "ask" => drop(shapes.ask().await?),
        // The second waits in the queue until the first is done.
        "alter" => drop(tokio::try_join!(shapes.alter(1_u64), shapes.alter(2_u64))?),
        "tell" => {
            for number in 0_u64.. {
                shapes.tell(number).await?;
            }
        }
        "upload" => drop(tokio::try_join!(shapes.upload(said), talk)?),
        "download" => {
            let mut heard = shapes.download().await?;
            while heard.recv().await?.is_some() {}
        }
        "both" => {
            let mut heard = shapes.both(said).await?;
            let listen = async {
                while heard.recv().await?.is_some() {}
                Ok(())
            };
            tokio::try_join!(talk, listen)?;
        }
        other => bail!("no call has the shape `{other}`"),
    }
    bail!("the call of `{shape}` came to an end")
}

#[expect(clippy::print_stdout, reason = "the test waits for this line")]
fn announce() {
    println!("ready");
}
