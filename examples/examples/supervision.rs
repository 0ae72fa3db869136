//! A service that panics loses one call and its state, and is restarted; one that panics too often is given up.

#![expect(clippy::print_stdout, reason = "an example says what it shows")]

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use qmesh::{ActorState, RestartPolicy, prelude::*};

/// Divides, and remembers how often.
#[qmesh::service(name = "supervision.Divider")]
pub trait Divider {
    /// The quotient, and how many there were in this life of the service.
    async fn divide(&mut self, dividend: u32, divisor: u32) -> (u32, u32);
}

/// Does not check what it is given.
#[derive(Debug, Default)]
pub struct Careless {
    divisions: u32,
}

impl Divider for Careless {
    async fn divide(&mut self, dividend: u32, divisor: u32) -> (u32, u32) {
        self.divisions += 1;
        (dividend / divisor, self.divisions)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let identity = Identity::dev(directory.path())?;
    // Two restarts within ten seconds, and no more. The factory makes the state of each life.
    let policy = RestartPolicy { intensity: 2, ..RestartPolicy::default() };
    let server = DividerServer::new(Careless::default).restart(policy);
    let node = Node::builder("lonely").identity(identity).serve(server).start().await?;
    let divider = node.client::<DividerClient>();

    println!("The panics that follow are meant: the service divides by zero.");
    for _life in 0..2 {
        ensure!(divider.divide(84, 2).await? == (42, 1), "a new life counts from the start");
        ensure!(divider.divide(9, 3).await? == (3, 2));
        // The panic costs this call its answer: nobody knows how far it came.
        let failure = divider.divide(1, 0).await.expect_err("it panics");
        println!("the call that panicked: {failure}");
        ensure!(failure.outcome() == Outcome::Unknown, "{failure}");
    }
    let service = |node: &Node| {
        let tree = node.tree();
        tree.into_iter().find(|actor| actor.path == "node/service/supervision.Divider")
    };
    ensure!(divider.divide(84, 2).await? == (42, 1));
    ensure!(service(&node).context("it is in the tree")?.restarts == 2);

    // Once more, and it is given up: what is called now was certainly not executed.
    divider.divide(1, 0).await.expect_err("it panics");
    let refused = divider.divide(84, 2).timeout(Duration::from_secs(1)).await;
    let failure = refused.expect_err("nobody serves");
    println!("the service was given up, and a call of it: {failure}");
    ensure!(failure.outcome() != Outcome::Unknown, "{failure}");
    ensure!(service(&node).context("it is in the tree")?.state == ActorState::Failed);
    let mut watch = node.directory().watch();
    while !node.services().is_empty() {
        // It leaves the directory, and nobody in the mesh asks for it here any more.
        watch.next().await;
    }

    node.shutdown().await;
    Ok(())
}
