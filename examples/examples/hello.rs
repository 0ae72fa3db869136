//! A service is a trait and a struct; a client calls it by name, wherever it is.

#![expect(clippy::print_stdout, reason = "an example says what it shows")]

use anyhow::Result;
use qmesh::prelude::*;

/// Says hello. The macro makes `GreeterServer` and `GreeterClient` of it.
#[qmesh::service(name = "hello.Greeter")]
pub trait Greeter {
    /// A greeting, and how many there were.
    async fn greet(&mut self, cx: &Context, name: String) -> Result<String, Rude>;
}

/// The service's own error. It travels.
#[derive(Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
pub enum Rude {
    /// Nobody to greet.
    #[error("you did not say your name")]
    Nameless,
}

/// Counts whom it has greeted.
#[derive(Debug, Default)]
pub struct Counting {
    greeted: u64,
}

impl Greeter for Counting {
    async fn greet(&mut self, cx: &Context, name: String) -> Result<String, Rude> {
        if name.is_empty() {
            return Err(Rude::Nameless);
        }
        self.greeted += 1;
        Ok(format!("hello {name}, number {} here, from {}", self.greeted, cx.node()))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    // Nodes that share a directory share an authority, and find each other through it.
    let directory = tempfile::tempdir()?;
    let identity = Identity::dev(directory.path())?;

    let lobby = Node::builder("lobby")
        .identity(identity.clone())
        .serve(GreeterServer::new(Counting::default))
        .start()
        .await?;
    let guest = Node::builder("guest").identity(identity).start().await?;

    // A call waits until it knows an endpoint, so nothing has to be started in order.
    let greeter = guest.client::<GreeterClient>();
    for (name, answer) in [
        ("Ada", Ok("hello Ada, number 1 here, from lobby".to_owned())),
        ("Grace", Ok("hello Grace, number 2 here, from lobby".to_owned())),
        ("", Err(CallError::Service(Rude::Nameless))),
    ] {
        let got = greeter.greet(name).await;
        println!("greet({name:?}) -> {got:?}");
        assert_eq!(got, answer);
    }

    guest.shutdown().await;
    lobby.shutdown().await;
    Ok(())
}
