//! Parameters are known by their names.

#[qmesh::service(name = "chat.Chat")]
trait Chat {
    async fn pattern(&self, (who, text): (String, String));
    async fn nameless(&self, _: String);
    async fn mutable(&self, mut who: String);
    async fn twice(&self, who: String, who: String);
    async fn attribute(&self, #[allow(unused)] who: String);
}

fn main() {}
