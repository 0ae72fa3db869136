//! What a driver does to a system: calls in a closed loop, or numbered messages flat out.

mod calls;
mod counter;
mod flow;
mod lifetimes;

pub(crate) use self::calls::{Window, closed_loop};
pub(crate) use self::{
    counter::Books,
    flow::{End, sequence},
};
pub use self::{
    counter::{Counter, Tally},
    flow::{Flow, Order},
    lifetimes::{Life, Lifetimes},
};
