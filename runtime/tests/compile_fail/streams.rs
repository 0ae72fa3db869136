//! Calls are unary or one-way.

struct Receiver<T>(T);
struct Sender<T>(T);

#[qmesh::service(name = "chat.Chat")]
trait Chat {
    async fn upload(&self, lines: Receiver<String>) -> u64;
    async fn subscribe(&self) -> Result<Receiver<String>, String>;
    async fn push(&self, lines: Option<Sender<String>>);
}

fn main() {}
