//! Whoever gives a call up stops its work on the far node: a `&self` handler is dropped, a `&mut self` one is told and
//! ends when it likes, and a stream that is dropped on one side ends on the other.

#![expect(clippy::print_stdout, reason = "an example says what it shows")]

use anyhow::{Result, ensure};
use qmesh::{prelude::*, stream};
use tokio::sync::watch;

/// Work that takes longer than anybody waits.
#[qmesh::service(name = "cancellation.Works")]
pub trait Works {
    /// Thinks for ever.
    async fn think(&self) -> String;
    /// Changes something.
    async fn change(&mut self, cx: &Context);
    /// Numbers without end.
    async fn count(&self, cx: &Context) -> Receiver<u64>;
    /// The sum of all numbers that come.
    async fn sum(&mut self, numbers: Receiver<u64>) -> u64;
}

/// Notes what becomes of its handlers, for the example to read.
#[derive(Clone, Debug)]
pub struct Factory(watch::Sender<Vec<String>>);

impl Factory {
    fn note(&self, line: impl Into<String>) {
        self.0.send_modify(|notes| notes.push(line.into()));
    }
}

/// Tells of its end, however it comes.
struct Thought(Factory);

impl Drop for Thought {
    fn drop(&mut self) {
        self.0.note("think: dropped in the middle");
    }
}

impl Works for Factory {
    async fn think(&self) -> String {
        let _thought = Thought(self.clone());
        self.note("think: began");
        std::future::pending().await
    }

    async fn change(&mut self, cx: &Context) {
        self.note("change: began");
        // Half a change is worse than a late one: it is told, and stops where it may.
        cx.cancelled().await;
        self.note("change: told, and stopped by itself");
    }

    async fn count(&self, cx: &Context) -> Receiver<u64> {
        let (sender, numbers) = stream(4);
        let factory = self.clone();
        cx.spawn(async move {
            for next in 0.. {
                if sender.send(next).await.is_err() {
                    break;
                }
            }
            factory.note("count: nobody listens");
        });
        numbers
    }

    async fn sum(&mut self, mut numbers: Receiver<u64>) -> u64 {
        let mut sum = 0;
        while let Ok(next) = numbers.recv().await {
            let Some(number) = next else { return sum };
            sum += number;
        }
        self.note(format!("sum: cut, and {sum} is not the sum"));
        sum
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let identity = Identity::dev(directory.path())?;
    let (log, mut read) = watch::channel(Vec::new());
    let server = WorksServer::new(move || Factory(log.clone()));
    let far = Node::builder("far").identity(identity.clone()).serve(server).start().await?;
    let here = Node::builder("here").identity(identity).start().await?;
    let works = here.client::<WorksClient>();
    let mut until = async |what: &str| -> Result<()> {
        read.wait_for(|notes| notes.iter().any(|note| note.starts_with(what))).await?;
        println!("far: {}", read.borrow().last().map_or("", String::as_str));
        Ok(())
    };

    // A call is a future: dropped, it is cancelled, whatever it was dropped by.
    tokio::select! { _ = works.think() => {}, begun = until("think: began") => begun? }
    until("think: dropped").await?;
    tokio::select! { _ = works.change() => {}, begun = until("change: began") => begun? }
    until("change: told").await?;

    let mut numbers = works.count().await?;
    ensure!(numbers.recv().await? == Some(0) && numbers.recv().await? == Some(1));
    drop(numbers);
    until("count: nobody").await?;

    let (sender, numbers) = stream(4);
    let (answer, ()) = tokio::try_join!(works.sum(numbers), async {
        sender.send(7).await?;
        drop(sender); // without `finish`
        Ok(())
    })?;
    until("sum: cut, and 7").await?;
    ensure!(answer == 7, "who cut the stream still hears what the handler makes of it");

    here.shutdown().await;
    far.shutdown().await;
    Ok(())
}
