//! What the unit tests of several crates share.
//!
//! - [`golden`]: the bytes of the protocol, as `docs/vectors.txt` has them
//! - [`fuzz`]: the fuzz targets of `fuzz/`, tried as ordinary tests
//!
//! Decoders are private to their crates, so their tests are too; what they compare with, and what they are fed, is here.

pub mod fuzz;
pub mod golden;
