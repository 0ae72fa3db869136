//! What travels on a channel: frames, the buffer that gathers them, and the messages of opening and control.

pub(crate) mod frame;
#[cfg(test)]
mod golden;
pub(crate) mod messages;
pub(crate) mod outbox;
pub(crate) mod unread;
