//! What the unit tests of several crates share.
//!
//! - [`golden`]: the bytes of the protocol, as `docs/vectors.txt` has them
//!
//! Decoders are private to their crates, so their tests are too; what they compare with, and what they are fed, is here.

pub mod golden;
