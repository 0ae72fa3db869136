//! What travels has a form on the wire.

#[qmesh::service(name = "chat.Chat")]
trait Chat {
    async fn any(&self, who: impl Into<String>);
    async fn object(&self, who: Box<dyn Fn()>);
    async fn function(&self, who: fn(u8) -> u8);
    async fn itself(&self, who: Self);
    async fn answer(&self) -> impl Iterator<Item = u8>;
    async fn nothing(&self) -> !;
}

fn main() {}
