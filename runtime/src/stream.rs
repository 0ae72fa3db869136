//! Typed, bounded sequences of items: between tasks of one process, or between the two sides of a call.
//!
//! A stream ends when its sender says so. A sender that is dropped before that has cut the stream, and the receiver is
//! told: a copy that stops in the middle never looks complete.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use futures_util::{Sink, Stream, StreamExt, TryStreamExt, stream::BoxStream};
use tokio::sync::{
    Notify,
    mpsc::{self, error::TrySendError as Queue},
};
use tokio_util::sync::PollSender;

use crate::failure::{Failure, Reason};

/// A stream of `T` with room for `capacity` items that were sent and are not yet received.
///
/// # Panics
/// If `capacity` is 0.
#[must_use]
pub fn stream<T: Send + 'static>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = mpsc::channel(capacity);
    let end = Arc::new(End::default());
    let sender = Sender { items: PollSender::new(sender), end: Arc::clone(&end), finished: false };
    (sender, Receiver { source: Source::Queue(receiver, end), over: None, on_end: OnEnd::default() })
}

/// The sending end of a stream: send, then [`finish`](Self::finish).
///
/// Clones send into the same stream. It is complete when all of them have finished, and cut if one of them was dropped
/// before; the receiver is told when none is left. It is a [`Sink`], too, whose `close` finishes.
pub struct Sender<T> {
    items: PollSender<T>,
    end: Arc<End>,
    finished: bool,
}

/// The receiving end of a stream. It is a [`Stream`] of `Result<T, Failure>`, too.
///
/// Dropping it tells the senders that nobody receives any more.
pub struct Receiver<T> {
    source: Source<T>,
    /// How it ended: said again to whoever asks again.
    over: Option<Result<(), Failure>>,
    /// Told when it has ended, or is dropped.
    on_end: OnEnd,
}

#[derive(Debug, Default)]
struct OnEnd(Option<Arc<Notify>>);

/// Why an item was not sent. It holds the item.
#[derive(Debug, thiserror::Error)]
pub enum TrySendError<T> {
    /// There is no room now.
    #[error("the stream has no room")]
    Full(T),
    /// Nobody receives any more.
    #[error("{1}")]
    Gone(T, Failure),
}

/// How the two ends part.
#[derive(Debug, Default)]
struct End {
    /// A sender was dropped before it finished, or has failed.
    cut: OnceLock<Failure>,
    /// The receiver is gone, and why, where there is more to say.
    gone: OnceLock<Failure>,
}

enum Source<T> {
    Queue(mpsc::Receiver<T>, Arc<End>),
    Stream(BoxStream<'static, Result<T, Failure>>),
}

impl<T: Send + 'static> Sender<T> {
    /// Sends an item; waits while the stream has no room.
    ///
    /// # Errors
    /// Nobody receives any more. The item is lost.
    ///
    /// # Cancel safety
    /// Dropping it before it resolves sends nothing.
    pub async fn send(&self, item: T) -> Result<(), Failure> {
        let items = self.items.get_ref().ok_or_else(|| self.gone())?;
        items.send(item).await.map_err(|_item| self.gone())
    }

    /// Sends an item if there is room now.
    ///
    /// # Errors
    /// [`TrySendError`], with the item.
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        let Some(items) = self.items.get_ref() else { return Err(TrySendError::Gone(item, self.gone())) };
        items.try_send(item).map_err(|error| match error {
            Queue::Full(item) => TrySendError::Full(item),
            Queue::Closed(item) => TrySendError::Gone(item, self.gone()),
        })
    }

    /// The stream is complete, as far as this sender is concerned.
    pub fn finish(mut self) {
        self.set_finished();
    }

    /// The stream is broken: whoever receives it is told why, after the items that were sent.
    pub fn fail(self, failure: Failure) {
        self.cut(failure);
    }

    /// Resolves when nobody receives any more.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn closed(&self) {
        if let Some(items) = self.items.get_ref() {
            items.closed().await;
        }
    }

    /// Whether nobody receives any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.items.get_ref().is_none_or(mpsc::Sender::is_closed)
    }

    /// Whether there is room for an item, for the only sender.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.items.get_ref().is_some_and(|items| items.capacity() > 0)
    }

    /// Resolves when everything that was sent has been received, or nobody receives any more.
    pub(crate) async fn emptied(&self) {
        if let Some(items) = self.items.get_ref() {
            drop(items.reserve_many(items.max_capacity()).await);
        }
    }

    /// Why nobody receives any more.
    pub(crate) fn gone(&self) -> Failure {
        let told = self.end.gone.get().cloned();
        told.unwrap_or_else(|| Failure::unknown(Reason::Cancelled, "nobody receives this stream any more"))
    }
}

impl<T: Send + 'static> Receiver<T> {
    /// The items of any stream: what a method returns that has them already.
    pub fn from_stream(items: impl Stream<Item = Result<T, Failure>> + Send + 'static) -> Self {
        Self { source: Source::Stream(items.boxed()), over: None, on_end: OnEnd::default() }
    }

    /// These items, and then the end.
    pub fn of<I>(items: I) -> Self
    where
        I: IntoIterator<Item = T>,
        I::IntoIter: Send + 'static,
    {
        Self::from_stream(futures_util::stream::iter(items.into_iter().map(Ok)))
    }

    /// The next item; `None` when the stream is complete.
    ///
    /// # Errors
    /// The stream was cut: its sender was dropped or has failed, or the session ended. What came before stands; it is
    /// not all there was to come.
    ///
    /// # Cancel safety
    /// Cancel safe: no item is lost.
    pub async fn recv(&mut self) -> Result<Option<T>, Failure> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Self::recv), for those who poll.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<T>, Failure>> {
        if let Some(over) = &self.over {
            return Poll::Ready(over.clone().map(|()| None));
        }
        let over = match &mut self.source {
            Source::Queue(items, end) => match ready!(items.poll_recv(cx)) {
                Some(item) => return Poll::Ready(Ok(Some(item))),
                None => end.cut.get().cloned().map_or(Ok(()), Err),
            },
            Source::Stream(items) => match ready!(items.as_mut().poll_next(cx)) {
                Some(Ok(item)) => return Poll::Ready(Ok(Some(item))),
                Some(Err(failure)) => Err(failure),
                None => Ok(()),
            },
        };
        self.over = Some(over.clone());
        self.on_end.tell();
        Poll::Ready(over.map(|()| None))
    }

    /// All items.
    ///
    /// # Errors
    /// The stream was cut; what came before is dropped.
    pub async fn collect(self) -> Result<Vec<T>, Failure> {
        self.try_collect().await
    }

    /// A stream of what `change` makes of each item.
    #[must_use]
    pub fn map<U: Send + 'static>(self, change: impl FnMut(T) -> U + Send + 'static) -> Receiver<U> {
        Receiver::from_stream(self.map_ok(change))
    }

    /// Sends every item on, then finishes; returns how many. A stream that was cut is cut further on.
    ///
    /// # Errors
    /// This stream was cut, or nobody receives the other one any more.
    pub async fn forward(mut self, to: Sender<T>) -> Result<u64, Failure> {
        let mut count = 0;
        loop {
            match self.recv().await {
                Ok(Some(item)) => to.send(item).await?,
                Ok(None) => break,
                Err(failure) => {
                    to.fail(failure.clone());
                    return Err(failure);
                }
            }
            count += 1;
        }
        to.finish();
        Ok(count)
    }

    /// Who is to be told when it has ended, or is dropped.
    pub(crate) fn tell_end(&mut self, told: Arc<Notify>) {
        self.on_end.0 = Some(told);
    }

    /// Tells the senders why nobody receives any more.
    pub(crate) fn give_up(self, why: Failure) {
        if let Source::Queue(_, end) = &self.source {
            drop(end.gone.set(why));
        }
    }
}

// === impl Sender ===

impl<T> Sender<T> {
    /// As [`finish`](Self::finish), for those who drop it themselves.
    pub(crate) const fn set_finished(&mut self) {
        self.finished = true;
    }

    /// Why the stream is broken, unless it has finished; the first reason counts. The receiver is told when the last
    /// sender is dropped.
    pub(crate) fn cut(&self, failure: Failure) {
        if !self.finished {
            drop(self.end.cut.set(failure));
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { items: self.items.clone(), end: Arc::clone(&self.end), finished: self.finished }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if !self.finished {
            let cut =
                || Failure::unknown(Reason::Cancelled, "the sender of the stream was dropped before its end");
            self.end.cut.get_or_init(cut);
        }
    }
}

impl<T: Send + 'static> Sink<T> for Sender<T> {
    type Error = Failure;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let ready = ready!(self.items.poll_reserve(cx));
        Poll::Ready(ready.map_err(|_closed| self.gone()))
    }

    fn start_send(mut self: Pin<&mut Self>, item: T) -> Result<(), Failure> {
        self.items.send_item(item).map_err(|_closed| self.gone())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.finished = true;
        self.items.close();
        Poll::Ready(Ok(()))
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("finished", &self.finished).finish_non_exhaustive()
    }
}

// === impl Receiver ===

impl<T: Send + 'static> Stream for Receiver<T> {
    type Item = Result<T, Failure>;

    /// A failure is the last item.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over.is_some() {
            return Poll::Ready(None);
        }
        Poll::Ready(ready!(self.poll_recv(cx)).transpose())
    }
}

impl OnEnd {
    fn tell(&mut self) {
        if let Some(told) = self.0.take() {
            told.notify_one();
        }
    }
}

impl Drop for OnEnd {
    fn drop(&mut self) {
        self.tell();
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("over", &self.over).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, SinkExt};

    use super::*;

    #[tokio::test]
    async fn a_stream_ends_when_its_sender_says_so() {
        let (sender, mut receiver) = stream(2);
        sender.send(1).await.unwrap();
        sender.send(2).await.unwrap();
        assert!(sender.send(3).now_or_never().is_none(), "there is room for two");
        assert!(matches!(sender.try_send(3), Err(TrySendError::Full(3))));
        assert_eq!(receiver.recv().await, Ok(Some(1)));
        sender.send(3).await.unwrap();
        sender.finish();
        assert_eq!(receiver.recv().await, Ok(Some(2)));
        assert_eq!(receiver.recv().await, Ok(Some(3)));
        for _ in 0..2 {
            assert_eq!(receiver.recv().await, Ok(None));
        }
    }

    #[tokio::test]
    async fn a_sender_that_is_dropped_has_cut_the_stream() {
        let (sender, mut receiver) = stream(2);
        let other = sender.clone();
        sender.send(1).await.unwrap();
        drop(sender);
        other.send(2).await.unwrap();
        other.finish();
        assert_eq!(receiver.recv().await, Ok(Some(1)));
        assert_eq!(receiver.recv().await, Ok(Some(2)));
        for _ in 0..2 {
            let failure = receiver.recv().await.unwrap_err();
            assert!(failure.detail().contains("dropped before its end"), "{failure}");
        }
    }

    #[tokio::test]
    async fn a_failure_comes_after_the_items() {
        let (sender, receiver) = stream(2);
        sender.send(1).await.unwrap();
        sender.fail(Failure::unknown(Reason::ConnectionLost, "a wire was cut"));
        let items: Vec<_> = receiver.map(|item| item + 1).into_stream().collect().await;
        assert_eq!(items[0], Ok(2));
        assert_eq!(items[1].as_ref().unwrap_err().detail(), "a wire was cut");
        assert_eq!(items.len(), 2);
    }

    #[tokio::test]
    async fn a_sender_learns_that_nobody_receives() {
        let (sender, receiver) = stream(1);
        sender.send(1).await.unwrap();
        let (waiting, ()) = tokio::join!(sender.send(2), async {
            receiver.give_up(Failure::unknown(Reason::ConnectionLost, "the session ended"));
        });
        assert_eq!(waiting.unwrap_err().detail(), "the session ended");
        sender.closed().await;
        assert!(matches!(sender.try_send(3), Err(TrySendError::Gone(3, _))));
    }

    #[tokio::test]
    async fn streams_are_joined_as_streams_and_sinks_are() {
        let (sender, receiver) = stream(1);
        let forwarded = Receiver::of(0..100).map(|item| item * 2).forward(sender);
        let (count, items) = tokio::join!(forwarded, receiver.collect());
        assert_eq!(count, Ok(100));
        assert_eq!(items.unwrap(), (0..100).map(|item| item * 2).collect::<Vec<_>>());

        let (mut sender, receiver) = stream(1);
        let sent = async {
            sender.send_all(&mut futures_util::stream::iter((0..3).map(Ok))).await?;
            SinkExt::close(&mut sender).await
        };
        let (sent, items) = tokio::join!(sent, receiver.collect());
        assert_eq!((sent, items), (Ok(()), Ok(vec![0, 1, 2])));

        let (sender, broken) = stream(1);
        let (next, receiver) = stream(1);
        sender.send(1).await.unwrap();
        drop(sender);
        let (count, items) = tokio::join!(broken.forward(next), receiver.collect());
        assert!(count.is_err() && items.is_err(), "a cut is passed on");
    }
}
