//! `echo.Echo`: answers what it is told.

use qmesh::{Context, Failure, Receiver, Server};
use serde::{Deserialize, Serialize};

/// Answers what it is told: the first service to call in a new mesh.
#[qmesh::service(name = "echo.Echo")]
pub trait Echo {
    /// The text, as it came.
    #[idempotent]
    async fn say(&self, text: String) -> String;

    /// Each text, as it came and when it came.
    async fn repeat(&self, texts: Receiver<String>) -> Receiver<String>;

    /// How many texts came, if their stream came to its end.
    async fn count(&self, texts: Receiver<String>) -> Result<u64, EchoError>;

    /// Who called, as the handshake proved it, and which node answers.
    #[idempotent]
    async fn who_am_i(&self, cx: &Context) -> Introduction;

    /// An error of the service's own, to see what a caller makes of one.
    #[idempotent]
    async fn fail(&self, reason: String) -> Result<(), EchoError>;
}

/// Two parties of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Introduction {
    /// The caller's name in its certificate.
    pub caller: String,
    /// The caller's id, which derives from its key.
    pub caller_id: String,
    /// The command line for which the caller calls, if it says so.
    pub on_behalf_of: Option<String>,
    /// The name of the node that answers.
    pub node: String,
}

/// The service's own error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EchoError {
    /// The caller asked for it.
    #[error("failed, as asked: {0}")]
    Asked(String),
    /// A stream that was cut: how many texts came before, and why there were no more.
    #[error("the stream was cut after {0} texts: {1}")]
    Cut(u64, Failure),
}

/// The service, for a node to run.
pub fn server() -> Server<EchoContract, impl Echo> {
    EchoServer::new(|| Hall).version(env!("CARGO_PKG_VERSION"))
}

/// It remembers nothing.
struct Hall;

// === impl Hall ===

impl Echo for Hall {
    async fn say(&self, text: String) -> String {
        text
    }

    async fn repeat(&self, texts: Receiver<String>) -> Receiver<String> {
        texts
    }

    async fn count(&self, mut texts: Receiver<String>) -> Result<u64, EchoError> {
        let mut count = 0;
        while texts.recv().await.map_err(|failure| EchoError::Cut(count, failure))?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    async fn who_am_i(&self, cx: &Context) -> Introduction {
        let caller = cx.caller();
        Introduction {
            caller: caller.name().to_owned(),
            caller_id: caller.id().to_string(),
            on_behalf_of: cx.on_behalf_of().map(|guest| guest.name().to_owned()),
            node: cx.node().to_owned(),
        }
    }

    async fn fail(&self, reason: String) -> Result<(), EchoError> {
        Err(EchoError::Asked(reason))
    }
}
