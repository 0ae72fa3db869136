//! A service with a method of each shape, whose calls go on for as long as their callers do, and which tells what it
//! saw of them.

use std::time::Duration;

use qmesh::{Context, Reason, Receiver, Sender, stream};
use tokio::{sync::watch, time::sleep};

/// One method of each shape.
#[qmesh::service(name = "tests.Shapes")]
pub trait Shapes {
    /// Never answers.
    async fn ask(&self) -> u64;
    /// Never answers, unless it is told that nobody waits.
    async fn alter(&mut self, cx: &Context, number: u64) -> u64;
    /// Takes 50 ms.
    #[oneway]
    async fn tell(&mut self, number: u64);
    /// The sum of what was sent.
    async fn upload(&mut self, numbers: Receiver<u64>) -> u64;
    /// Numbers without end.
    async fn download(&self, cx: &Context) -> Receiver<u64>;
    /// What was sent comes back.
    async fn both(&self, cx: &Context, numbers: Receiver<u64>) -> Receiver<u64>;
}

/// Something that a handler saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A call began.
    Began,
    /// A one-way send of that number came.
    Told(u64),
    /// An item of the caller's stream came.
    Item,
    /// The caller's stream was cut.
    Cut(Reason),
    /// The caller's stream ended as if it were whole.
    Whole,
    /// Nobody receives the service's stream any more.
    Gone(Reason),
    /// A `&self` handler was dropped.
    Dropped,
    /// A `&mut self` handler was told that nobody waits.
    Cancelled,
}

/// What the handlers of a service saw, in order.
#[derive(Clone, Debug, Default)]
pub struct Witness(watch::Sender<Vec<Seen>>);

/// A server whose handlers tell a witness.
pub fn server(witness: Witness) -> qmesh::Server<ShapesContract, impl Shapes> {
    ShapesServer::new(move || Shaped(witness.clone()))
}

struct Shaped(Witness);

/// Tells when it is dropped: its handler never answers.
struct Running(Witness);

impl Shapes for Shaped {
    async fn ask(&self) -> u64 {
        self.0.saw(Seen::Began);
        let _running = Running(self.0.clone());
        std::future::pending().await
    }

    async fn alter(&mut self, cx: &Context, number: u64) -> u64 {
        self.0.saw(Seen::Began);
        cx.cancelled().await;
        self.0.saw(Seen::Cancelled);
        number
    }

    async fn tell(&mut self, number: u64) {
        self.0.saw(Seen::Told(number));
        sleep(Duration::from_millis(50)).await;
    }

    async fn upload(&mut self, mut numbers: Receiver<u64>) -> u64 {
        self.0.saw(Seen::Began);
        let mut sum = 0;
        while let Some(number) = self.0.next(&mut numbers).await {
            sum += number;
        }
        sum
    }

    async fn download(&self, cx: &Context) -> Receiver<u64> {
        self.0.saw(Seen::Began);
        let (sender, receiver) = stream(4);
        let witness = self.0.clone();
        cx.spawn(async move {
            for number in 0.. {
                sleep(Duration::from_millis(1)).await;
                if !witness.send(&sender, number).await {
                    break;
                }
            }
        });
        receiver
    }

    async fn both(&self, cx: &Context, mut numbers: Receiver<u64>) -> Receiver<u64> {
        self.0.saw(Seen::Began);
        let (sender, receiver) = stream(4);
        let witness = self.0.clone();
        cx.spawn(async move {
            while let Some(number) = witness.next(&mut numbers).await {
                if !witness.send(&sender, number).await {
                    break;
                }
            }
            // Whether there was a receiver or not when the caller's stream ended.
            sender.closed().await;
            witness.send(&sender, 0).await;
        });
        receiver
    }
}

impl Witness {
    /// What was seen so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.0.borrow().clone()
    }

    /// Waits until what was seen is as wanted.
    pub async fn until(&self, holds: impl Fn(&[Seen]) -> bool) {
        // The sender lives in this value.
        drop(self.0.subscribe().wait_for(|seen| holds(seen)).await);
    }

    fn saw(&self, what: Seen) {
        self.0.send_modify(|seen| seen.push(what));
    }

    /// The next item of a caller's stream, if one comes.
    async fn next(&self, numbers: &mut Receiver<u64>) -> Option<u64> {
        let next = numbers.recv().await;
        self.saw(match &next {
            Ok(Some(_)) => Seen::Item,
            Ok(None) => Seen::Whole,
            Err(failure) => Seen::Cut(failure.reason()),
        });
        next.unwrap_or_default()
    }

    /// Whether somebody receives it.
    async fn send(&self, to: &Sender<u64>, number: u64) -> bool {
        let sent = to.send(number).await;
        if let Err(failure) = &sent {
            self.saw(Seen::Gone(failure.reason()));
        }
        sent.is_ok()
    }
}

// === impl Running ===

impl Drop for Running {
    fn drop(&mut self) {
        self.0.saw(Seen::Dropped);
    }
}
