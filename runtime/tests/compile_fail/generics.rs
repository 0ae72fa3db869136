//! A method has one form on the wire.

#[qmesh::service(name = "chat.Chat")]
trait Chat {
    async fn generic<T: Send>(&self) -> u64;
    async fn counted<const N: usize>(&self) -> u64;
    async fn borrowed<'a>(&'a self) -> u64;
    async fn bounded(&self) -> u64
    where
        Self: Clone;
}

fn main() {}
