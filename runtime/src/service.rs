//! A service: the contract that names its methods, and the actor behind it.

mod actor;
mod caller;
mod cancel;
mod context;
mod contract;
mod endpoint;
mod inbox;
mod layered;
mod reply;
mod server;
mod stream_reply;
mod warm_up;

pub use caller::Caller;
pub use context::Context;
pub use contract::{Contract, Method, Parameter, Serve, misrouted};
pub use reply::{Never, Reply, Responder};
pub use server::Server;
pub use stream_reply::{Ports, StreamReply};
pub use warm_up::WarmUp;

pub(crate) use cancel::{Cancel, CancelOnDrop};
pub(crate) use context::{CallScope, Conditions, ServiceCore};
pub(crate) use contract::unreadable;
pub(crate) use endpoint::{Endpoint, LocalEndpoint, Sending, method_name};
pub(crate) use inbox::{BATCH, Batch, Envelope, Inbox};
pub(crate) use reply::{LocalAnswer, OneWays, RawReply, Replies, Settled, put_reply_head};
pub(crate) use server::{AnyServer, Started};
pub(crate) use stream_reply::{Answered, StreamAnswer};
