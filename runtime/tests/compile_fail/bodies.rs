//! A service writes all methods itself.

#[qmesh::service(name = "chat.Chat")]
trait Chat {
    async fn count(&self) -> u64 {
        0
    }
}

fn main() {}
