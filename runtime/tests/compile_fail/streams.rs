//! A stream is a parameter by itself, or what a method returns.

struct Receiver<T>(T);
struct Sender<T>(T);

#[qmesh::service(name = "chat.Chat")]
trait Chat {
    async fn push(&self, lines: Option<Sender<String>>);
    async fn pair(&self, lines: Receiver<String>, names: Receiver<String>);
    #[idempotent]
    async fn again(&self) -> Receiver<String>;
    #[oneway]
    async fn away(&self, lines: Receiver<String>);
}

fn main() {}
