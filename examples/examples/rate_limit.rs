//! A limit of the rate: a layer of tower in front of a client. Calls that come too fast wait; those that cannot wait
//! so long are not sent.

#![expect(clippy::print_stdout, reason = "an example says what it shows")]

use std::time::Duration;

use anyhow::{Result, ensure};
use qmesh::{Outcome, prelude::*};
use tokio::time::Instant;
use tower::limit::RateLimitLayer;

#[qmesh::service(name = "rate.Printer")]
trait Printer {
    async fn print(&mut self, page: u32) -> u32;
}

#[derive(Default)]
struct Printed(u32);

impl Printer for Printed {
    async fn print(&mut self, _page: u32) -> u32 {
        self.0 += 1;
        self.0
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let identity = Identity::dev(directory.path())?;
    let desk = Node::builder("desk").identity(identity.clone()).serve(PrinterServer::new(Printed::default));
    let desk = desk.start().await?;
    let door = Node::builder("door").identity(identity).start().await?;

    let window = Duration::from_secs(2);
    let printer: PrinterClient = door.client();
    printer.print(0).await?;
    // Two calls in two seconds, all clones together.
    let limited = printer.layer(RateLimitLayer::new(2, window));

    let start = Instant::now();
    for page in 1..=5 {
        let printed = limited.print(page).await?;
        println!("page {page} after {} ms: {printed} are printed", start.elapsed().as_millis());
    }
    ensure!(start.elapsed() >= 2 * window, "five calls begin in three windows");

    limited.print(6).await?;
    let failure = limited.print(7).timeout(Duration::from_millis(1)).await.expect_err("the window is full");
    println!("page 7 could not wait: {failure}");
    ensure!(failure.outcome() == Outcome::NotSent, "{failure}");
    ensure!(
        printer.print(8).await? == 8,
        "the seventh was not printed, and a client without the layer waits for nothing"
    );

    door.shutdown().await;
    desk.shutdown().await;
    Ok(())
}
