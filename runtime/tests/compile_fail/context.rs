//! The context is borrowed and comes first.

use qmesh::Context;

#[qmesh::service(name = "chat.Chat")]
trait Chat {
    async fn by_value(&self, cx: Context);
    async fn exclusively(&self, cx: &mut Context);
    async fn late(&self, who: String, cx: &Context);
    async fn twice(&self, cx: &Context, again: &Context);
}

fn main() {}
