//! A service is found by its name.

#[qmesh::service]
trait Chat {
    async fn count(&self) -> u64;
}

#[qmesh::service("chat.Chat")]
trait ChatWithoutKey {
    async fn count(&self) -> u64;
}

fn main() {}
