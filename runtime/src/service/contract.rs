//! What `#[qmesh::service]` makes of a trait.

use std::fmt;

use crate::{
    codec::{BadArguments, Codec},
    failure::{Failure, Reason},
    service::{Context, Ports, Responder},
};

/// A service's contract: its name, its methods, and one type for all its calls, which local and remote callers share.
///
/// Written by `#[qmesh::service]`, never by hand.
pub trait Contract: fmt::Debug + Send + Sync + 'static {
    /// The name of the service, for example `chat.Chat`.
    const NAME: &'static str;
    /// The methods, in the order of the trait. A method's number is its place here.
    const METHODS: &'static [Method];
    /// A call: which method, its arguments, and where the answer goes; nowhere for a one-way method.
    type Call: Send + 'static;

    /// The typed call of bytes that came over the wire.
    ///
    /// # Errors
    /// The arguments do not fit the method, or it is one-way; `responder` was not called.
    fn decode(
        method: usize,
        codec: Codec,
        arguments: &[u8],
        responder: impl FnOnce() -> Responder,
    ) -> Result<Self::Call, BadArguments>;

    /// The typed one-way send of bytes that came over the wire.
    ///
    /// # Errors
    /// The arguments do not fit the method, or it is not one-way.
    fn decode_one_way(method: usize, codec: Codec, arguments: &[u8]) -> Result<Self::Call, BadArguments>;

    /// The typed streaming call of bytes that came over the wire; what it asks of `ports` is connected to its channel.
    ///
    /// # Errors
    /// The arguments do not fit the method, or it has no streams.
    fn decode_stream(
        method: usize,
        codec: Codec,
        arguments: &[u8],
        ports: &mut Ports,
    ) -> Result<Self::Call, BadArguments>;

    /// Answers a call that will not run, if it has an answer.
    fn refuse(call: Self::Call, failure: Failure);
}

/// Runs the calls of a contract on a service of type `S`.
///
/// Written by `#[qmesh::service]`, never by hand.
pub trait Serve<S>: Contract {
    /// Runs a call of a `&self` method.
    fn shared(service: &S, cx: &Context, call: Self::Call) -> impl Future<Output = ()> + Send;
    /// Runs any call, alone.
    fn exclusive(service: &mut S, cx: &Context, call: Self::Call) -> impl Future<Output = ()> + Send;
}

/// One method of a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// Its name.
    pub name: &'static str,
    /// Its parameters, without `self` and the context.
    pub parameters: &'static [Parameter],
    /// The type that it returns, as written, each path reduced to its last segment.
    pub output: &'static str,
    /// Whether the runtime may repeat a call whose outcome is unknown.
    pub idempotent: bool,
    /// Whether there is no answer.
    pub one_way: bool,
    /// Whether a stream is among its parameters.
    pub upload: bool,
    /// Whether a stream is what it returns.
    pub download: bool,
    /// Whether it takes `&mut self`, and so runs alone.
    pub exclusive: bool,
}

/// One parameter of a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name: both sides must agree on it, and it is the key in JSON.
    pub name: &'static str,
    /// Its type, as written, each path reduced to its last segment.
    pub ty: &'static str,
}

/// The failure of a call whose arguments the service cannot read.
pub(crate) fn unreadable<C: Contract>(method: usize, error: &BadArguments) -> Failure {
    let method = C::METHODS.get(method).map(Method::to_string).unwrap_or_default();
    let detail = format!("the service cannot read the arguments of `{method}`: {error}");
    Failure::not_executed(Reason::BadArguments, detail)
}

/// A call reached the wrong dispatcher, which the contract's own `exclusive` flags rule out.
///
/// # Panics
/// Always.
#[cold]
pub fn misrouted(service: &str) -> ! {
    unreachable!("an exclusive call of {service} was dispatched as a shared one")
}

// === impl Method ===

impl fmt::Display for Method {
    /// Its signature: what both sides must agree on.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name)?;
        for (at, parameter) in self.parameters.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{}: {}", parameter.name, parameter.ty)?;
        }
        write!(f, ")")?;
        if self.one_way { f.write_str(" one-way") } else { write!(f, " -> {}", self.output) }
    }
}
