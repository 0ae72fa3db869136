//! A mesh of many nodes in one thread and in virtual time: they join, leave, die, come back, and lie.

mod attacks;
mod forge;
mod lifecycle;
mod network;
mod partition;
