//! The names of methods become names in the generated code.

#[qmesh::service(name = "chat.Chat")]
trait Chat {
    async fn local(&self) -> u64;
    async fn pinned(&self) -> u64;
    async fn read_all(&self) -> u64;
    async fn read__all(&self) -> u64;
    async fn self_(&self) -> u64;
    async fn _1(&self) -> u64;
}

#[qmesh::service(name = "chat.Twice")]
trait Twice {
    async fn count(&self) -> u64;
    async fn count(&self, room: String) -> u64;
}

fn main() {}
