//! Sessions and channels between two proven identities, over anything.
//!
//! A **session** is an authenticated association of two nodes; a **channel** is one ordered, flow-controlled,
//! bidirectional stream of bytes in it. An **identity** is a key pair, and a mesh's **authority** says who owns which.
//! Everything above this crate is written against [`Session`], [`Listener`] and [`Dialer`], and one conformance suite
//! (`tests/conformance.rs`) holds for every implementation:
//!
//! | address | implementation | for |
//! |---|---|---|
//! | `quic://host:port` | [`QuicEndpoint`] | the default between hosts |
//! | `memory://name` | [`MemoryEndpoint`] in a [`MemoryNetwork`] | tests and simulation |
//!
//! What it is not: it knows no membership, no services, no messages and no retries. A session that ended stays ended;
//! whether to dial again is for those above to decide. It reads no environment, installs no process-wide state (no crypto
//! provider, no subscriber, no signal handler), and never talks to anybody whose certificate it has not verified.
//!
//! ```
//! use bytes::{Bytes, BytesMut};
//! use qmesh_transport::{Authority, Identity, MemoryNetwork};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let identity = Identity::issued_by(&Authority::ephemeral("example")?);
//! let network = MemoryNetwork::new(1);
//! let lobby = network.bind("lobby", identity.credentials("lobby")?)?;
//! let guest = network.bind("guest", identity.credentials("guest")?)?;
//!
//! let (listener, dialer, address) = (lobby.listener(), guest.dialer(), lobby.local_address());
//! let accept = async { listener.accept().await.expect("the listener is open").handshake().await };
//! let (dialed, accepted) = tokio::join!(dialer.dial(&address, None), accept);
//! let (dialed, accepted) = (dialed?, accepted?);
//! assert_eq!(accepted.peer().name(), "guest");
//!
//! let mut channel = dialed.open().await?;
//! channel.writer.write_all(Bytes::from_static(b"hello")).await?;
//! channel.writer.finish()?;
//!
//! let mut greeting = BytesMut::new();
//! let mut channel = accepted.accept().await?;
//! while channel.reader.read(&mut greeting, 1024).await? > 0 {}
//! assert_eq!(greeting, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! # Map of the code, in reading order
//!
//! - `session`, `channel`, `listener`, `dialer`: the seam. Start here.
//! - `address`, `node_id`, `bind`: small nouns of it.
//! - `identity`: authorities, credentials, and whom to believe.
//! - `handshake`: how both sides judge each other, and how each learns why the other said no.
//! - `quic`: sessions over quinn. The only place that names it.
//! - `memory`: sessions inside a process: a codec (`frame`), one side of a session as a pure state machine (`mux`), the
//!   world around it as another one (`network`), and the task that gives them time (`shared`).
//! - `fuzzing`: in tests and under fuzzers only, a function for each decoder.

mod session;

mod channel;
mod dialer;
mod listener;

mod address;
mod bind;
mod node_id;

mod identity;

mod handshake;
mod memory;
mod quic;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(test)]
mod golden;

pub use self::{
    address::{Address, ParseAddressError},
    bind::{BindError, ConfigError},
    channel::{
        Channel, ChannelId, ChannelReader, ChannelWriter, RawReader, RawWriter, ReadError, ResetCode,
        WriteError,
    },
    dialer::{DialError, Dialer},
    identity::{
        AUTHORITY_LIFETIME, Authority, CERTIFICATE_LIFETIME, CLOCK_SKEW, CertificateRefused, Credentials,
        Identity, IdentityError, IssueOptions, Issued, NAME_CHARS_MAX, PeerIdentity, PrivateKey, Role,
    },
    listener::{HandshakeError, Incoming, Listener},
    memory::{Link, MemoryConfig, MemoryEndpoint, MemoryNetwork},
    node_id::{NodeId, ParseNodeIdError},
    quic::{QuicConfig, QuicEndpoint},
    session::{CloseCode, Session, SessionClosed, SessionStats},
};
