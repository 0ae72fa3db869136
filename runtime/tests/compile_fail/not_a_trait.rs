//! The attribute stands on a trait, not on the type that implements it.

#[qmesh::service(name = "chat.Chat")]
struct Rooms;

#[qmesh::service(name = "chat.Chat")]
impl Rooms {
    async fn count(&self) -> u64 {
        0
    }
}

fn main() {}
