//! Answers that wait for a peer to read them: their bytes, on all channels of its session together.
//!
//! A caller that does not read could make a service hold whatever it asked for. So, while the largest answer would find
//! no room in the session's share, none of its calls is taken in or begins; and of those that run already, an answer that
//! does not fit is not kept.

use std::sync::atomic::{
    AtomicUsize,
    Ordering::{AcqRel, Acquire},
};

use tokio::sync::Notify;

use crate::{
    config::Limits,
    failure::{Failure, Reason},
};

/// The share of one session.
#[derive(Debug)]
pub(crate) struct Unread {
    bytes: AtomicUsize,
    limit: usize,
    /// What has to be free for a call to begin.
    answer_bytes_max: usize,
    read: Notify,
}

/// Bytes that wait for the peer.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    unread: &'a Unread,
    bytes: usize,
}

impl Unread {
    /// A share has room for two of the largest answers at least: one that waits, and one that is made.
    pub(crate) fn new(limits: &Limits) -> Self {
        let answer_bytes_max = limits.message_bytes_max;
        let limit = limits.unread_answers_bytes_max.max(2 * answer_bytes_max);
        Self { bytes: AtomicUsize::new(0), limit, answer_bytes_max, read: Notify::new() }
    }

    /// Whether the largest answer would find no room.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.is_full_with(self.bytes.load(Acquire))
    }

    #[inline]
    const fn is_full_with(&self, bytes: usize) -> bool {
        bytes > self.limit - self.answer_bytes_max
    }

    /// Whether an answer of so many bytes finds room.
    #[inline]
    pub(crate) fn fits(&self, bytes: usize) -> bool {
        self.bytes.load(Acquire).saturating_add(bytes) <= self.limit
    }

    /// So many bytes wait for the peer from now on.
    #[inline]
    pub(crate) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, AcqRel);
    }

    /// They have left, or have been dropped.
    #[inline]
    pub(crate) fn remove(&self, bytes: usize) {
        let before = self.bytes.fetch_sub(bytes, AcqRel);
        if self.is_full_with(before) && !self.is_full_with(before - bytes) {
            self.read.notify_waiters();
        }
    }

    /// So many bytes wait for the peer until what is returned is dropped.
    pub(crate) fn hold(&self, bytes: usize) -> Held<'_> {
        self.add(bytes);
        Held { unread: self, bytes }
    }

    /// Waits until the largest answer finds room.
    pub(crate) async fn room(&self) {
        loop {
            let read = self.read.notified();
            tokio::pin!(read);
            read.as_mut().enable();
            if !self.is_full() {
                return;
            }
            read.await;
        }
    }

    /// Why a call of this caller is not to begin.
    #[cold]
    pub(crate) fn not_begun(&self) -> Failure {
        Failure::not_executed(Reason::Overloaded, self.told("the call did not begin"))
    }

    /// Why an answer that was made is not kept.
    #[cold]
    pub(crate) fn not_kept(&self, bytes: usize) -> Failure {
        let detail = self.told(&format!("the handler ran, and its answer of {bytes} bytes is not kept"));
        Failure::unknown(Reason::Overloaded, detail)
    }

    fn told(&self, what: &str) -> String {
        let unread = self.bytes.load(Acquire);
        format!("{what}: the caller has {unread} bytes of answers to read; the limit is {}", self.limit)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.unread.remove(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Outcome;

    fn unread(limit: usize) -> Unread {
        Unread::new(&Limits { message_bytes_max: 10, unread_answers_bytes_max: limit, ..Limits::default() })
    }

    #[test]
    fn it_is_full_when_the_largest_answer_does_not_fit() {
        let unread = unread(100);
        unread.add(90);
        assert!(!unread.is_full() && unread.fits(10) && !unread.fits(11));
        unread.add(1);
        assert!(unread.is_full() && unread.fits(9) && !unread.fits(10));
        assert_eq!(unread.not_begun().outcome(), Outcome::NotExecuted);
        assert_eq!(unread.not_kept(10).outcome(), Outcome::Unknown);
    }

    #[test]
    fn however_small_it_is_one_answer_may_wait_while_another_is_made() {
        let unread = unread(1);
        unread.add(10);
        assert!(!unread.is_full() && unread.fits(10));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_room_goes_on_when_the_peer_has_read() {
        let unread = std::sync::Arc::new(unread(100));
        unread.add(100);
        let waiting = crate::task::spawn({
            let unread = unread.clone();
            async move { unread.room().await }
        });
        tokio::task::yield_now().await;
        unread.remove(9);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "91 bytes are too many");
        unread.remove(1);
        tokio::task::yield_now().await;
        assert!(waiting.is_finished(), "there is room");
    }
}
