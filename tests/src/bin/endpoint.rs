//! A node that serves `tests.Work` in a process of its own: `qmesh-tests-endpoint <data directory> <name>`.
//!
//! It says `ready` when it serves, and shuts down when its standard input is closed.

use anyhow::{Context, Result};
use qmesh::prelude::*;
use qmesh_tests::work;
use tokio::io::AsyncReadExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (data_dir, name) = arguments.next().zip(arguments.next()).context("a data directory and a name")?;
    let node = Node::builder(name)
        .identity(Identity::dev(data_dir)?)
        .config(Config::local())
        .serve(work::server())
        .start()
        .await?;
    announce();
    // Whatever comes is ignored; the end is what counts.
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    node.shutdown().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the test waits for this line")]
fn announce() {
    println!("ready");
}
