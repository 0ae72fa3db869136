//! A parameter that cannot be encoded is reported where its type stands.

#[derive(serde::Deserialize)]
pub struct Line(pub String);

#[qmesh::service(name = "chat.Chat")]
pub trait Chat {
    async fn say(&self, line: Line);
}

fn main() {}
