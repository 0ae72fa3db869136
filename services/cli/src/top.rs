//! What `qmesh top` shows: the model, the keys that change how it is looked at, and the view.

mod columns;
mod look;
mod model;
mod view;

pub(crate) use look::{Look, Wish};
pub(crate) use model::{Answers, Snapshot};
pub(crate) use view::draw;
