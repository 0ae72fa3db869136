//! An answer that cannot be decoded is reported where it is used.

#[derive(serde::Serialize)]
pub struct Line(pub String);

#[qmesh::service(name = "chat.Chat")]
pub trait Chat {
    async fn last(&self) -> Line;
}

fn main() {}
