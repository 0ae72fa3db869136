//! Callers must know the error.

use std::io;

#[qmesh::service(name = "chat.Chat")]
trait Chat {
    async fn count(&self) -> io::Result<u64>;
    async fn print(&self) -> std::fmt::Result;
}

fn main() {}
