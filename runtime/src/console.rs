//! The console: pages in a browser that show the whole mesh, served by one of its nodes.
//!
//! In reading order: `guard` is who may ask, `server` takes requests, `answers` is what the node says, `pages` are the files that a browser gets. The
//! pages ask the same questions as a command line does, and the node asks others where it must. All of it runs on a thread
//! of its own, so that a look at the mesh holds up no call.

mod answers;
mod guard;
mod pages;
mod server;

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    console::{guard::Guard, server::Server},
    node::Node,
    task::{Place, Shards},
};

/// The shortest token in bytes. Whoever has it may call services.
const TOKEN_BYTES_MIN: usize = 16;

/// A console to be: pages in a browser that show the mesh, and call its services.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let node: qmesh::Node = unimplemented!();
/// let console = qmesh::Console::at(([127, 0, 0, 1], 0).into()).serve(&node)?;
/// println!("{}", console.url());
/// # Ok(())
/// # }
/// ```
///
/// On a loopback address, whoever can open a connection there may use it: all users of the host. Pages of other sites
/// cannot. On any other address a [`token`](Self::token) is needed, and it travels in plain text: put something that speaks
/// TLS in front, or reach it through a tunnel.
///
/// What it calls, it calls as the guest `client/console` of its node: [`Rules`](crate::Rules) that do not allow that name
/// refuse it.
#[derive(Clone, Debug)]
#[must_use = "a console does nothing until it is served"]
pub struct Console {
    address: SocketAddr,
    token: Option<Token>,
}

/// A console that can be opened. It ends when this is dropped, or its node ends.
#[must_use = "the console ends when this is dropped"]
pub struct OpenConsole {
    address: SocketAddr,
    /// Ends what answers.
    _ends: DropGuard,
    /// What answers runs there. Dropped last.
    _thread: Shards,
}

/// Why there is no console.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsoleError {
    /// Others than this host could ask, and nothing would say who may.
    #[error("a console on {0} can be reached from other hosts: it wants a token")]
    NoToken(SocketAddr),
    /// The token could be guessed.
    #[error("a token of {0} bytes is too short: it takes at least {TOKEN_BYTES_MIN}, without white space")]
    WeakToken(usize),
    /// The address cannot be listened on.
    #[error("cannot listen on {address} for a console: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The system has no thread for it.
    #[error("no thread for a console: {0}")]
    Thread(io::Error),
}

/// What a browser must know. It is in no log.
#[derive(Clone)]
struct Token(Arc<str>);

impl Console {
    /// A console on that address; with port 0, on one that the system chooses.
    pub const fn at(address: SocketAddr) -> Self {
        Self { address, token: None }
    }

    /// Whoever asks must know this: 16 letters, digits or signs at least. The page wants it typed, or takes it from behind its
    /// URL, `#token=…`, which browsers keep to themselves; it travels in the header `Authorization` alone.
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(Token(token.into()));
        self
    }

    /// Serves it from now on: the mesh as that node sees it.
    ///
    /// # Errors
    /// The address is not loopback and there is no token, the token is too short, or the system has no socket or thread
    /// to give.
    ///
    /// # Panics
    /// Outside of the tokio runtime of the node.
    pub fn serve(self, node: &Node) -> Result<OpenConsole, ConsoleError> {
        let Self { address, token } = self;
        if let Some(Token(token)) = &token
            && (token.len() < TOKEN_BYTES_MIN || !token.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            return Err(ConsoleError::WeakToken(token.len()));
        }
        if token.is_none() && !address.ip().is_loopback() {
            return Err(ConsoleError::NoToken(address));
        }
        let bound = |source| ConsoleError::Bind { address, source };
        let listener = TcpListener::bind(address).map_err(bound)?;
        listener.set_nonblocking(true).map_err(bound)?;
        let address = listener.local_addr().map_err(bound)?;
        let thread = Shards::start("qmesh-console", 1).map_err(ConsoleError::Thread)?;
        let there = thread.next();
        // A socket belongs to the thread that is told of it.
        let listener = there.enter(|| tokio::net::TcpListener::from_std(listener)).map_err(bound)?;
        let guard = Guard { address, token };
        let end = CancellationToken::new();
        let server = Server { node: Arc::downgrade(node.inner()), place: Place::current(), guard };
        drop(there.start(server.run(listener, end.clone())));
        Ok(OpenConsole { address, _ends: end.drop_guard(), _thread: thread })
    }
}

impl OpenConsole {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to open in a browser. No token is in it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

// === impl OpenConsole, Token ===

impl fmt::Debug for OpenConsole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenConsole").field(&self.address).finish()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debug_line_has_no_token_in_it() {
        let console = Console::at(([127, 0, 0, 1], 0).into()).token("a-secret-of-some-length");
        assert!(!format!("{console:?}").contains("secret"), "{console:?}");
    }
}
