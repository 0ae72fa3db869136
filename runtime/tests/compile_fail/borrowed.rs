//! What travels owns what it holds.

use std::borrow::Cow;

#[qmesh::service(name = "chat.Chat")]
trait Chat {
    async fn text(&self, who: &str);
    async fn slice(&self, who: &[String]);
    async fn deep(&self, who: Option<(u8, &'static str)>);
    async fn lifetime(&self, who: Cow<'static, str>);
    async fn pointer(&self, who: *const u8);
    async fn answer(&self) -> Result<&str, String>;
}

fn main() {}
