//! There are two options.

#[qmesh::service(name = "chat.Chat", version = 2)]
trait Unknown {
    async fn count(&self) -> u64;
}

#[qmesh::service(name = "chat.Chat", name = "chat.Room")]
trait Twice {
    async fn count(&self) -> u64;
}

#[qmesh::service(name = "chat.Chat", crate = "qmesh")]
trait QuotedCrate {
    async fn count(&self) -> u64;
}

fn main() {}
