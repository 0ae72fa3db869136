//! A call borrows the service.

#[qmesh::service(name = "chat.Chat")]
trait Chat {
    async fn consume(self) -> u64;
    async fn boxed(self: Box<Self>) -> u64;
    async fn missing() -> u64;
    async fn constant(&'static self) -> u64;
}

fn main() {}
