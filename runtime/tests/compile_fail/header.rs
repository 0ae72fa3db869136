//! A contract has a plain header.

#[qmesh::service(name = "chat.Chat")]
trait Generic<T> {
    async fn count(&self) -> u64;
}

#[qmesh::service(name = "chat.Chat")]
trait Conditional
where
    Self: Clone,
{
    async fn count(&self) -> u64;
}

#[qmesh::service(name = "chat.Chat")]
unsafe trait Unsafe {
    async fn count(&self) -> u64;
}

#[qmesh::service(name = "chat.Chat")]
trait Empty {}

fn main() {}
