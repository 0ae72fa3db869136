//! The commands, one per file.

pub(crate) mod ca;
pub(crate) mod call;
pub(crate) mod completions;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod load;
pub(crate) mod nodes;
pub(crate) mod serve;
pub(crate) mod services;
pub(crate) mod tap;
pub(crate) mod top;
pub(crate) mod trace;
pub(crate) mod tree;
pub(crate) mod why;
