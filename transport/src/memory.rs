//! Sessions inside one process, over links that can be made as bad as a test needs.
//!
//! A [`MemoryNetwork`] is a value: names in one know nothing of another. Every message is encoded and decoded as on a
//! real wire, certificates are verified by the same code, and all time is tokio's, so that it can be paused. A network
//! whose links do not delay runs no task and no timer.

mod config;
mod endpoint;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod handshake;
mod mux;
mod network;
mod session;
mod shared;

use std::sync::Arc;

pub use self::{
    config::{Link, MemoryConfig},
    endpoint::MemoryEndpoint,
};
use self::{
    endpoint::Inner,
    network::{Network, Place},
    shared::Shared,
};
use crate::{Address, BindError, Credentials};

/// A network of named endpoints in this process. Cheap to clone; clones are the same network.
///
/// Links and cuts are between names, whether bound or not yet. All endpoints of a network belong into one tokio runtime.
#[derive(Clone, Debug)]
pub struct MemoryNetwork(Shared);

impl MemoryNetwork {
    /// A network whose links draw their jitter and losses from `seed`, with the default [`MemoryConfig`].
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Shared::new(Network::new(seed, MemoryConfig::default())))
    }

    /// A network with other settings.
    ///
    /// # Errors
    /// [`BindError::Config`] if they make no sense.
    pub fn with_config(seed: u64, config: MemoryConfig) -> Result<Self, BindError> {
        config.validate()?;
        Ok(Self(Shared::new(Network::new(seed, config))))
    }

    /// Binds `name` for the owner of `credentials`.
    ///
    /// # Errors
    /// [`BindError::Taken`] while another endpoint holds the name.
    pub fn bind(&self, name: &str, credentials: Credentials) -> Result<MemoryEndpoint, BindError> {
        let bound = self.0.with(|network, now| network.bind(name, credentials.id(), now));
        let (place, life) = bound.ok_or_else(|| BindError::Taken(Address::memory(name)))?;
        let shared = self.0.clone();
        Ok(MemoryEndpoint(Arc::new(Inner { shared, name: name.to_owned(), place, life, credentials })))
    }

    /// The endpoint vanishes without a word, and all of its sessions with it: peers learn nothing until their idle
    /// timeout ([`SessionClosed::Silent`](crate::SessionClosed::Silent)), or until the same key binds the name again
    /// ([`SessionClosed::Restarted`](crate::SessionClosed::Restarted)). The name is free at once. An unknown name is
    /// ignored.
    pub fn crash(&self, name: &str) {
        let gone = self.0.with(|network, now| network.crash(name, now));
        drop(gone);
        self.0.knocked().notify_waiters();
    }

    /// Makes both directions between `a` and `b` like `link`, from the next frame on.
    pub fn set_link(&self, a: &str, b: &str, link: Link) {
        self.set_link_one_way(a, b, link);
        self.set_link_one_way(b, a, link);
    }

    /// Makes one direction like `link`, from the next frame on.
    pub fn set_link_one_way(&self, from: &str, to: &str, link: Link) {
        self.0.with(|network, _| {
            let (from, to) = (network.place(from), network.place(to));
            network.set_link(from, to, link);
        });
    }

    /// Makes every link that was not set like `link`.
    pub fn set_default_link(&self, link: Link) {
        self.0.with(|network, _| network.set_default_link(link));
    }

    /// Cuts both directions between `a` and `b`: nothing passes, nobody is told, and sessions end
    /// [`Silent`](crate::SessionClosed::Silent) after the idle timeout unless the link heals before.
    pub fn cut(&self, a: &str, b: &str) {
        self.0.with(|network, now| {
            let (a, b) = (network.place(a), network.place(b));
            network.cut([(a, b), (b, a)], now);
        });
    }

    /// Cuts one direction only.
    pub fn cut_one_way(&self, from: &str, to: &str) {
        self.0.with(|network, now| {
            let direction = (network.place(from), network.place(to));
            network.cut([direction], now);
        });
    }

    /// Heals both directions between `a` and `b`. In sessions that still live, what could not pass arrives now.
    pub fn heal(&self, a: &str, b: &str) {
        self.0.with(|network, now| {
            let (a, b) = (network.place(a), network.place(b));
            network.heal(&[(a, b), (b, a)], now);
        });
    }

    /// Cuts every link between names of different groups. Names in no group, and links inside a group, stay as they are.
    pub fn isolate(&self, groups: &[&[&str]]) {
        self.0.with(|network, now| {
            let groups: Vec<Vec<Place>> =
                groups.iter().map(|group| group.iter().map(|name| network.place(name)).collect()).collect();
            let apart = |a: usize, b: usize| {
                let (a, b) = (&groups[a], &groups[b]);
                a.iter().flat_map(move |a| b.iter().map(move |b| (*a, *b)))
            };
            let pairs = (0..groups.len())
                .flat_map(|a| (0..groups.len()).map(move |b| (a, b)))
                .filter(|(a, b)| a != b);
            network.cut(pairs.flat_map(|(a, b)| apart(a, b)), now);
        });
    }

    /// Heals every cut.
    pub fn heal_all(&self) {
        self.0.with(Network::heal_all);
    }
}
