//! What a transport gives to the suite, and what the tests share.

use std::{pin::Pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use qmesh_transport::{
    Address, Authority, Channel, ChannelReader, Credentials, DialError, Dialer, HandshakeError, Identity,
    Listener, NodeId, ReadError, Session,
};
use tokio::{runtime::Handle, time::timeout};

/// A transport under test: a place where endpoints meet.
pub(crate) trait Fixture: Default {
    /// Channels that one side may have open at once.
    const CHANNELS_MAX: usize;
    /// The most that a writer can hand over while its reader stalls, in bytes.
    const STALL_BYTES_MAX: usize;
    /// The time without a word after which a session has ended.
    const IDLE: Duration;

    /// A new endpoint.
    fn bind(&self, name: &str, credentials: Credentials) -> Endpoint;

    /// An endpoint at the address of one that crashed.
    fn rebind(&self, crashed: &Address, credentials: Credentials) -> Endpoint;

    /// Where nobody listens.
    fn nowhere(&self) -> Address;

    /// Knocks at `address` and falls silent in the middle of the handshake.
    fn knock_and_fall_silent(&self, address: &Address) -> impl Future<Output = ()>;
}

/// An endpoint under test, with the runtime that it lives in where that is its own.
pub(crate) struct Endpoint {
    pub(crate) listener: Arc<dyn Listener>,
    pub(crate) dialer: Arc<dyn Dialer>,
    pub(crate) runtime: Handle,
    /// Ends it without a word to anybody.
    pub(crate) kill: Box<dyn FnOnce() + Send>,
}

/// Two endpoints and their session.
pub(crate) struct Pair {
    pub(crate) a: Endpoint,
    pub(crate) b: Endpoint,
    /// The side of `a`, who dialled.
    pub(crate) dialed: Arc<dyn Session>,
    /// The side of `b`.
    pub(crate) accepted: Arc<dyn Session>,
}

impl Endpoint {
    pub(crate) fn address(&self) -> Address {
        self.listener.local_address()
    }

    pub(crate) fn dial(
        &self,
        address: &Address,
        expected: Option<NodeId>,
    ) -> impl Future<Output = Result<Arc<dyn Session>, DialError>> + use<> {
        let (dialer, address) = (Arc::clone(&self.dialer), address.clone());
        let dialing = self.runtime.spawn(async move { dialer.dial(&address, expected).await });
        async { dialing.await.unwrap() }
    }

    /// Ends it without a word to anybody.
    pub(crate) fn crash(self) {
        (self.kill)();
    }

    /// Accepts the next peer and completes its handshake.
    pub(crate) fn accept(&self) -> impl Future<Output = Result<Arc<dyn Session>, HandshakeError>> + use<> {
        let listener = Arc::clone(&self.listener);
        let accepting = self.runtime.spawn(async move { listener.accept().await.unwrap().handshake().await });
        async { accepting.await.unwrap() }
    }

    /// Has `other` dial this one, and gives both answers: the dialer's and ours.
    pub(crate) async fn meet(
        &self,
        other: &Self,
        expected: Option<NodeId>,
    ) -> (Result<Arc<dyn Session>, DialError>, Result<Arc<dyn Session>, HandshakeError>) {
        let accepted = self.accept();
        tokio::join!(other.dial(&self.address(), expected), accepted)
    }
}

impl Pair {
    pub(crate) async fn new(fixture: &impl Fixture) -> Self {
        let mesh = mesh();
        let (a, b) = ["a", "b"].map(|name| fixture.bind(name, mesh.credentials(name).unwrap())).into();
        let (dialed, accepted) = b.meet(&a, None).await;
        Self { a, b, dialed: dialed.unwrap(), accepted: accepted.unwrap() }
    }

    /// A channel that `a` opened, as both sides hold it.
    pub(crate) async fn channel(&self) -> (Channel, Channel) {
        let mut ours = self.dialed.open().await.unwrap();
        ours.writer.write_all(Bytes::from_static(b"!")).await.unwrap();
        let mut theirs = self.accepted.accept().await.unwrap();
        let mut greeting = BytesMut::new();
        theirs.reader.read(&mut greeting, 1).await.unwrap();
        (ours, theirs)
    }
}

/// Identities of a mesh of its own.
pub(crate) fn mesh() -> Identity {
    Identity::issued_by(&Authority::ephemeral("test").unwrap())
}

/// Bounds a test: what hangs fails.
pub(crate) fn within<T>(test: impl Future<Output = T>) -> Pin<Box<impl Future<Output = T>>> {
    Box::pin(async { timeout(Duration::from_secs(60), test).await.expect("the test hangs") })
}

/// Reads to the half-close.
pub(crate) async fn read_all(reader: &mut ChannelReader) -> Result<Bytes, ReadError> {
    let mut buffer = BytesMut::new();
    while reader.read(&mut buffer, 64 * 1024).await? > 0 {}
    Ok(buffer.freeze())
}

/// Sends `text` from `from` to `to` on a channel of its own, and checks that it arrives.
pub(crate) async fn talk(from: &Arc<dyn Session>, to: &Arc<dyn Session>, text: &'static str) {
    let mut channel = from.open().await.unwrap();
    channel.writer.write_all(Bytes::from_static(text.as_bytes())).await.unwrap();
    channel.writer.finish().unwrap();
    let mut accepted = to.accept().await.unwrap();
    assert_eq!(read_all(&mut accepted.reader).await.unwrap(), text);
}
