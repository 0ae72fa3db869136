//! Sessions over QUIC: UDP, TLS 1.3 with both sides' certificates, ALPN `qmesh/1`.
//!
//! ```text
//! dialer                                            acceptor
//!   |--- Initial: ClientHello ----------------------->|
//!   |<-- ServerHello, certificate, Finished ----------|
//!   |    judges the acceptor; is "connected"          |
//!   |--- certificate, Finished ---------------------->|
//!   |                         judges the dialer       |
//!   |<-- one byte on a unidirectional stream ---------|   or CONNECTION_CLOSE with a TLS alert
//!   |    dial() resolves                              |
//! ```
//!
//! The byte is ours: without it, a dialer that the acceptor refuses would first believe in its session. Channels are
//! QUIC's bidirectional streams, as they are. A session needs no task of ours.

mod allowance;
mod channel;
mod config;
mod dial;
mod endpoint;
mod listen;
mod reason;
mod session;
mod socket;
mod tls;

pub use self::{config::QuicConfig, endpoint::QuicEndpoint};

/// What an acceptor says to a dialer that it accepts.
const CONFIRMED: u8 = 1;
